//! What one client may ask of the gateway, and how long anyone may keep it waiting.

use std::time::Duration;

/// Limits and time-outs. The defaults suit a gateway that faces people's browsers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once; more wait in the system's accept queue.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// From the first byte awaited to the last byte of a request's head. It also ends a client
    /// connection that is kept alive without a request.
    pub head_timeout: Duration,
    /// The longest pause within a request's body.
    pub body_pause: Duration,
    /// To connect to a backend.
    pub connect_timeout: Duration,
    /// From the end of a request to the head of its answer. An answer's body may pause for ever:
    /// event streams do.
    pub answer_timeout: Duration,
    /// The gateway stands behind another proxy, whose `X-Forwarded-*` fields are true and are
    /// passed on. Otherwise a client's claims are discarded.
    pub behind_proxy: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head_bytes: 64 * 1024,
            // Larger than a sensible upload, and a bound all the same.
            body_bytes: 1024 * 1024 * 1024,
            head_timeout: Duration::from_secs(30),
            body_pause: Duration::from_secs(30),
            // Backends are on this machine or its network: one lost SYN (1 s) is survived, not two.
            connect_timeout: Duration::from_secs(2),
            // What the field's proxies allow, so that a program written for them works here.
            answer_timeout: Duration::from_mins(1),
            behind_proxy: false,
        }
    }
}
