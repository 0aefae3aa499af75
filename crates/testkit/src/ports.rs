//! Ports that nothing listens on.

use std::net::{Ipv4Addr, TcpListener};

/// A port of this machine that was free a moment ago. The system hands ports out in turn, so that
/// another process is unlikely to be given the same one next; a server that can take port 0 and say
/// which one it got is better off with that.
///
/// # Panics
/// Where the system has no free port.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("the system has a free port")
        .port()
}
