//! People: a member of the team and its lead, somebody who onboards teams, a platform engineer, and one
//! who has logged out.

use reqwest::Method;
use serde_json::json;

use crate::{
    person::{PASSWORD, Person},
    table,
    world::World,
};

/// Who they are, what group they are in, and whose column of the table is theirs too: what is not said
/// below is answered to them as to those.
pub(crate) const PEOPLE: [(&str, &str, &str); 5] = [
    ("out", "payments", "nobody"),
    ("ada", "payments", "member"),
    ("lea", "payments", "member"),
    ("max", "managers", "stranger"),
    ("eng", "platform", "admin"),
];

/// Where leads may more than other members, and managers more than strangers.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("PATCH /v1/platforms/teams/{team}", "lea", "409"),
    ("DELETE /v1/platforms/teams/{team}", "lea", "409"),
    (
        "PUT /v1/platforms/teams/{team}/members/{user}",
        "lea",
        "204",
    ),
    (
        "DELETE /v1/platforms/teams/{team}/members/{user}",
        "lea",
        "204",
    ),
    // The team's allowance is used up by then: whoever hears of it may.
    ("POST /v1/teams/{team}/namespaces", "lea", "409"),
    ("POST /v1/teams/{team}/namespaces", "eng", "409"),
    // It is there by then.
    ("PUT /v1/teams/{team}/subscriptions/{name}", "ada", "200"),
    ("PUT /v1/teams/{team}/subscriptions/{name}", "lea", "200"),
    ("PUT /v1/platforms/subscriptions/{name}", "eng", "200"),
    ("POST /v1/platforms/teams", "max", "202"),
    ("GET /v1/platforms/teams/{team}", "max", "200"),
    ("GET /v1/platforms/teams/{team}/members", "max", "200"),
    // He sees that there is such a team: what he may not do with it is refused, not hidden.
    ("PATCH /v1/platforms/teams/{team}", "max", "403"),
    ("DELETE /v1/platforms/teams/{team}", "max", "403"),
    (
        "PUT /v1/platforms/teams/{team}/members/{user}",
        "max",
        "403",
    ),
    (
        "DELETE /v1/platforms/teams/{team}/members/{user}",
        "max",
        "403",
    ),
    ("POST /v1/platforms/teams/{team}/sync", "max", "403"),
    ("POST /v1/teams/{team}/namespaces", "max", "403"),
    ("PATCH /v1/teams/{team}/namespaces/{name}", "max", "403"),
    ("DELETE /v1/teams/{team}/namespaces/{name}", "max", "403"),
];

/// What a person is answered.
pub(crate) fn expected(operation: &str, person: &str, row: &str) -> String {
    let exception = EXCEPTIONS
        .iter()
        .find(|(of, who, _)| *of == operation && *who == person);
    if let Some((_, _, status)) = exception {
        return (*status).to_owned();
    }
    let &(_, _, mut like) = PEOPLE.iter().find(|(who, ..)| *who == person).unwrap();
    // Who calls in for a team is its people's to say, and not its pipelines'.
    if like == "member" && operation.contains("/v1/identity/teams/") {
        like = "admin";
    }
    let column = table::CALLERS.iter().position(|caller| *caller == like);
    row.split(' ').nth(column.unwrap()).unwrap().to_owned()
}

impl World {
    /// Logs everybody in, who may be asked for from then on.
    pub(crate) async fn people(&mut self) {
        for (name, ..) in PEOPLE {
            let body = json!({ "spec": {}, "password": PASSWORD });
            let path = format!("/v1/identity/users/{name}");
            let (status, made) = self.ask("admin", Method::PUT, &path, &body).await;
            assert_eq!(status, 200, "{made}");
        }
        for group in ["payments", "managers", "platform"] {
            let members = PEOPLE.iter().filter(|(_, of, _)| *of == group);
            let members: Vec<_> = members.map(|(name, ..)| name).collect();
            let path = format!("/v1/identity/groups/{group}");
            let body = json!({ "members": members });
            let (status, made) = self.ask("admin", Method::PUT, &path, &body).await;
            assert_eq!(status, 200, "{made}");
        }
        for (name, ..) in PEOPLE {
            let person = Person::new();
            let ended = person.login(&self.site.server(), name, &[]).await;
            assert_eq!(ended.code, 0, "{ended:?}");
            let token = person.tokens(0)["access"].as_str().unwrap().to_owned();
            self.tokens.insert(name, token);
            if name == "out" {
                assert_eq!(person.run(&["logout"]).await.code, 0);
            }
        }
    }
}
