//! A list of people in pages, to whom one is added, and from whom one is removed, at a time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use kernel::ErrorKind;
use serde_json::{Value, json};

use crate::support::{heal, look, serve, team, tool};

/// How it says where the next page is.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// In a header.
    Link,
    /// In the answer.
    Field,
    /// There is always another.
    Endless,
    /// At another server.
    Elsewhere,
    /// It is gone when it is asked for.
    Gone,
}

struct Desk {
    people: Mutex<Vec<String>>,
    next: Mutex<Next>,
    /// People on a page.
    size: usize,
}

type Shared = State<Arc<Desk>>;

async fn desk(next: Next, size: usize) -> (String, Arc<Desk>) {
    let desk = Arc::new(Desk {
        people: Mutex::default(),
        next: Mutex::new(next),
        size,
    });
    let router = Router::new()
        .route("/people", get(list).post(add))
        .route("/people/{login}", delete(remove))
        .with_state(desk.clone());
    (serve(router).await, desk)
}

async fn list(
    State(desk): Shared,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    let people = desk.people.lock().unwrap();
    let next = *desk.next.lock().unwrap();
    if next == Next::Gone && page > 1 {
        return StatusCode::NOT_FOUND.into_response();
    }
    let (from, size) = ((page - 1) * desk.size, desk.size);
    let items = people.iter().skip(from).take(size);
    let items: Vec<Value> = items.map(|login| json!({ "login": login })).collect();
    let is_last = people.len() <= from + size && next != Next::Endless;
    let host = match next {
        Next::Elsewhere => "127.0.0.1:1",
        _ => headers[header::HOST].to_str().unwrap(),
    };
    let path = format!("/people?page={}", page + 1);
    if next == Next::Field {
        let next = (!is_last).then_some(path);
        return Json(json!({ "found": { "people": items }, "next": next })).into_response();
    }
    let mut links = HeaderMap::new();
    if !is_last {
        let link = format!("<http://{host}{path}>; rel=\"next\"");
        links.insert(header::LINK, link.parse().unwrap());
    }
    (links, Json(items)).into_response()
}

async fn add(State(desk): Shared, Json(body): Json<Value>) -> StatusCode {
    let login = body["login"].as_str().unwrap().to_owned();
    let mut people = desk.people.lock().unwrap();
    assert!(!people.contains(&login), "{login} is there already");
    people.push(login);
    StatusCode::CREATED
}

async fn remove(State(desk): Shared, Path(login): Path<String>) -> StatusCode {
    desk.people.lock().unwrap().retain(|one| *one != login);
    StatusCode::NO_CONTENT
}

fn config(url: &str, pages: Value, at: &str) -> Value {
    json!({
        "url": url,
        "checks": [{
            "name": "people",
            "get": "/people",
            "pages": pages,
            "members": { "at": at, "item": "/login" },
            "add": {
                "method": "POST",
                "path": "/people",
                "body": "{\"login\": {{ person.name | tojson }}}",
            },
            "remove": { "method": "DELETE", "path": "/people/{{ person.name }}" },
        }],
    })
}

#[tokio::test]
async fn people_on_every_page_are_there() {
    let http = tool("http");
    for (next, pages, at) in [
        (Next::Link, json!("link"), ""),
        (Next::Field, json!({ "next": "/next" }), "/found/people"),
    ] {
        let (url, desk) = desk(next, 2).await;
        let config = config(&url, pages, at);
        assert_eq!(http.check(&config), []);
        let everybody = ["ada", "bob", "cy", "dan", "e/v?e"];
        let healed = heal(http.as_ref(), &config, &team(&everybody)).await;
        assert_eq!(healed.len(), 5, "{healed:?}");
        assert_eq!(*desk.people.lock().unwrap(), everybody);
        // Whoever is on the last page is no stranger, and is found there who is one.
        let healed = heal(http.as_ref(), &config, &team(&everybody[..4])).await;
        assert_eq!(healed, ["people/e/v?e: member -> -"]);
        assert_eq!(*desk.people.lock().unwrap(), everybody[..4]);
    }
}

#[tokio::test]
async fn a_list_that_is_not_known_whole_is_no_drift() {
    let http = tool("http");
    for (next, why) in [
        (Next::Endless, "its list has more than 100 pages"),
        (Next::Elsewhere, "its next page is at another server"),
        (Next::Gone, "a page of its list is gone"),
    ] {
        let (url, desk) = desk(next, 2).await;
        let there = ["ada", "bob", "cy"].map(str::to_owned);
        *desk.people.lock().unwrap() = there.into();
        let config = config(&url, json!("link"), "");
        let found = look(http.as_ref(), &config, &team(&["ada"])).await;
        let error = found.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
}

#[tokio::test]
async fn one_look_changes_so_many_people_and_the_next_goes_on() {
    let http = tool("http");
    let (url, desk) = desk(Next::Link, 100).await;
    let config = config(&url, json!("link"), "");
    *desk.people.lock().unwrap() = vec!["stranger".to_owned()];
    let names: Vec<String> = (0..220).map(|n| format!("p{n:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = look(http.as_ref(), &config, &team(&names)).await.unwrap();
    assert_eq!(found.repairs.len(), 200);
    // Who is in it without a right goes first.
    assert_eq!(found.repairs[0].what, "people/stranger");
    let more = "`people`: one look adds or removes 200 people, and 21 more wait for the next";
    assert_eq!(found.obstacles, [more]);
    heal(http.as_ref(), &config, &team(&names)).await;
    assert_eq!(*desk.people.lock().unwrap(), names);
}

#[tokio::test]
async fn who_is_listed_by_no_name_stays_and_is_told_of() {
    let http = tool("http");
    let (url, desk) = desk(Next::Link, 2).await;
    *desk.people.lock().unwrap() = vec!["ada".to_owned()];
    let mut config = config(&url, json!("link"), "");
    config["checks"][0]["members"]["item"] = json!("/mail");
    let found = look(http.as_ref(), &config, &team(&[])).await.unwrap();
    assert!(found.repairs.is_empty(), "{found:?}");
    assert!(found.obstacles[0].contains("`people` lists 1 of whom nothing is at `/mail`"));
}
