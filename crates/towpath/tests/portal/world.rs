//! Two teams, their people, and somebody who onboards teams; each has a browser.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    browser::{Browser, Page},
    person::PASSWORD,
    site::world::World,
};

/// Who there is, and in which group.
const PEOPLE: [(&str, &[&str]); 4] = [
    ("payments", &["ada", "lea"]),
    ("shop", &["eve"]),
    ("managers", &["max"]),
    ("nobodys", &["bob"]),
];

/// The platform with these people, and the teams `payments`, which lea leads, and `shop`.
pub async fn furnished(options: &[&str]) -> World {
    let world = World::new(options).await;
    for (group, names) in PEOPLE {
        for name in names {
            let path = format!("/v1/identity/users/{name}");
            let body = json!({ "spec": {}, "password": PASSWORD });
            let (status, made) = world.ask(Method::PUT, &path, body).await;
            assert_eq!(status, 200, "{made}");
        }
        let path = format!("/v1/identity/groups/{group}");
        let (status, made) = world
            .ask(Method::PUT, &path, json!({ "members": names }))
            .await;
        assert_eq!(status, 200, "{made}");
    }
    let payments = json!({
        "name": "payments", "environments": ["dev"], "leads": ["local:lea"],
        "description": "takes <b>money</b>",
    });
    world.onboard(payments).await;
    world
        .onboard(json!({ "name": "shop", "environments": [] }))
        .await;
    world
}

impl World {
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.site.server())
    }

    /// A browser in which this person has logged in.
    pub async fn visit(&self, name: &str) -> Browser {
        let browser = Browser::new();
        let page = browser.enter(&self.at("/portal/"), name, PASSWORD).await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.url.path(), "/portal/");
        assert!(
            page.body.contains(&format!("Welcome, {name}")),
            "{}",
            page.body
        );
        browser
    }

    /// A page of the portal, which is there.
    pub async fn open(&self, browser: &Browser, path: &str) -> Page {
        let page = browser.go(&self.at(path)).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert_eq!(page.url.path(), path.split('?').next().unwrap(), "{path}");
        page
    }

    /// Events of a type, each by who did it and what it is about.
    pub async fn told(&self, kind: &str) -> Vec<(String, String)> {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let events = self.events(kind).await;
        events
            .iter()
            .map(|event| (text(event, "actor"), text(event, "subject")))
            .collect()
    }
}

/// Sends a form as the page has it, with the page's own token and these fields.
pub async fn submit(browser: &Browser, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
    let csrf = page.field("csrf");
    assert!(
        page.body.contains(&format!("action=\"{action}\"")),
        "no form {action}: {}",
        page.body
    );
    let all: Vec<_> = [("csrf", csrf.as_str())]
        .iter()
        .chain(fields)
        .copied()
        .collect();
    browser.send(page, action, &all).await
}
