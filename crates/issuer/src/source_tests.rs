use std::fs;

use irsa_core::algorithm::Curve;
use irsa_core::issuer::TrailingSlash;
use irsa_core::private::PrivateKeyPem;

use super::*;

const AGE: Duration = Duration::from_mins(5);

fn public(scalar: u8) -> String {
    PrivateKeyPem::from_scalar(Curve::P256, &[scalar])
        .unwrap()
        .public_key()
        .to_pem()
}

fn spec(issuer: &str, keys: PathBuf) -> IssuerSpec {
    let issuer = IssuerUrl::parse(issuer, TrailingSlash::Refuse).unwrap();
    IssuerSpec {
        issuer,
        jwks_uri: None,
        keys: vec![keys],
    }
}

fn kids(source: &SiteSource, at: usize) -> Vec<String> {
    source.entries[at]
        .served()
        .keys
        .into_iter()
        .map(|key| key.kid)
        .collect()
}

#[test]
fn a_change_is_loaded_once_it_has_settled_and_a_bad_one_keeps_the_last_good() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.pub");
    fs::write(&file, public(1)).unwrap();
    let (mut source, changes) =
        SiteSource::load(vec![spec("https://h/a", file.clone())], AGE).unwrap();
    assert_eq!(changes.reloaded[0].issuer, "https://h/a");
    let first = kids(&source, 0);

    assert!(source.poll().is_empty());
    fs::write(&file, public(2) + &public(3)).unwrap();
    assert!(source.poll().is_empty(), "seen once");
    assert_eq!(source.poll().reloaded.len(), 1, "seen twice");
    assert_eq!(kids(&source, 0).len(), 2);

    fs::write(&file, "-----BEGIN PUBLIC KEY-----\nhalf a fi").unwrap();
    source.poll();
    let changes = source.poll();
    assert!(changes.refused[0].last_good_kept);
    assert_eq!(kids(&source, 0).len(), 2);
    assert!(source.poll().is_empty(), "reported once");

    fs::remove_file(&file).unwrap();
    source.poll();
    assert_eq!(source.poll().refused.len(), 1);
    fs::write(&file, public(1)).unwrap();
    source.poll();
    source.poll();
    assert_eq!(kids(&source, 0), first);
}

#[test]
fn one_bad_issuer_does_not_stop_the_others_and_a_new_list_keeps_the_known() {
    let home = tempfile::tempdir().unwrap();
    let (good, bad) = (home.path().join("a.pub"), home.path().join("b.pub"));
    fs::write(&good, public(1)).unwrap();
    let specs = vec![
        spec("https://h/a", good.clone()),
        spec("https://h/b", bad.clone()),
    ];
    let (mut source, changes) = SiteSource::load(specs, AGE).unwrap();
    assert_eq!((changes.reloaded.len(), changes.refused.len()), (1, 1));
    assert!(!changes.refused[0].last_good_kept);
    assert_eq!(source.site().unwrap().up(), (1, 2));

    // The same issuer, now from a file that is not there: its documents stay.
    let changes = source.replace(vec![spec("https://h/a", bad)], AGE).unwrap();
    assert!(changes.refused[0].last_good_kept);
    assert_eq!(kids(&source, 0).len(), 1);
}

#[test]
fn a_list_of_issuers_is_taken_whole_or_not_at_all() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.pub");
    fs::write(&file, public(1)).unwrap();
    let of = |issuer: &str| spec(issuer, file.clone());
    let specs = vec![of("https://h/a"), of("https://h/b")];
    let (mut source, _) = SiteSource::load(specs, AGE).unwrap();

    let collision = vec![of("https://h/a"), of("https://other/a")];
    assert!(matches!(
        source.replace(collision, AGE),
        Err(ServeError::DuplicatePath { .. })
    ));
    assert_eq!(source.site().unwrap().up(), (2, 2));

    let changes = source.replace(vec![of("https://h/a")], AGE).unwrap();
    assert_eq!(
        (changes.removed, source.site().unwrap().up()),
        (vec!["https://h/b".to_owned()], (1, 1))
    );
}

#[test]
fn a_key_that_goes_is_named_and_a_dangling_link_takes_none() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a.pub"), public(1)).unwrap();
    fs::write(home.path().join("b.pub"), public(2)).unwrap();
    let specs = vec![spec("https://h/a", home.path().to_owned())];
    let (mut source, _) = SiteSource::load(specs, AGE).unwrap();
    let second = kids(&source, 0)[1].clone();

    fs::remove_file(home.path().join("b.pub")).unwrap();
    std::os::unix::fs::symlink("nowhere", home.path().join("b.pub")).unwrap();
    assert!(source.reload().refused[0].last_good_kept);
    fs::remove_file(home.path().join("b.pub")).unwrap();
    assert_eq!(source.reload().reloaded[0].withdrawn, [second]);
}

#[test]
fn files_that_never_rest_are_read_once_their_content_does() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.pub");
    fs::write(&file, public(1)).unwrap();
    let specs = vec![spec("https://h/a", file.clone())];
    let (mut source, _) = SiteSource::load(specs, AGE).unwrap();
    let touch = |second| {
        let at = std::time::UNIX_EPOCH + Duration::from_secs(second);
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_modified(at).unwrap();
    };
    fs::write(&file, public(2) + &public(3)).unwrap();
    for look in 0..5 {
        touch(look);
        assert!(source.poll().is_empty(), "look {look}");
    }
    touch(6);
    let changes = source.poll();
    assert!(changes.reloaded[0].changed);
    assert_eq!(kids(&source, 0).len(), 2);

    // What is written without end is no content to serve.
    for look in 10..30_u8 {
        fs::write(&file, public(look)).unwrap();
        touch(u64::from(look));
        assert!(source.poll().is_empty(), "look {look}");
    }
}

#[test]
fn what_was_read_again_and_is_the_same_is_no_change() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.pub");
    fs::write(&file, public(1)).unwrap();
    let specs = vec![spec("https://h/a", file.clone())];
    let (mut source, changes) = SiteSource::load(specs, AGE).unwrap();
    assert!(changes.reloaded[0].changed);
    assert!(!source.reload().reloaded[0].changed);
    fs::write(&file, public(2)).unwrap();
    assert!(source.reload().reloaded[0].changed);
}

#[test]
fn a_pipe_in_the_place_of_one_key_file_keeps_no_other_issuer_waiting() {
    let home = tempfile::tempdir().unwrap();
    let (first, second) = (home.path().join("a.pub"), home.path().join("b.pub"));
    fs::write(&first, public(1)).unwrap();
    fs::write(&second, public(1)).unwrap();
    let specs = vec![
        spec("https://h/a", first.clone()),
        spec("https://h/b", second.clone()),
    ];
    let (mut source, _) = SiteSource::load(specs, AGE).unwrap();
    fs::remove_file(&first).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &first, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::write(&second, public(1) + &public(2)).unwrap();
    source.poll();
    let changes = source.poll();
    assert_eq!(changes.refused[0].issuer, "https://h/a");
    assert!(changes.refused[0].last_good_kept);
    assert_eq!(kids(&source, 1).len(), 2);
}
