//! People: a member of the team and its lead, the same of another team, somebody who onboards teams, a platform
//! engineer, and one who has logged out.

use reqwest::Method;
use serde_json::json;

use crate::{
    person::{PASSWORD, Person},
    world::World,
};

/// Who they are, and what group they are in.
const PEOPLE: [(&str, &str); 7] = [
    ("out", "payments"),
    ("ada", "payments"),
    ("lea", "payments"),
    ("sid", "shop"),
    ("sol", "shop"),
    ("max", "managers"),
    ("eng", "platform"),
];

impl World {
    /// Logs everybody in, who may be asked for from then on.
    pub(crate) async fn people(&mut self) {
        for (name, _) in PEOPLE {
            let body = json!({ "spec": {}, "password": PASSWORD });
            self.make(Method::PUT, &format!("/v1/identity/users/{name}"), &body)
                .await;
        }
        for group in ["payments", "shop", "managers", "platform"] {
            let members = PEOPLE.iter().filter(|(_, of)| *of == group);
            let members: Vec<_> = members.map(|(name, _)| name).collect();
            let body = json!({ "members": members });
            self.make(Method::PUT, &format!("/v1/identity/groups/{group}"), &body)
                .await;
        }
        let server = self.site.server();
        let logins = PEOPLE.iter().map(|(name, _)| {
            let server = &server;
            async move {
                let person = Person::new();
                let ended = person.login(server, name, &[]).await;
                assert_eq!(ended.code, 0, "{ended:?}");
                let token = person.tokens(0)["access"].as_str().unwrap().to_owned();
                if *name == "out" {
                    assert_eq!(person.run(&["logout"]).await.code, 0);
                }
                (*name, token)
            }
        });
        self.tokens.extend(futures::future::join_all(logins).await);
    }

    /// Makes a user, and logs them in.
    pub(crate) async fn somebody(&self, name: &str) {
        let body = json!({ "spec": {}, "password": PASSWORD });
        self.make(Method::PUT, &format!("/v1/identity/users/{name}"), &body)
            .await;
        let ended = Person::new().login(&self.site.server(), name, &[]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
}
