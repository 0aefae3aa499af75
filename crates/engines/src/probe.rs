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

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Read, Write},
        net::TcpListener,
        sync::Arc,
        thread::{self, JoinHandle},
    };

    use base64::Engine as _;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

    use super::*;

    /// A certificate that nobody but its own key has signed, for another host.
    const CERTIFICATE: &str = "\
        MIIBgTCCASegAwIBAgIUdczLlM2wlYCbLjroSkY7+RY84cgwCgYIKoZIzj0EAwIwFTETMBEGA1UEAwwKcHJvYmUudGVz\
        dDAgFw0yNjExMjkyMTAxNDFaGA8yMTI2MTEwNTIxMDE0MVowFTETMBEGA1UEAwwKcHJvYmUudGVzdDBZMBMGByqGSM49\
        AgEGCCqGSM49AwEHA0IABMHshYv2A9kWkYjVBuf5HQ6JqqGQF9Yb6Z0fVN8zdKU+oqsAfXaE+BTeBW36HSLVh4rs84pW\
        GxP+4REl2qJDcrujUzBRMB0GA1UdDgQWBBSEPHnw4TBx93nxFFbXUIuVMPOKSzAfBgNVHSMEGDAWgBSEPHnw4TBx93nx\
        FFbXUIuVMPOKSzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQD2ua13iAoSx0wte8rvLozB23/en31/\
        eJI1yD6PFeYq5AIgMJEkDNTmcp9e/BFKQZ2X1jRH3ypPzXY0Aw84zOyLSA0=";
    /// Its key, in PKCS #8.
    const KEY: &str = "\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwhPFuxIkq01y5dsT/Z4pBWe8xqjQ/ocQ063BKY5StnKh\
        RANCAATB7IWL9gPZFpGI1Qbn+R0OiaqhkBfWG+mdH1TfM3SlPqKrAH12hPgU3gVt+h0i1YeK7POKVhsT/uERJdqiQ3K7";

    /// Reads the head of a request, answers that all is well, and gives what was asked.
    fn answer(mut stream: impl Read + Write) -> io::Result<Vec<String>> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
        stream.flush()?;
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        Ok(head.lines().map(str::to_owned).collect())
    }

    /// Answers one request, over TLS where `tls` says how.
    fn serve(
        tls: Option<rustls::ServerConfig>,
    ) -> (SocketAddr, JoinHandle<io::Result<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let Some(tls) = tls else {
                return answer(stream);
            };
            let mut tls = rustls::ServerConnection::new(Arc::new(tls)).map_err(io::Error::other)?;
            answer(rustls::Stream::new(&mut tls, &mut stream))
        });
        (address, served)
    }

    fn probe(https: bool) -> HttpProbe {
        HttpProbe {
            host: Some("shop.example.com".into()),
            https,
            path: "ready?deep=1".into(),
            port: 8080,
            headers: vec![("X-Asked-By".into(), "the platform".into())],
        }
    }

    async fn is_asked_as_it_says(https: bool, tls: Option<rustls::ServerConfig>) {
        let prober = Prober::new(Duration::from_secs(20)).expect("a prober");
        let (address, served) = serve(tls);
        prober
            .http(address, &probe(https))
            .await
            .expect("it answers");
        let asked = served.join().expect("no panic").expect("it was asked");
        assert_eq!(asked[0], "GET /ready?deep=1 HTTP/1.1");
        for header in ["host: shop.example.com", "x-asked-by: the platform"] {
            let is_there = asked
                .iter()
                .filter(|line| line.eq_ignore_ascii_case(header));
            assert_eq!(is_there.count(), 1, "{header}: {asked:?}");
        }
        assert!(
            !asked.iter().any(|line| line.contains("127.0.0.1")),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn host_and_headers_are_sent_as_the_probe_says() {
        is_asked_as_it_says(false, None).await;
    }

    #[tokio::test]
    async fn over_https_it_asks_whoever_answers() {
        Prober::new(Duration::from_secs(1)).expect("the provider is installed");
        let decode = |text: &str| {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.expect("it is base64")
        };
        let certificate = CertificateDer::from(decode(CERTIFICATE));
        let key = PrivatePkcs8KeyDer::from(decode(KEY)).into();
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they belong together");
        is_asked_as_it_says(true, Some(tls)).await;
    }

    #[tokio::test]
    async fn what_speaks_http_is_not_ready_for_https() {
        let prober = Prober::new(Duration::from_secs(2)).expect("a prober");
        let (address, _served) = serve(None);
        assert!(prober.http(address, &probe(true)).await.is_err());
    }
}
