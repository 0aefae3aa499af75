//! Backends, gateways and clients for tests.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};
use towpath_gateway::{Absence, Gateway, GatewayHandle, Limits, RoutingTable, Target};

pub(crate) use testkit::PATIENCE;

/// An address that refuses every connection, for as long as the socket lives.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = silent.local_addr().unwrap();
    (silent, address)
}

pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Backend {
    pub(crate) async fn serve(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            axum::serve(listener, app)
                .with_graceful_shutdown(stopped)
                .await
                .unwrap();
        });
        Self {
            address,
            stop,
            task,
        }
    }

    /// A backend that answers every request with `text`.
    pub(crate) async fn saying(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::serve(Router::new().fallback(move || async move { text })).await
    }

    /// Closes the listener, lets requests finish, then ends.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

pub(crate) fn target(owner: &str, backends: &[SocketAddr]) -> Target {
    Target {
        owner: owner.into(),
        backends: backends.into(),
        absence: Absence::Starting,
        admission: None,
    }
}

pub(crate) fn table(routes: &[(&str, &str, &[SocketAddr])]) -> Arc<RoutingTable> {
    let mut table = RoutingTable::new();
    for (host, path, backends) in routes {
        table.insert(host, path, target(host, backends)).unwrap();
    }
    Arc::new(table)
}

pub(crate) struct Fixture {
    pub(crate) routes: watch::Sender<Arc<RoutingTable>>,
    pub(crate) gateway: GatewayHandle,
}

impl Fixture {
    pub(crate) async fn with(table: Arc<RoutingTable>) -> Self {
        Self::limited(table, Limits::default()).await
    }

    pub(crate) async fn limited(table: Arc<RoutingTable>, limits: Limits) -> Self {
        let (routes, newest) = watch::channel(table);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::start_with(listener, newest, limits, None).unwrap();
        Self { routes, gateway }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.gateway.address()).await
    }

    /// Sends bytes as they are, and reads until the gateway closes.
    pub(crate) async fn raw(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.gateway.address()).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("the gateway closes the connection")
            .unwrap_or_default();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A client that keeps one connection.
pub(crate) struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { address, sender }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Response<hyper::body::Incoming> {
        if self.sender.ready().await.is_err() {
            *self = Self::connect(self.address).await;
        }
        tokio::time::timeout(PATIENCE, self.sender.send_request(request))
            .await
            .expect("an answer in time")
            .expect("an answer")
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> (u16, String) {
        let request = Request::get(path)
            .header("host", host)
            .body(Full::default())
            .unwrap();
        text(self.send(request).await).await
    }
}

pub(crate) async fn text(response: Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}
