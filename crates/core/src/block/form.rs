//! What a file without any PEM block is instead, as far as its first bytes tell.

/// What a file looks like, beyond the blocks that are found in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// As PEM is, or like nothing known.
    Text,
    /// Text of 16-bit units, as PowerShell's `>` writes it.
    Utf16,
    /// A structure without its armour.
    Der,
    /// A BEGIN line that does not begin its line: indented, or after a byte order mark.
    Indented,
    /// A line of OpenSSH.
    OpenSsh,
}

impl FileForm {
    /// The form of these bytes.
    pub(super) fn of(text: &[u8]) -> Self {
        let contains = |wanted: &[u8]| text.windows(wanted.len()).any(|window| window == wanted);
        match text {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Self::Utf16,
            // A SEQUENCE of more than 127 bytes (X.690, section 8.1.3.5), or a P-256 key's, shorter.
            [0x30, 0x59 | 0x81 | 0x82, ..] => Self::Der,
            _ if text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-sha2-") => Self::OpenSsh,
            _ if contains(b"-----BEGIN ") => Self::Indented,
            _ => Self::Text,
        }
    }
}
