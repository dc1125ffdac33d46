use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use kube::core::Status;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("pods cannot be listed")]
struct Refused(#[source] Box<kube::Error>);

impl Explain for Refused {
    fn help(&self) -> Option<String> {
        None
    }
}

#[test]
fn an_answer_of_the_api_server_is_said_once_and_in_words() {
    let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
    let failure = Failure::from(Refused(Box::new(kube::Error::Api(Box::new(status)))));
    assert_eq!(
        failure.message(),
        "pods cannot be listed: 403 Forbidden: pods is forbidden"
    );
}

#[derive(Debug)]
struct Asked(CredentialsError);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("role \"r\" cannot be read")
    }
}

impl Error for Asked {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl Explain for Asked {}

#[test]
fn missing_credentials_are_one_refusal_whatever_was_asked() {
    let failed = Failed::of(&Asked(CredentialsError::not_loaded(
        "tried:\n  Environment",
    )));
    assert_eq!(failed.message, "no AWS credentials are found");
    assert_eq!(failed.exit, Exit::Refused);
    assert!(
        failed
            .causes
            .iter()
            .any(|cause| cause.ends_with("tried: Environment")),
        "{failed:?}"
    );
}

/// As the pod identity agent while it restarts: nothing is wrong with what was asked.
#[test]
fn credentials_that_are_late_are_a_reason_to_run_again() {
    for late in [
        CredentialsError::provider_error("STS is down"),
        CredentialsError::unhandled("connection refused"),
    ] {
        let failed = Failed::of(&Asked(late));
        assert_eq!(failed.message, "role \"r\" cannot be read");
        assert_eq!(failed.exit, Exit::TryAgain);
    }
}

/// A CronJob that is run again and again on it would be green for ever.
#[test]
fn credentials_that_will_never_come_are_no_reason_to_run_again() {
    let refused = |code: &str| {
        let meta = aws_sdk_sts::error::ErrorMetadata::builder();
        AssumeRoleWithWebIdentityError::generic(meta.code(code).build())
    };
    let gone = io::Error::from(io::ErrorKind::NotFound);
    for (why, exit) in [
        (CredentialsError::provider_error(gone), Exit::Failed),
        (
            CredentialsError::provider_error(refused("AccessDenied")),
            Exit::Failed,
        ),
        (
            CredentialsError::provider_error(refused("IDPCommunicationError")),
            Exit::TryAgain,
        ),
    ] {
        assert_eq!(Failed::of(&Asked(why)).exit, exit);
    }
}

#[test]
fn a_refusal_in_the_middle_of_a_run_does_not_say_that_nothing_was_attempted() {
    for (failure, exit) in [
        (Failure::usage("no", "look"), Exit::Failed),
        (Failure::again("later", "wait"), Exit::TryAgain),
    ] {
        let Failure::Failed(failed) = failure.midway() else {
            panic!("it has something to tell");
        };
        assert_eq!(failed.exit, exit);
    }
}
