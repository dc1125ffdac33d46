use super::*;
use crate::issuer::TrailingSlash;
use crate::observation::Observation;
use crate::rotation::simulation::world::kid;

fn issuer(text: &str) -> IssuerUrl {
    IssuerUrl::parse(text, TrailingSlash::Refuse).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn ring() -> KeyRing {
    let current = RingKey {
        kid: kid(1),
        created: at(0),
        compromised: None,
        stage: Stage::Signing {
            since: at(0),
            seen: Seen::default(),
            longest: Lifetimes::default(),
        },
    };
    let ring = KeyRing::new(&issuer("https://h"), vec![current], at(0));
    ring.created(kid(2), "why".into(), at(10))
}

#[test]
fn a_ring_reads_back_as_it_was_written() {
    let ring = ring().chosen(&kid(2), "old".into(), at(20));
    let bytes = ring.to_bytes();
    assert_eq!(KeyRing::parse(&bytes, &issuer("https://h")).unwrap(), ring);
    assert_eq!(ring.generation(), 2);
    assert_eq!(ring.signing().unwrap().kid, kid(2));
}

#[test]
fn damaged_foreign_and_newer_rings_are_refused() {
    let text = String::from_utf8(ring().to_bytes()).unwrap();
    let parse = |text: &str| KeyRing::parse(text.as_bytes(), &issuer("https://h"));
    let other = KeyRing::parse(text.as_bytes(), &issuer("https://other"));
    assert!(matches!(other, Err(RingError::OtherIssuer { .. })));
    let newer = text.replace("\"format\": 1", "\"format\": 2");
    assert!(matches!(parse(&newer), Err(RingError::Format { found: 2 })));
    let unknown = text.replace("\"format\": 1", "\"format\": 1, \"extra\": 0");
    assert!(matches!(parse(&unknown), Err(RingError::Shape(_))));
    let twice = text.replace("\"format\": 1", "\"format\": 1, \"format\": 1");
    assert!(matches!(parse(&twice), Err(RingError::Json(_))));
    let cut = text.get(..100).unwrap();
    assert!(matches!(parse(cut), Err(RingError::Json(_))));
    let spent = text.replace(
        "\"tombstones\": []",
        &format!("\"tombstones\": [\"{}\"]", kid(1)),
    );
    assert!(matches!(parse(&spent), Err(RingError::Contradiction(_))));
}

#[test]
fn one_run_has_the_lease() {
    let event = |by: &str, when| Event {
        at: at(when),
        by: by.into(),
        what: What::Published,
        kid: None,
        place: None,
        why: String::new(),
    };
    let held = ring().intend(event("a", 100), at(200)).unwrap();
    assert!(held.intend(event("a", 150), at(250)).is_ok());
    let error = held.intend(event("b", 150), at(250)).unwrap_err();
    assert_eq!(error.0.holder, "a");
    assert!(held.intend(event("b", 200), at(300)).is_ok());
    assert!(held.released("b", at(150)).is_none());
    let free = held.released("a", at(150)).unwrap();
    assert!(free.intend(event("b", 150), at(250)).is_ok());
}

#[test]
fn a_saved_ring_never_goes_back_in_time() {
    let ring = ring().request("x".into(), at(5));
    assert_eq!(ring.written(), at(10));
}

#[test]
fn a_key_that_signed_is_never_next_again() {
    let ring = ring().chosen(&kid(2), "old".into(), at(20));
    let everywhere = Observation {
        remains: BTreeSet::from([kid(1)]),
        ..Observation::default()
    };
    assert!(
        ring.adopted(&kid(1), &everywhere, "x".into(), at(30))
            .is_none()
    );
    let buried = ring.buried(&kid(1), at(40));
    assert!(buried.knows(&kid(1)) && buried.key(&kid(1)).is_none());
    assert!(
        buried
            .adopted(&kid(1), &everywhere, "x".into(), at(50))
            .is_none()
    );
}

#[test]
fn spent_kids_are_bounded_and_the_newest_stay() {
    let mut ring = ring();
    for number in 0..=MOST {
        let kid = Kid::of_spki(&number.to_le_bytes());
        ring.tombstones.insert(kid);
    }
    let ring = ring.buried(&kid(2), at(20));
    assert_eq!(ring.tombstones().len(), 1, "all others are forgotten");
    assert!(ring.tombstones().contains(&kid(2)));
    assert!(ring.to_bytes().len() < 1 << 20);
}

const MOST: u32 = 4000;

#[test]
fn a_ring_without_what_newer_ones_remember_reads() {
    let text = String::from_utf8(ring().to_bytes()).unwrap();
    assert!(
        !text.contains("timing") && !text.contains("keys_place"),
        "{text}"
    );
    let read = KeyRing::parse(text.as_bytes(), &issuer("https://h")).unwrap();
    assert_eq!(
        (read.timing(), read.keys_place()),
        (&Timing::default(), None)
    );
}
