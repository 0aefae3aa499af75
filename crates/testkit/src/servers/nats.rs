//! NATS with JetStream: a server of the test's own.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio::net::TcpStream;

use super::{program, require};
use crate::{PATIENCE, eventually};

/// A NATS server that runs; it ends with the value, and what it keeps stays in its directory.
pub struct NatsServer {
    /// Where it is: `nats://127.0.0.1:PORT`.
    pub url: String,
    process: Child,
}

/// A NATS server with JetStream on `port`, which keeps its streams in `directory`.
///
/// # Panics
/// Where it does not start, or is absent and `TOWPATH_TEST_REQUIRE` names it.
pub async fn nats(directory: &Path, port: u16) -> Option<NatsServer> {
    let program = require("nats", program("nats-server"))?;
    let process = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is there");
    let server = NatsServer {
        url: format!("nats://127.0.0.1:{port}"),
        process,
    };
    eventually("NATS answers", PATIENCE, async || {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    Some(server)
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
