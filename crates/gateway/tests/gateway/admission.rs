//! Who is let in where not everybody is.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
};
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_tungstenite::tungstenite;
use towpath_gateway::{
    Admission, Callers, Gateway, GatewayHandle, Limits, RoutingTable, Target, Unknown,
    tcp::{Backends, Forwarder, Slots},
};

use crate::support::{Backend, Client, PATIENCE, target};

/// Says the same of every connection; notes how often it was asked and whom it saw refused.
struct Says {
    caller: Mutex<Result<Option<String>, Unknown>>,
    asked: Mutex<Vec<SocketAddr>>,
    refused: Mutex<Vec<(Option<String>, String)>>,
}

impl Says {
    fn new(caller: Result<Option<&str>, &str>) -> Arc<Self> {
        Arc::new(Self {
            caller: Mutex::new(said(caller)),
            asked: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    fn says(&self, caller: Result<Option<&str>, &str>) {
        *self.caller.lock().unwrap() = said(caller);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn refused(&self) -> Vec<(Option<String>, String)> {
        std::mem::take(&mut *self.refused.lock().unwrap())
    }
}

fn said(caller: Result<Option<&str>, &str>) -> Result<Option<String>, Unknown> {
    let caller = caller.map(|environment| environment.map(str::to_owned));
    caller.map_err(|why| Unknown(why.to_owned()))
}

#[async_trait]
impl Callers for Says {
    async fn environment_of(
        &self,
        peer: SocketAddr,
        _: SocketAddr,
    ) -> Result<Option<String>, Unknown> {
        self.asked.lock().unwrap().push(peer);
        self.caller.lock().unwrap().clone()
    }

    fn refused(&self, from: Result<&str, &Unknown>, admission: &Admission) {
        let from = from.ok().map(str::to_owned);
        let refused = (from, admission.namespace.clone());
        self.refused.lock().unwrap().push(refused);
    }
}

fn lets_in(from: &[&str]) -> Option<Arc<Admission>> {
    Some(Arc::new(Admission {
        namespace: "payments-dev".into(),
        team: "payments".into(),
        from: from.iter().map(|&name| name.to_owned()).collect(),
    }))
}

/// `shut.localhost` as `admission` says, and `open.localhost` for everybody.
fn routes(backend: SocketAddr, admission: Option<Arc<Admission>>) -> Arc<RoutingTable> {
    let mut table = RoutingTable::new();
    let shut = Target {
        admission,
        ..target("payments-dev/api", &[backend])
    };
    table.insert("shut.localhost", "/", shut).unwrap();
    let open = target("shop/web", &[backend]);
    table.insert("open.localhost", "/", open).unwrap();
    Arc::new(table)
}

async fn gateway(
    table: Arc<RoutingTable>,
    callers: Option<Arc<dyn Callers>>,
) -> (GatewayHandle, watch::Sender<Arc<RoutingTable>>) {
    let (routes, newest) = watch::channel(table);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::start_with(listener, newest, Limits::default(), callers).unwrap();
    (gateway, routes)
}

#[tokio::test]
async fn a_workload_is_let_in_where_its_environment_is_named_and_the_outside_everywhere() {
    let backend = Backend::saying("hello").await;
    for (caller, let_in) in [
        (Some("payments-dev"), true),
        (Some("shop-dev"), true),
        (Some("search-dev"), false),
        (None, true),
    ] {
        let says = Says::new(Ok(caller));
        let table = routes(backend.address, lets_in(&["payments-dev", "shop-dev"]));
        let (gateway, _routes) = gateway(table, Some(says.clone())).await;
        let mut client = Client::connect(gateway.address()).await;
        let (status, body) = client.get("shut.localhost", "/").await;
        assert_eq!(status, if let_in { 200 } else { 403 }, "{caller:?}: {body}");
        let told = says.refused();
        assert_eq!(told.len(), usize::from(!let_in), "{told:?}");
    }
}

#[tokio::test]
async fn the_refusal_names_both_and_how_to_mend_it() {
    let backend = Backend::saying("hello").await;
    let says = Says::new(Ok(Some("search-dev")));
    let table = routes(backend.address, lets_in(&["payments-dev"]));
    let (gateway, _routes) = gateway(table, Some(says.clone())).await;
    let mut client = Client::connect(gateway.address()).await;
    let request = http::Request::get("/")
        .header("host", "shut.localhost")
        .header("accept", "text/html")
        .body(Default::default())
        .unwrap();
    let response = client.send(request).await;
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let (status, body) = crate::support::text(response).await;
    assert_eq!(status, 403);
    assert_eq!(
        body,
        "{\"type\":\"https://towpath.dev/problems/forbidden\",\"title\":\"The caller may not reach \
         this\",\"status\":403,\"detail\":\"workloads of `search-dev` may not reach namespace \
         `payments-dev`\",\"remedy\":\"have team `payments` let it in: `fromNamespace: search-dev` in \
         `networkPolicies.allowIngress` of namespace `payments-dev`\"}\n"
    );
    let refused = (Some("search-dev".to_owned()), "payments-dev".to_owned());
    assert_eq!(says.refused(), [refused]);
}

#[tokio::test]
async fn who_calls_is_asked_once_for_a_connection_and_what_is_let_in_decided_for_each_request() {
    let backend = Backend::saying("hello").await;
    let says = Says::new(Ok(Some("search-dev")));
    let (gateway, table) = gateway(routes(backend.address, None), Some(says.clone())).await;
    let mut client = Client::connect(gateway.address()).await;
    for host in ["open.localhost", "shut.localhost"] {
        assert_eq!(client.get(host, "/").await.0, 200);
    }
    assert_eq!(says.asked(), 0, "nobody asks for what everybody may reach");
    for (admission, status) in [
        (lets_in(&["payments-dev"]), 403),
        (lets_in(&["payments-dev", "search-dev"]), 200),
        (lets_in(&["payments-dev"]), 403),
        (None, 200),
    ] {
        table.send_replace(routes(backend.address, admission));
        assert_eq!(client.get("shut.localhost", "/").await.0, status);
        assert_eq!(client.get("open.localhost", "/").await.0, 200);
    }
    assert_eq!(says.asked(), 1);
}

#[tokio::test]
async fn who_cannot_be_told_is_not_let_in_and_asked_for_again() {
    let backend = Backend::saying("hello").await;
    let table = || routes(backend.address, lets_in(&["payments-dev"]));
    let says = Says::new(Err("the process is gone"));
    let (known, _routes) = gateway(table(), Some(says.clone())).await;
    let mut client = Client::connect(known.address()).await;
    let (status, body) = client.get("shut.localhost", "/").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("could not be found out"), "{body}");
    assert_eq!(says.refused(), [(None, "payments-dev".to_owned())]);
    says.says(Ok(Some("payments-dev")));
    assert_eq!(client.get("shut.localhost", "/").await.0, 200);
    // Where nobody knows workloads, nobody is let in.
    let (unknowing, _routes) = gateway(table(), None).await;
    let mut client = Client::connect(unknowing.address()).await;
    assert_eq!(client.get("shut.localhost", "/").await.0, 503);
    assert_eq!(client.get("open.localhost", "/").await.0, 200);
}

#[tokio::test]
async fn a_port_lets_in_whom_a_host_would() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"in").await.unwrap();
        }
    });
    let leads = |admission| Backends {
        addresses: vec![backend],
        admission,
    };
    let says = Says::new(Ok(Some("search-dev")));
    let (port, newest) = watch::channel(leads(lets_in(&["payments-dev"])));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let forwarder =
        Forwarder::bind(any, newest, Some(says.clone()), Slots::default().of("ours")).await;
    let forwarder = forwarder.unwrap();
    let reach = async || {
        let mut stream = TcpStream::connect(forwarder.address()).await.unwrap();
        let mut word = String::new();
        stream.read_to_string(&mut word).await.map(|_| word)
    };
    let reset = reach().await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(says.refused().len(), 1);
    port.send_replace(leads(lets_in(&["payments-dev", "search-dev"])));
    assert_eq!(reach().await.unwrap(), "in");
    port.send_replace(leads(None));
    assert_eq!(reach().await.unwrap(), "in");
    assert_eq!(says.asked(), 2);
}

/// Sends back what it is sent.
async fn echo(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if matches!(message, Message::Close(_)) || socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test]
async fn an_open_web_socket_ends_when_its_workload_is_let_in_no_more() {
    let backend = Backend::serve(Router::new().fallback(echo)).await;
    let says = Says::new(Ok(Some("shop-dev")));
    let both = ["payments-dev", "shop-dev"];
    let (gateway, table) =
        gateway(routes(backend.address, lets_in(&both)), Some(says.clone())).await;
    let open = async |url: &str| {
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        socket
    };
    let mut shut = open("ws://shut.localhost/socket").await;
    let mut free = open("ws://open.localhost/socket").await;
    let says_back = async |socket: &mut tokio_tungstenite::WebSocketStream<TcpStream>| {
        let word = tungstenite::Message::text("word");
        if socket.send(word).await.is_err() {
            return false;
        }
        let answer = tokio::time::timeout(PATIENCE, socket.next()).await;
        matches!(answer.unwrap(), Some(Ok(answer)) if answer.is_text())
    };
    assert!(says_back(&mut shut).await && says_back(&mut free).await);
    // Another change, which lets it in as before.
    table.send_replace(routes(backend.address, lets_in(&["shop-dev"])));
    assert!(says_back(&mut shut).await);
    assert!(says.refused().is_empty());

    table.send_replace(routes(backend.address, lets_in(&["payments-dev"])));
    let end = tokio::time::timeout(PATIENCE, shut.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    let refused = (Some("shop-dev".to_owned()), "payments-dev".to_owned());
    assert_eq!(says.refused(), [refused]);
    // What everybody may reach goes on.
    assert!(says_back(&mut free).await);
}

#[tokio::test]
async fn an_open_connection_to_a_port_ends_when_its_workload_is_let_in_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let leads = |admission| Backends {
        addresses: vec![backend],
        admission,
    };
    let says = Says::new(Ok(Some("shop-dev")));
    // Let in when everybody was: who it is, is asked when that changes.
    let (port, newest) = watch::channel(leads(None));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let forwarder =
        Forwarder::bind(any, newest, Some(says.clone()), Slots::default().of("ours")).await;
    let forwarder = forwarder.unwrap();
    let mut stream = TcpStream::connect(forwarder.address()).await.unwrap();
    let mut says_back = async |word: &[u8]| {
        stream.write_all(word).await?;
        let mut answer = vec![0; word.len()];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer));
        read.await.unwrap()?;
        assert_eq!(answer, word);
        Ok::<_, std::io::Error>(())
    };
    says_back(b"one").await.unwrap();
    assert_eq!(says.asked(), 0);
    port.send_replace(leads(lets_in(&["payments-dev", "shop-dev"])));
    says_back(b"two").await.unwrap();
    port.send_replace(leads(lets_in(&["payments-dev"])));
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
    let reset = end.await.unwrap().unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(says.refused().len(), 1);
    // A workload that nobody can tell any more is let in no more either.
    port.send_replace(leads(None));
    let mut stream = TcpStream::connect(forwarder.address()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    let mut back = [0];
    stream.read_exact(&mut back).await.unwrap();
    says.says(Err("the process is gone"));
    port.send_replace(leads(lets_in(&["shop-dev"])));
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
    end.await.unwrap().unwrap_err();
}
