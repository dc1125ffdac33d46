//! The bounds that keep one client from taking what belongs to the others.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How much and how long. Every connection is always under exactly one of the four timeouts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; at the cap the longest silent one is ended for the newcomer. Clamped to the file
    /// descriptors that the process may have.
    pub max_connections: usize,
    /// Connections of one [`Peer`](crate::Peer) at once; at the cap its own longest silent one makes room. Not for
    /// endpoints whose clients share addresses.
    pub max_connections_per_peer: usize,
    /// From the connection, or from the first byte of a later request, to the end of the request's header.
    /// An HTTP/2 connection must make its first request within it.
    pub header_timeout: Duration,
    /// From a response to the next request. On HTTP/2 only requests count: pings keep nothing open.
    pub idle_timeout: Duration,
    /// From the connection to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// From a request, or from another one's response on the same connection, to the response taken by the kernel:
    /// bounds a client that does not read, or does not send what it announced.
    pub write_timeout: Duration,
    /// Bytes of a request's header; at least 8192 over HTTP/1.1.
    pub max_header_bytes: usize,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
    /// Concurrent streams of one HTTP/2 connection.
    pub max_h2_streams: u32,
    /// How often certificate files are looked at, where the endpoint has some.
    pub certificate_poll: Duration,
}

impl Default for Limits {
    /// A JWKS endpoint's clients send one small request and may keep the connection: seconds are generous.
    fn default() -> Self {
        Self {
            max_connections: 8_192,
            max_connections_per_peer: usize::MAX,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1024,
            drain_timeout: Duration::from_secs(15),
            max_h2_streams: 64,
            certificate_poll: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// Raises the process's soft limit of file descriptors to the hard one and fits `max_connections` under it.
    #[must_use]
    pub fn fit_file_descriptors(mut self) -> Self {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // raising within the hard limit is always allowed; if a sandbox forbids it, the soft limit stands
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        let room = allowed.saturating_sub(RESERVED_FILES).max(1);
        if room < self.max_connections {
            tracing::warn!(
                wanted = self.max_connections,
                room,
                "max connections lowered to what the file descriptor limit allows"
            );
            self.max_connections = room;
        }
        self
    }
}

/// For listeners, the admin port, files, the runtime, and evicted connections that are not closed yet.
const RESERVED_FILES: usize = 160;
