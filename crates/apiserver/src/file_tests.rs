use std::os::unix::fs::PermissionsExt as _;

use super::backup::absolute;
use super::*;

#[test]
fn changes_are_undone_one_by_one_and_exactly() {
    let home = tempfile::tempdir().unwrap();
    let manifests = home.path().join("manifests");
    fs::create_dir(&manifests).unwrap();
    let file = manifests.join("a.yaml");
    fs::write(&file, "one\r\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let backups = Backups::new(home.path().join("backup"));
    for (before, after) in [("one\r\n", "two"), ("two", "three")] {
        backups.save(&file, before, after, "test").unwrap();
        replace(&file, before, after).unwrap();
    }
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&manifests).unwrap().count(), 1);
    for expected in ["two", "one\r\n"] {
        let current = read(&file).unwrap();
        let saved = backups.last(&file, &current).unwrap();
        replace(&file, &current, &saved.text).unwrap();
        saved.forget().unwrap();
        assert_eq!(read(&file).unwrap(), expected);
    }
    // Killed between the copy and its record.
    fs::write(
        backups.of(&absolute(&file).unwrap()).join("0001.yaml"),
        "half",
    )
    .unwrap();
    backups.save(&file, "one\r\n", "two", "test").unwrap();
    backups.last(&file, "two").unwrap().forget().unwrap();
    assert!(matches!(
        backups.last(&file, "one\r\n"),
        Err(FileError::NoBackup { .. })
    ));
}

#[test]
fn what_somebody_else_changed_is_not_undone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.yaml");
    fs::write(&file, "before").unwrap();
    let backups = Backups::new(home.path().join("backup"));
    backups.save(&file, "before", "after", "test").unwrap();
    assert!(matches!(
        backups.last(&file, "other"),
        Err(FileError::Diverged { .. })
    ));
    assert_eq!(
        backups.last(&file, "before").unwrap().text,
        "before",
        "an interrupted run"
    );
    assert!(matches!(
        replace(&file, "else", "after"),
        Err(FileError::Changed(_))
    ));
    assert_eq!(read(&file).unwrap(), "before");
}

#[test]
fn what_was_not_proved_is_known_until_it_is_proved_or_undone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.yaml");
    fs::write(&file, "before").unwrap();
    let backups = Backups::new(home.path().join("backup"));
    let texts = ["before", "after"];
    assert_eq!(backups.unproved(&file, "before").unwrap(), None);
    backups
        .save_unproved(&file, texts, "accept", 12.25)
        .unwrap();
    for (current, written) in [
        ("before", Written::No),
        ("after", Written::Yes),
        ("else", Written::Changed),
    ] {
        let found = backups.unproved(&file, current).unwrap().unwrap();
        let wanted = Unproved {
            reason: "accept".into(),
            started: 12.25,
            written,
        };
        assert_eq!(found, wanted);
    }
    replace(&file, "before", "after").unwrap();
    backups.proved(&file).unwrap();
    assert_eq!(backups.unproved(&file, "after").unwrap(), None);
    // It can still be undone, and a change that is undone waits for no proof.
    assert_eq!(backups.last(&file, "after").unwrap().text, "before");
    backups
        .save_unproved(&file, ["after", "more"], "sign", 13.5)
        .unwrap();
    backups.last(&file, "more").unwrap().forget().unwrap();
    assert_eq!(backups.unproved(&file, "after").unwrap(), None);
    assert_eq!(backups.last(&file, "after").unwrap().reason, "accept");
}
