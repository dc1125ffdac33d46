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
        backups.save(&file, Some(before), after, "test").unwrap();
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
    backups.save(&file, Some("one\r\n"), "two", "test").unwrap();
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
    backups
        .save(&file, Some("before"), "after", "test")
        .unwrap();
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

#[test]
fn a_change_on_top_of_one_that_was_not_proved_waits_for_the_same_proof() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.yaml");
    fs::write(&file, "stock").unwrap();
    let backups = Backups::new(home.path().join("backup"));
    backups
        .save(&file, Some("stock"), "before", "accept")
        .unwrap();
    replace(&file, "stock", "before").unwrap();
    let killed = ["before", "killed"];
    backups.save_unproved(&file, killed, "sign", 12.25).unwrap();
    replace(&file, "before", "killed").unwrap();
    // By hand, once and once more.
    for (before, after) in [("killed", "patched"), ("patched", "again")] {
        backups.save(&file, Some(before), after, "accept").unwrap();
        replace(&file, before, after).unwrap();
    }
    let found = backups.unproved(&file, "again").unwrap().unwrap();
    assert_eq!((found.started, found.written), (12.25, Written::Yes));
    // One step for whoever asks for one; where it does not work, back to what did.
    assert_eq!(backups.last(&file, "again").unwrap().text, "patched");
    let saved = backups.last_proved(&file, "again").unwrap();
    assert_eq!((saved.text.as_str(), &*saved.reason), ("before", "sign"));
    replace(&file, "again", &saved.text).unwrap();
    saved.forget().unwrap();
    assert_eq!(backups.unproved(&file, "before").unwrap(), None);
    let last = backups.last_proved(&file, "before").unwrap();
    assert_eq!(last.text, "stock", "a proved change is one step");

    // What was not written, or is somebody else's by now, is not below the new change.
    for current in ["before", "theirs"] {
        backups.save_unproved(&file, killed, "sign", 13.5).unwrap();
        fs::write(&file, current).unwrap();
        backups
            .save(&file, Some(current), "patched", "accept")
            .unwrap();
        assert_eq!(backups.unproved(&file, "patched").unwrap(), None);
    }
}

/// Of root's directory, and of a group that reads it: neither is lost with the file that is replaced.
#[test]
fn a_file_keeps_its_group_and_mode() {
    use rustix::process::{getegid, geteuid, getgroups};
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.yaml");
    fs::write(&file, "before").unwrap();
    let other = getgroups().unwrap().into_iter().find(|it| *it != getegid());
    let other = other.map(rustix::process::Gid::as_raw);
    let Some(group) = geteuid().is_root().then_some(54_321).or(other) else {
        return;
    };
    let owner = fs::metadata(&file).unwrap().uid();
    // The group alone: who is not root may do no more.
    std::os::unix::fs::chown(&file, None, Some(group)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    replace(&file, "before", "after").unwrap();
    let found = fs::metadata(&file).unwrap();
    let kept = (found.uid(), found.gid(), found.mode() & 0o7777);
    assert_eq!(kept, (owner, group, 0o640));
}
