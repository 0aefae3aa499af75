//! What a platform has of the machine that it runs on: its name, a data directory, addresses to listen at.

use std::{net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::Path};

use kernel::{Error, Result};
use tokio::net::TcpListener;

/// Who holds the lease, for people: machine and process.
pub(crate) fn holder() -> String {
    format!("{}/{}", host(), std::process::id())
}

/// The name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Makes a data directory, for nobody else to read.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            Error::unavailable(format!(
                "cannot make the data directory {}: {error}",
                path.display()
            ))
            .remedy(kernel::error::disk_remedy(
                &error,
                "give another with --data or TOWPATH_DATA",
            ))
        })
}

/// Listens at `address` for `what`, which is set by `flag`.
pub(crate) async fn listen(address: SocketAddr, what: &str, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("{what} cannot listen on {address}: another program listens there")
            }
            _ => format!("{what} cannot listen on {address}: {error}"),
        };
        Error::unavailable(message).remedy(format!(
            "stop that program, or choose another address with {flag}"
        ))
    })
}

/// Where it listens.
pub(crate) fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener
        .local_addr()
        .map_err(|e| Error::internal("a listener has no address", e))
}
