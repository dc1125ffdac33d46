//! Credentials where the name of a file belongs: `irsa token explain "$(cat token)"`.
//!
//! An error would quote them, and standard error is kept by every CI system.

use std::ffi::OsString;

use crate::report::Failure;

/// Refuses a command line with a token or PEM text in it, without quoting it.
pub fn refuse(arguments: &[OsString]) -> Result<(), Failure> {
    for (number, argument) in arguments.iter().enumerate() {
        let text = argument.to_string_lossy();
        let found = if text.contains("-----BEGIN ") {
            "PEM text"
        } else if text.split(is_no_part_of_a_token).any(is_token) {
            "a token"
        } else {
            continue;
        };
        return Err(Failure::usage(
            format!("argument {number} is {found} itself, not the name of a file"),
            "give the name of its file, or - and pipe it in; whoever is on this machine could read it on the command \
             line: if it is secret, it is no longer",
        ));
    }
    Ok(())
}

fn is_no_part_of_a_token(letter: char) -> bool {
    !(letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
}

/// Three parts of base64url, of which the first is a JSON object (RFC 7515, section 3.1).
fn is_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.split('.').count() == 3 && word.len() > 40
}

#[cfg(test)]
mod tests {
    use irsa_core::algorithm::Curve;
    use irsa_core::private::PrivateKeyPem;

    use super::*;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL29pZGMifQ.c2lnbmF0dXJl";

    fn refused(argument: &str) -> Option<String> {
        let arguments = ["irsa", "token", "explain", argument].map(OsString::from);
        refuse(&arguments).err().map(|failure| failure.message())
    }

    #[test]
    fn tokens_and_keys_are_refused_without_being_quoted() {
        let key = PrivateKeyPem::from_scalar(Curve::P256, &[1]).unwrap();
        let pem = key.expose_pem();
        for (argument, what) in [
            (TOKEN.to_owned(), "a token"),
            (format!("Bearer {TOKEN}"), "a token"),
            (format!("--file={TOKEN}"), "a token"),
            (pem.to_owned(), "PEM text"),
            (format!("--key={pem}"), "PEM text"),
        ] {
            let message = refused(&argument).unwrap();
            assert_eq!(
                message,
                format!("argument 3 is {what} itself, not the name of a file")
            );
        }
    }

    #[test]
    fn names_of_files_are_not_taken_for_tokens() {
        for name in [
            "token",
            "eyJ.token.old",
            "/tmp/eyJhbGciOiJSUzI1NiJ9eyJpc3MiOiJodHRwczovL29pZGMifQ",
            "https://oidc.example.com/a.b.c",
        ] {
            assert_eq!(refused(name), None, "{name}");
        }
    }
}
