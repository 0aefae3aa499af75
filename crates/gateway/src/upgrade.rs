//! Changed protocols, WebSockets above all: bytes both ways, unread.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

/// Carries bytes between a client and a backend until one of them ends, or the gateway does, or the client
/// is `shut_out`.
pub(crate) async fn tunnel(
    client: OnUpgrade,
    backend: OnUpgrade,
    shut_out: impl Future<Output = ()>,
    kill: CancellationToken,
) {
    let carry = async {
        let (client, backend) = tokio::try_join!(client, backend).map_err(std::io::Error::other)?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(backend)).await
    };
    tokio::select! {
        result = carry => if let Err(error) = result {
            tracing::debug!(%error, "an upgraded connection ended");
        },
        () = shut_out => {}
        () = kill.cancelled() => {}
    }
}
