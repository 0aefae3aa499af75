//! A tool that teams use beside the platform: boards, and who may write on each. It knows nothing of
//! Towpath; an integration keeps it in step with the teams.
//!
//! `GET` and `PUT /boards/NAME`, JSON, with the token that `NOTICEBOARD_TOKEN` names. Listens at
//! `NOTICEBOARD_LISTEN`. Boards are kept for as long as it runs.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use serde_json::Value;

#[derive(Clone)]
struct Boards {
    token: Arc<str>,
    boards: Arc<Mutex<BTreeMap<String, Value>>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let boards = Boards {
        token: format!("Bearer {}", setting("NOTICEBOARD_TOKEN")?).into(),
        boards: Arc::default(),
    };
    let routes = Router::new()
        .route("/boards/{name}", get(look).put(write))
        .layer(from_fn_with_state(boards.clone(), known))
        .with_state(boards);
    let listener = tokio::net::TcpListener::bind(setting("NOTICEBOARD_LISTEN")?).await?;
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn known(
    State(boards): State<Boards>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let token = request.headers().get(header::AUTHORIZATION);
    if token.is_none_or(|token| token.as_bytes() != boards.token.as_bytes()) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(next.run(request).await)
}

async fn look(
    State(boards): State<Boards>,
    Path(name): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let boards = boards.boards.lock().unwrap_or_else(PoisonError::into_inner);
    boards
        .get(&name)
        .cloned()
        .map(Json)
        .ok_or(StatusCode::NOT_FOUND)
}

async fn write(
    State(boards): State<Boards>,
    Path(name): Path<String>,
    Json(board): Json<Value>,
) -> StatusCode {
    let mut boards = boards.boards.lock().unwrap_or_else(PoisonError::into_inner);
    boards.insert(name, board);
    StatusCode::NO_CONTENT
}
