use irsa_core::issuer::TrailingSlash;

use super::*;

const OLD: &str = "https://kubernetes.default.svc.cluster.local";
const OURS: &str = "https://oidc.example.com/prod";

fn stock() -> TokenFlags {
    flags(&[
        (Flag::Issuer, OLD),
        (Flag::KeyFile, "/pki/sa.pub"),
        (Flag::SigningKeyFile, "/pki/sa.key"),
    ])
}

fn flags(values: &[(Flag, &str)]) -> TokenFlags {
    TokenFlags::new(
        values
            .iter()
            .map(|(flag, value)| (*flag, (*value).to_owned())),
    )
}

fn wanted() -> Wanted {
    Wanted {
        issuer: IssuerUrl::parse(OURS, TrailingSlash::Refuse).unwrap(),
        jwks_uri: None,
        key_files: vec!["/pki/new.pub".to_owned()],
        signing_key_file: Some("/pki/new.key".to_owned()),
        api_audiences: Vec::new(),
        remove_issuers: Vec::new(),
        remove_key_files: Vec::new(),
    }
}

fn after(current: &TokenFlags, changes: &[FlagChange]) -> TokenFlags {
    let mut flags = current.clone();
    for change in changes {
        assert_eq!(flags.values(change.flag), change.before);
        flags.set(change.flag, change.after.clone());
    }
    flags
}

fn step(current: &TokenFlags, wanted: &Wanted, phase: Phase) -> TokenFlags {
    let next = after(current, &api_server(current, wanted, phase).unwrap());
    assert_eq!(
        api_server(&next, wanted, phase).unwrap(),
        [],
        "a second run changes nothing"
    );
    next
}

#[test]
fn two_passes_from_a_stock_cluster() {
    let accepted = step(&stock(), &wanted(), Phase::Accept);
    assert_eq!(
        accepted,
        flags(&[
            (Flag::Issuer, OLD),
            (Flag::Issuer, OURS),
            (Flag::KeyFile, "/pki/sa.pub"),
            (Flag::KeyFile, "/pki/new.pub"),
            (Flag::SigningKeyFile, "/pki/sa.key"),
            (Flag::ApiAudiences, &format!("{OLD},{OURS}")),
        ])
    );
    let signing = step(&accepted, &wanted(), Phase::Sign);
    assert_eq!(signing.values(Flag::Issuer), [OURS, OLD]);
    assert_eq!(signing.value(Flag::SigningKeyFile), Some("/pki/new.key"));
    assert_eq!(
        signing.values(Flag::KeyFile),
        accepted.values(Flag::KeyFile)
    );
    assert_eq!(signing.audiences(), accepted.audiences());
}

#[test]
fn signing_before_accepting_is_refused() {
    let error = api_server(&stock(), &wanted(), Phase::Sign).unwrap_err();
    assert!(matches!(
        error,
        PlanError::NotAccepted {
            flag: Flag::Issuer,
            ..
        }
    ));
    let mut half = stock();
    half.add(Flag::Issuer, OURS.to_owned());
    let error = api_server(&half, &wanted(), Phase::Sign).unwrap_err();
    assert!(matches!(
        error,
        PlanError::NotAccepted {
            flag: Flag::KeyFile,
            ..
        }
    ));
    half.add(Flag::KeyFile, "/pki/new.pub".to_owned());
    let error = api_server(&half, &wanted(), Phase::Sign).unwrap_err();
    assert!(matches!(
        error,
        PlanError::NotAccepted {
            flag: Flag::ApiAudiences,
            ..
        }
    ));
}

#[test]
fn explicit_audiences_stay() {
    let mut current = stock();
    current.add(Flag::ApiAudiences, "vault,api".to_owned());
    let accepted = step(&current, &wanted(), Phase::Accept);
    assert_eq!(accepted.audiences(), ["vault", "api"]);
    let more = Wanted {
        api_audiences: vec!["x".to_owned()],
        ..wanted()
    };
    assert_eq!(
        step(&current, &more, Phase::Accept).audiences(),
        ["vault", "api", "x"]
    );
}

#[test]
fn traps_are_refused() {
    let mut joined = stock();
    joined.set(Flag::Issuer, vec![format!("{OLD},{OURS}")]);
    assert!(matches!(
        api_server(&joined, &wanted(), Phase::Accept),
        Err(PlanError::CommaJoined(_))
    ));
    let sts = Wanted {
        api_audiences: vec![STS_AUDIENCE.to_owned()],
        ..wanted()
    };
    assert_eq!(
        api_server(&stock(), &sts, Phase::Accept),
        Err(PlanError::StsAudience)
    );
    let mut external = stock();
    external.add(Flag::SigningEndpoint, "/run/signer.sock".to_owned());
    assert_eq!(
        api_server(&external, &wanted(), Phase::Accept),
        Err(PlanError::ExternalSigner)
    );
    assert_eq!(
        api_server(&TokenFlags::default(), &wanted(), Phase::Accept),
        Err(PlanError::NoIssuer)
    );
}

#[test]
fn only_what_is_named_goes() {
    let signing = step(
        &step(&stock(), &wanted(), Phase::Accept),
        &wanted(),
        Phase::Sign,
    );
    let retire = Wanted {
        remove_issuers: vec![OLD.to_owned()],
        remove_key_files: vec!["/pki/sa.pub".to_owned()],
        ..wanted()
    };
    let retired = step(&signing, &retire, Phase::Retire);
    assert_eq!(retired.values(Flag::Issuer), [OURS]);
    assert_eq!(retired.values(Flag::KeyFile), ["/pki/new.pub"]);
    assert_eq!(retired.audiences(), [OLD, OURS]);
    let wrong = Wanted {
        remove_issuers: vec![OURS.to_owned()],
        ..wanted()
    };
    assert!(matches!(
        api_server(&signing, &wrong, Phase::Retire),
        Err(PlanError::SigningIssuer(_))
    ));
    let all = Wanted {
        remove_key_files: vec!["/pki/sa.pub".to_owned(), "/pki/new.pub".to_owned()],
        ..wanted()
    };
    assert_eq!(
        api_server(&signing, &all, Phase::Retire),
        Err(PlanError::NothingLeft(Flag::KeyFile))
    );
}

#[test]
fn the_controller_manager_changes_with_the_signer() {
    let current = flags(&[(Flag::PrivateKeyFile, "/pki/sa.key")]);
    assert_eq!(controller_manager(&current, &wanted(), Phase::Accept), []);
    let changes = controller_manager(&current, &wanted(), Phase::Sign);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].to_string(),
        "--service-account-private-key-file: /pki/sa.key -> /pki/new.key"
    );
}

/// What is advised for two joined issuers can be done, also where a blank follows the comma.
#[test]
fn joined_issuers_that_go_are_not_judged() {
    let joined = "https://a.example, https://b.example";
    let current = flags(&[(Flag::Issuer, joined), (Flag::KeyFile, "/pki/sa.pub")]);
    let wanted = Wanted {
        remove_issuers: vec![joined.to_owned()],
        ..wanted()
    };
    let changes = api_server(&current, &wanted, Phase::New).unwrap();
    let next = after(&current, &changes);
    assert_eq!(next.values(Flag::Issuer), [OURS]);
    assert!(api_server(&current, &self::wanted(), Phase::New).is_err());
}

#[test]
fn commas_that_join_and_commas_that_do_not() {
    assert!(is_comma_joined("https://a,https://b"));
    assert!(is_comma_joined("kubernetes/serviceaccount,https://b"));
    assert!(!is_comma_joined("https://a/x,y"));
    assert!(!is_comma_joined("https://a"));
}
