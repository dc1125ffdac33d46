//! What can be seen of the files that flags name.

/// A file that a flag names, as far as it can be seen from here.
#[derive(Debug)]
pub enum Seen<T> {
    /// It was read.
    Read(T),
    /// It is not visible inside the container: no volume holds it.
    NotMounted,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It is not on this host, and the directory that it should be in is.
    Missing,
    /// It is on this host, and this user may not read it.
    Denied,
    /// It is not on this host, or was not looked at.
    NotHere,
}

impl<T> Seen<T> {
    /// Makes something of what was read.
    pub fn map<U>(self, parse: impl FnOnce(T) -> Result<U, String>) -> Seen<U> {
        match self {
            Self::Read(value) => match parse(value) {
                Ok(value) => Seen::Read(value),
                Err(reason) => Seen::Unreadable(reason),
            },
            Self::NotMounted => Seen::NotMounted,
            Self::Unreadable(reason) => Seen::Unreadable(reason),
            Self::Missing => Seen::Missing,
            Self::Denied => Seen::Denied,
            Self::NotHere => Seen::NotHere,
        }
    }

    /// Whether it was read, without what it says.
    pub(super) fn state(&self) -> Seen<()> {
        match self {
            Self::Read(_) => Seen::Read(()),
            Self::NotMounted => Seen::NotMounted,
            Self::Unreadable(reason) => Seen::Unreadable(reason.clone()),
            Self::Missing => Seen::Missing,
            Self::Denied => Seen::Denied,
            Self::NotHere => Seen::NotHere,
        }
    }
}
