use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::name::ClusterName;
use crate::region::ConnectorRegion;

const CODE: &str = "cAnArYcAnArYcAnArY01";

fn registration() -> Registration {
    Registration {
        region: ConnectorRegion::parse("eu-central-1").unwrap(),
        account: "111122223333".into(),
        name: ClusterName::parse("prod").unwrap(),
    }
}

fn record(phase: Phase) -> Record {
    Record {
        cluster_arn: registration().cluster_arn(),
        role_arn: registration().role_arn(),
        client_request_token: "token".into(),
        mark: "mark".into(),
        started: "2026-11-22T00:00:00Z".parse().unwrap(),
        phase,
    }
}

fn registered() -> Phase {
    Phase::Registered(Activation {
        id: "id".into(),
        code: ActivationCode::new(Zeroizing::new(CODE.into())),
        expiry: Some("2026-11-25T00:00:00Z".parse().unwrap()),
    })
}

#[test]
fn every_phase_is_read_back() {
    let home = tempfile::tempdir().unwrap();
    let journal = Journal::new(home.path(), &registration());
    assert!(journal.load().unwrap().is_none());
    let locked = journal.lock().unwrap();
    for phase in [
        Phase::Registering,
        registered(),
        Phase::Connected {
            activation_id: "id".into(),
        },
    ] {
        let wanted = format!("{phase:?}");
        locked.save(&record(phase)).unwrap();
        let found = locked.load().unwrap().unwrap();
        assert_eq!(format!("{:?}", found.phase), wanted);
        if let Phase::Registered(activation) = found.phase {
            assert_eq!(activation.code.expose_code(), CODE);
        }
    }
    assert!(
        !fs::read_to_string(locked.path()).unwrap().contains(CODE),
        "erased when connected"
    );
    locked.erase().unwrap();
    locked.erase().unwrap();
    assert!(locked.load().unwrap().is_none());
}

#[test]
fn nobody_else_can_read_the_code() {
    let home = tempfile::tempdir().unwrap();
    let locked = Journal::new(home.path(), &registration()).lock().unwrap();
    locked.save(&record(registered())).unwrap();
    let path = locked.path();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "no other copy"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = locked.load().unwrap_err();
    assert!(
        error.to_string().ends_with("(mode 0640, expected 0600)"),
        "{error}"
    );
}

#[test]
fn two_runs_do_not_meet() {
    let home = tempfile::tempdir().unwrap();
    let journal = Journal::new(home.path(), &registration());
    let locked = journal.clone().lock().unwrap();
    let error = journal.clone().lock().unwrap_err();
    assert!(matches!(error, JournalError::Busy(_)) && error.retryable());
    drop(locked);
    journal.lock().unwrap();
}

#[test]
fn a_damaged_journal_is_named_without_its_content() {
    let home = tempfile::tempdir().unwrap();
    let locked = Journal::new(home.path(), &registration()).lock().unwrap();
    locked.save(&record(registered())).unwrap();
    let good = fs::read_to_string(locked.path()).unwrap();
    for damaged in [
        good.replace("\"registered\"", &format!("\"{CODE}\"")),
        good.replace("\"registered\"", "\"connected\""),
        good.replace("\"format\": 1", "\"format\": 2"),
        good.replace("cluster/prod", "cluster/other"),
        good.replace("\"started\"", "\"begun\""),
        good.chars().take(100).collect(),
        CODE.to_owned(),
    ] {
        fs::write(locked.path(), &damaged).unwrap();
        let error = locked.load().unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{damaged}");
        assert!(!format!("{error} {error:?}").contains(CODE), "{error}");
    }
}
