//! TCP keepalive: a side of a connection that has gone without a word is found by asking it.

use std::{io, time::Duration};

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// How long a side may say nothing until the system asks it whether it is still there.
const SILENCE: Duration = Duration::from_mins(1);
/// How often it then asks again.
const AGAIN: Duration = Duration::from_secs(10);
/// How many questions in a row may stay without an answer.
const QUESTIONS: u32 = 6;

/// Has the system end the connection when the other side does not answer any more.
pub(super) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, SILENCE)?;
    sockopt::set_tcp_keepintvl(stream, AGAIN)?;
    sockopt::set_tcp_keepcnt(stream, QUESTIONS)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}
