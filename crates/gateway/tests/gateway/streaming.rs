//! Answers that arrive bit by bit, and changed protocols.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::ws::{Message, WebSocketUpgrade},
    response::IntoResponse,
};
use futures::{SinkExt, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::tungstenite;

use crate::support::{Backend, Fixture, PATIENCE, table};

async fn echo(upgrade: WebSocketUpgrade) -> impl IntoResponse {
    upgrade
        .protocols(["chat"])
        .on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Message::Close(_)) || socket.send(message).await.is_err() {
                    return;
                }
            }
        })
}

#[tokio::test]
async fn a_web_socket_passes_through() {
    let backend = Backend::serve(Router::new().fallback(echo)).await;
    let fixture = Fixture::with(table(&[("ws.localhost", "/", &[backend.address])])).await;
    let stream = TcpStream::connect(fixture.gateway.address()).await.unwrap();
    let mut request =
        tungstenite::client::IntoClientRequest::into_client_request("ws://ws.localhost/socket")
            .unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "chat".parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    for n in 0..100 {
        let text = format!("{n}").repeat(n + 1);
        socket
            .send(tungstenite::Message::text(text.clone()))
            .await
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        assert_eq!(answer.unwrap().unwrap().into_text().unwrap().as_str(), text);
    }
    assert_eq!(
        fixture.gateway.connections(),
        1,
        "a tunnel counts as a connection"
    );
    // The routes may change; what is open stays with its backend.
    fixture.routes.send_replace(table(&[]));
    socket
        .send(tungstenite::Message::text("still"))
        .await
        .unwrap();
    let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    assert_eq!(
        answer.unwrap().unwrap().into_text().unwrap().as_str(),
        "still"
    );
    // A gateway that shuts down does not wait for it beyond the grace.
    fixture.gateway.shutdown(Duration::from_millis(10)).await;
}

#[tokio::test]
async fn a_backend_may_decline_a_web_socket() {
    let backend = Backend::saying("no sockets here").await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let stream = TcpStream::connect(fixture.gateway.address()).await.unwrap();
    let refused = tokio_tungstenite::client_async("ws://a.localhost/", stream)
        .await
        .unwrap_err();
    let tungstenite::Error::Http(response) = refused else {
        panic!("{refused}")
    };
    assert_eq!(response.status(), 200);
}

/// A backend whose one answer's pieces come from a channel, and whose client's leaving closes it.
fn feed() -> (Router, mpsc::Sender<Result<&'static str, Crash>>) {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let app = Router::new().fallback(move || async move {
        let receiver = receiver.lock().await.take().expect("one request");
        let stream = pieces(receiver);
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(stream),
        )
    });
    (app, sender)
}

fn pieces<T>(receiver: mpsc::Receiver<T>) -> impl futures::Stream<Item = T> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    })
}

#[derive(Debug, thiserror::Error)]
#[error("the backend crashed")]
struct Crash;

#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let (app, feed) = feed();
    let backend = Backend::serve(app).await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let request = Request::get("/")
        .header("host", "a.localhost")
        .body(Full::default())
        .unwrap();
    let mut client = fixture.client().await;
    let mut response = client.send(request).await;
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        // The next is sent only after this one has arrived: a gateway that collects would hang.
        feed.send(Ok(event)).await.unwrap();
        let frame = tokio::time::timeout(PATIENCE, response.frame())
            .await
            .expect("unbuffered");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), event);
    }
    drop(feed);
    assert!(response.frame().await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_backends_work() {
    let (app, feed) = feed();
    let backend = Backend::serve(app).await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let request = Request::get("/")
        .header("host", "a.localhost")
        .body(Full::default())
        .unwrap();
    let mut client = fixture.client().await;
    let mut response = client.send(request).await;
    feed.send(Ok("data: 1\n\n")).await.unwrap();
    response.frame().await.unwrap().unwrap();
    drop((response, client));
    tokio::time::timeout(PATIENCE, feed.closed())
        .await
        .expect("the backend learns of it");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    let (app, feed) = feed();
    let backend = Backend::serve(app).await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let request = Request::get("/")
        .header("host", "a.localhost")
        .body(Full::default())
        .unwrap();
    let mut client = fixture.client().await;
    let mut response = client.send(request).await;
    feed.send(Ok("half")).await.unwrap();
    assert_eq!(
        response
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap(),
        "half"
    );
    feed.send(Err(Crash)).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
}
