use super::*;

fn row(verdict: Verdict) -> Row {
    Row {
        id: "token-issuer",
        subject: "token".into(),
        verdict,
        message: "of another issuer".into(),
        strings: Some(Strings {
            found: "https://h/a/".into(),
            expected: "https://h/a".into(),
            difference: "they differ in the slash".into(),
            common: 11,
        }),
        why: Some("it matters".into()),
        sts: None,
        help: Some("mend it".into()),
        retryable: false,
    }
}

#[test]
fn the_mark_stands_below_the_first_character_that_differs() {
    insta::assert_snapshot!(row(Verdict::Failure).text(), @r"
    FAIL  token-issuer         token: of another issuer
            found     https://h/a/
            expected  https://h/a
                                 ^ they differ in the slash
            why: it matters
            help: mend it
    ");
}

#[test]
fn foreign_texts_cannot_forge_lines() {
    let mut forged = row(Verdict::Warning);
    forged.message = "a\nok    token-issuer".into();
    let strings = forged.strings.as_mut().unwrap();
    strings.found = "\u{1b}[31m".into();
    strings.common = 1;
    let text = forged.text();
    assert!(!text.contains("\nok"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}
