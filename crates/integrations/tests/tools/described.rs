//! An API that nobody has written an adapter for.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use kernel::ErrorKind;
use serde_json::{Value, json};
use teams::tool::Presence;

use crate::support::{CREDENTIAL, heal, look, seen, serve, team, tool};

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
        with(|config| config["checks"][0]["get"] = json!("/{% set a = team %}{{ a.name }}")),
        with(|config| {
            let repeated = "/{{ (['x' * 1000000] * 1000000) ~ '' }}";
            config["checks"][0]["get"] = json!(repeated);
        }),
        with(|config| config["url"] = json!("http://169.254.169.254")),
    ] {
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn what_people_are_called_writes_nothing_else_that_is_sent() {
    let http = tool("http");
    let with = |body: &str| {
        let mut config = config("http://127.0.0.1:1");
        config["checks"][0]["update"]["body"] = json!(body);
        http.check(&config)
    };
    let each = |list: &str, what: &str| {
        format!(
            "{{\"users\": [{{% for one in team.{list} %}}{what}{{{{ \",\" if not loop.last }}}}{{% endfor %}}]}}"
        )
    };
    assert_eq!(with(&each("members", "{{ one.name | tojson }}")), []);
    for body in [
        "{\"title\": \"{{ team.description }}\"}".to_owned(),
        each("members", "\"{{ one.name }}\""),
        each("members", "\"{{ one.email }}\""),
        each("left", "\"{{ one.subject }}\""),
    ] {
        let problems = with(&body);
        assert_eq!(problems.len(), 1, "{body}: {problems:?}");
        assert!(
            problems[0].message.contains("gives no JSON"),
            "{problems:?}"
        );
        let remedy = problems[0].remedy.as_ref().unwrap();
        assert!(remedy.contains("tojson"), "{remedy}");
    }
}

#[tokio::test]
async fn where_what_people_are_in_is_gone_nobody_is_in_it() {
    let (url, folder) = folders().await;
    let http = tool("http");
    let with = |first: Option<Value>, last: Option<Value>| {
        let mut config = config(&url);
        let mut own = config["checks"][0].take();
        own["capture"] = json!({ "size": "/meta/size" });
        let checks: Vec<Value> = first.into_iter().chain([own]).chain(last).collect();
        config["checks"] = checks.into();
        assert_eq!(http.check(&config), []);
        config
    };
    let site = json!({
        "name": "site",
        "get": "/api/folders/{{ team.name }}",
        "capture": { "size": "/meta/size" },
    });
    let found = look(http.as_ref(), &with(Some(site), None), &team(&[])).await;
    let found = found.unwrap();
    assert_eq!(found.presence, Presence::Absent);
    assert!(found.repairs.is_empty(), "{found:?}");
    assert!(found.obstacles[0].contains("`site` is not there"));

    // Of what is there, and was not made from here, people are still to be taken out.
    *folder.lock().unwrap() =
        Some(json!({ "meta": { "size": 7 }, "folder": { "users": ["eve"] } }));
    let page = json!({
        "name": "page",
        "get": "/api/pages/{{ team.name }}",
        "create": { "method": "PUT", "path": "/api/pages/{{ team.name }}" },
    });
    let found = look(http.as_ref(), &with(None, Some(page)), &team(&[])).await;
    let found = found.unwrap();
    assert_eq!(found.presence, Presence::There);
    let what: Vec<&str> = found.repairs.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(what, ["folder/folder/title", "page"]);
}

/// With what says where the folder lists its people.
fn listing(url: &str, members: Value) -> Value {
    let mut config = config(url);
    config["checks"][0]["members"] = members;
    config
}

#[tokio::test]
async fn of_a_list_that_is_not_whole_nobody_is_taken_out_but_who_has_left() {
    let (url, folder) = folders().await;
    let http = tool("http");
    let config = listing(&url, json!({ "at": "/folder/users" }));
    assert_eq!(http.check(&config), []);
    let users = || folder.lock().unwrap().as_ref().unwrap()["folder"]["users"].clone();
    heal(http.as_ref(), &config, &seen(&["ada", "bob"], &[])).await;
    assert_eq!(users(), json!(["ada", "bob"]));
    // Bob's login is over: nobody knows. Cy was never seen, and somebody has put them there.
    folder.lock().unwrap().as_mut().unwrap()["folder"]["users"] = json!(["ada", "bob", "cy"]);
    let healed = heal(http.as_ref(), &config, &seen(&["ada"], &[])).await;
    assert!(healed.is_empty(), "{healed:?}");
    // A joiner is taken in, and takes nobody out.
    let healed = heal(http.as_ref(), &config, &seen(&["ada", "dan"], &[])).await;
    let told = r#"folder/folder/users: ["ada","bob","cy"] -> ["ada","bob","cy","dan"]"#;
    assert_eq!(healed, [told]);
    heal(http.as_ref(), &config, &seen(&["dan"], &["bob"])).await;
    assert_eq!(users(), json!(["ada", "cy", "dan"]));
    // Of a list of all, whoever is not in it is out.
    heal(http.as_ref(), &config, &team(&["dan"])).await;
    assert_eq!(users(), json!(["dan"]));
}

#[tokio::test]
async fn what_lists_nobody_where_it_should_is_not_written_over() {
    let (url, folder) = folders().await;
    let http = tool("http");
    heal(http.as_ref(), &config(&url), &team(&["ada", "bob"])).await;
    let before = folder.lock().unwrap().clone();
    let look = async |members: Value| {
        look(http.as_ref(), &listing(&url, members), &seen(&["ada"], &[])).await
    };
    let error = look(json!({ "at": "/folder/user" })).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let why = "its answer has no list at `/folder/user`";
    assert!(error.message.contains(why), "{error}");
    let found = look(json!({ "at": "/folder/user", "optional": true })).await;
    assert_eq!(found.unwrap().repairs.len(), 1);
    assert_eq!(*folder.lock().unwrap(), before);
}

#[tokio::test]
async fn without_a_word_on_where_people_are_listed_a_list_that_is_not_whole_is_not_sent() {
    let (url, folder) = folders().await;
    let (http, config) = (tool("http"), config(&url));
    // Where there is nothing, nobody can be taken out.
    let healed = heal(http.as_ref(), &config, &seen(&["ada", "bob"], &[])).await;
    assert_eq!(healed, ["folder: - -> present"]);
    let found = look(http.as_ref(), &config, &seen(&["ada"], &["bob"])).await;
    let found = found.unwrap();
    assert!(found.repairs.is_empty(), "{found:?}");
    assert!(found.obstacles[0].contains("`members`"), "{found:?}");
    let folder = folder.lock().unwrap().clone().unwrap();
    assert_eq!(folder["folder"]["users"], json!(["ada", "bob"]));
}

#[tokio::test]
async fn people_are_known_as_the_tool_knows_them() {
    let (url, folder) = folders().await;
    let http = tool("http");
    let body = "{\"users\": [{% for one in team.members %}{\"mail\": {{ one.email | tojson }}}
        {{- \",\" if not loop.last }}{% endfor %}]}";
    let config = json!({
        "url": url,
        "headers": { "Authorization": "Token {{ credential }}" },
        "checks": [{
            "name": "folder",
            "get": "/api/folders/{{ team.name }}",
            "members": { "at": "/folder/users", "item": "/mail", "by": "email" },
            "equals": { "/folder": body },
            "update": { "method": "PUT", "path": "/api/folders/{{ team.name }}", "body": body },
        }],
    });
    assert_eq!(http.check(&config), []);
    let mut wanted = seen(&["ada", "ada", "new"], &["bob"]);
    for (member, email) in wanted
        .members
        .iter_mut()
        .zip(["a@x.example", "b@x.example"])
    {
        member.email = Some(email.into());
        member.subject = format!("hub:{email}");
    }
    wanted.left[0].email = Some("Bob@x.example".into());
    *folder.lock().unwrap() = Some(json!({
        "folder": { "users": [{ "mail": "bob@x.example" }, { "mail": "cy@x.example" }] },
    }));
    let found = look(http.as_ref(), &config, &wanted).await.unwrap();
    assert_eq!(found.repairs.len(), 1, "{found:?}");
    let sent = found.repairs[0].call.body.clone().unwrap();
    let mails: Vec<_> = sent["users"].as_array().unwrap().iter().collect();
    // Two people of one name are two.
    let expected = ["a@x.example", "b@x.example", "cy@x.example"];
    assert_eq!(
        json!(mails),
        json!(expected.map(|mail| json!({ "mail": mail })))
    );
    let missing = "`new` has no address that is known: have their source tell it";
    assert_eq!(found.obstacles, [missing]);
}
