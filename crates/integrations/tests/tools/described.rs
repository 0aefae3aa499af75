//! An API that nobody has written an adapter for.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::support::{CREDENTIAL, heal, serve, team, tool};

type Shared = State<Arc<Mutex<Option<Value>>>>;

async fn folders() -> (String, Arc<Mutex<Option<Value>>>) {
    let folder = Arc::new(Mutex::new(None));
    let router = Router::new()
        .route("/api/folders/{name}", get(show).put(write))
        .with_state(folder.clone());
    (serve(router).await, folder)
}

async fn show(State(folder): Shared, headers: HeaderMap) -> Response {
    let authorization = headers[header::AUTHORIZATION].to_str().unwrap();
    assert_eq!(authorization, format!("Token {CREDENTIAL}"));
    match folder.lock().unwrap().clone() {
        Some(folder) => Json(folder).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn write(
    State(folder): Shared,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    assert_eq!(name, "payments");
    *folder.lock().unwrap() = Some(json!({ "meta": { "size": 7 }, "folder": body }));
    StatusCode::NO_CONTENT
}

fn config(url: &str) -> Value {
    let body = "{\"title\": {{ team.description | tojson }}, \"users\": [
        {%- for member in team.members %}{{ member.name | tojson }}{{ \",\" if not loop.last }}{% endfor -%}
    ]}";
    json!({
        "url": url,
        "headers": { "Authorization": "Token {{ credential }}" },
        "checks": [{
            "name": "folder",
            "get": "/api/folders/{{ team.name }}",
            "equals": {
                "/folder/title": "{{ team.description | tojson }}",
                "/folder/users": "{{ team.members | map(attribute='name') | list | tojson }}",
            },
            "unordered": ["/folder/users"],
            "update": { "method": "PUT", "path": "/api/folders/{{ team.name }}", "body": body },
        }],
    })
}

#[tokio::test]
async fn what_data_describes_is_made_and_kept() {
    let (url, folder) = folders().await;
    let (http, config) = (tool("http"), config(&url));
    assert_eq!(http.check(&config), []);
    let wanted = team(&["ada", "bob"]);
    let healed = heal(http.as_ref(), &config, &wanted).await;
    assert_eq!(healed, ["folder: - -> present"]);
    // Their order says nothing.
    folder.lock().unwrap().as_mut().unwrap()["folder"]["users"] = json!(["bob", "ada"]);
    assert!(heal(http.as_ref(), &config, &wanted).await.is_empty());
    folder.lock().unwrap().as_mut().unwrap()["folder"]["users"] = json!(["bob", "eve"]);
    let healed = heal(http.as_ref(), &config, &wanted).await;
    assert_eq!(
        healed,
        [r#"folder/folder/users: ["bob","eve"] -> ["ada","bob"]"#]
    );
}

#[test]
fn a_description_is_tried_before_it_is_taken() {
    let http = tool("http");
    let good = config("http://127.0.0.1:1");
    let with = |change: fn(&mut Value)| {
        let mut config = good.clone();
        change(&mut config);
        http.check(&config)
    };
    for problems in [
        with(|config| config["checks"] = json!([])),
        with(|config| config["checks"][0]["get"] = json!("{{ team.nme }}")),
        with(|config| config["checks"][0]["get"] = json!("elsewhere")),
        with(|config| config["checks"][0]["update"]["body"] = json!("{{ team.name }}")),
        with(|config| {
            config["checks"][0]["get"] = json!("/{% for i in range(9999999) %}x{% endfor %}")
        }),
        with(|config| config["url"] = json!("http://169.254.169.254")),
    ] {
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}
