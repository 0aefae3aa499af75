//! Asking a container whether it is ready or alive.

use std::{net::SocketAddr, time::Duration};

use delivery::engine::{EngineError, HttpProbe};
use tokio::net::TcpStream;

/// Asks over HTTP. Cheap to clone: clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    client: reqwest::Client,
}

impl Prober {
    pub(crate) fn new(timeout: Duration) -> Result<Self, EngineError> {
        // An error says that another part of the program has installed a provider: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            // A probe asks whether the program answers, not who it is: see `HttpProbe::https`.
            .tls_danger_accept_invalid_certs(true)
            .build()
            .map_err(|error| EngineError {
                message: format!("the HTTP client for probes cannot be made: {error}"),
                remedy: None,
                retry: false,
            })?;
        Ok(Self { client })
    }

    /// `Err` says why it is not a success: public text.
    pub(crate) async fn http(&self, address: SocketAddr, probe: &HttpProbe) -> Result<(), String> {
        let scheme = if probe.https { "https" } else { "http" };
        let slash = if probe.path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}://{address}{slash}{}", probe.path);
        let mut request = self.client.get(url);
        if let Some(host) = &probe.host {
            request = request.header(http::header::HOST, host);
        }
        for (name, value) in &probe.headers {
            request = request.header(name, value);
        }
        let path = &probe.path;
        match request.send().await {
            Ok(answer) if (200..400).contains(&answer.status().as_u16()) => Ok(()),
            Ok(answer) => Err(format!("GET {path} answers {}", answer.status().as_u16())),
            Err(error) if error.is_timeout() => Err(format!("GET {path} does not answer in time")),
            Err(error) if error.is_connect() => {
                Err(format!("nothing answers at {address} yet (GET {path})"))
            }
            Err(error) => Err(format!("GET {path} fails: {}", root(&error))),
        }
    }
}

/// Whether something accepts connections at `address`.
pub(crate) async fn listens(address: SocketAddr, timeout: Duration) -> bool {
    matches!(
        tokio::time::timeout(timeout, TcpStream::connect(address)).await,
        Ok(Ok(_))
    )
}

/// The innermost cause: the outer ones repeat the address and its path.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(next) = error.source() {
        error = next;
    }
    error.to_string()
}
