//! What each operation leaves in the audit trail: who, by which means, why, and how it ended.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::world::World;

/// What is asked for by another method than `GET` and changes nothing, and why it may leave nothing where
/// it passes. Refused, it may leave nothing either: it is a look.
const LOOKS: [(&str, &str); 5] = [
    (
        "POST /v1/access-reviews",
        "says what the caller may do; what they ask of is in the body",
    ),
    (
        "POST /v1/starter-kits/{name}/repositories",
        "gives the files of a repository, and keeps none; what it is for is in the body",
    ),
    (
        "POST /v1/explain",
        "says which definition would meet a need; the need is in the body",
    ),
    (
        "POST /v1/environments/{environment}/plans",
        "says what a deployment would do; the workload is in the body",
    ),
    (
        "POST /v1/apply/plan",
        "says what an application would do; the documents are in the body",
    ),
];

/// What is asked for by `GET`, which changes nothing as HTTP has it, and leaves an event all the same: a
/// secret value leaves the platform.
const REVEALS: [&str; 1] = ["GET /v1/teams/{team}/secrets/{name}/value"];

/// What changes nothing where it is asked for again, or where there is nothing to change, and then leaves
/// nothing; and why that is so here.
const NOTHING_NEW: [(&str, &str); 6] = [
    (
        "PUT /v1/platforms/teams/{team}/members/{user}",
        "whoever is in the team already is not told of again",
    ),
    (
        "PUT /v1/identity/groups/{name}/members/{user}",
        "whoever is in the group already is not told of again",
    ),
    (
        "POST /v1/platform/rekey",
        "asked for again while the first goes on, which has left one",
    ),
    (
        "POST /v1/platform/rekey/new-key",
        "asked for again while the first goes on, which has left one",
    ),
    (
        "POST /v1/platform/rekey/forget-former",
        "the one process that there is has changed its key, and the store keeps no former one",
    ),
    (
        "DELETE /v1/environments/{environment}/pins",
        "only a clone has pins that can be lifted, and `pay-dev` is none",
    ),
];

/// What is asked here of what is not there, or is not so, by those who may: nothing is changed, and nobody
/// was refused a right; and why that is so here.
const NOT_SO: [(&str, &str); 1] = [(
    "POST /v1/environments/{environment}/resources/{name}/abandon",
    "the removal of the resource was not asked for, and has not failed",
)];

/// The callers who may what those ask.
const OPERATORS: [&str; 2] = ["eng", "admin"];

/// The type of a refusal.
const REFUSED: &str = "dev.towpath.authorization.refused";
/// What the types of the events begin with that the store makes of writes.
const BOOKKEEPING: &str = "dev.towpath.resource.";

/// A request that was answered.
pub(crate) struct Asked {
    pub(crate) operation: &'static str,
    pub(crate) caller: &'static str,
    pub(crate) status: u16,
    pub(crate) correlation: Uuid,
}

impl Asked {
    /// What the caller states for it.
    pub(crate) fn reason(operation: &str, caller: &str) -> String {
        format!("{caller} asks for {operation}: größer")
    }

    fn passed(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether whoever is known and asks for it leaves an event.
    fn leaves_one(&self) -> bool {
        let look = LOOKS.iter().any(|(look, _)| *look == self.operation);
        let get = self.operation.starts_with("GET ");
        self.status != 401 && !look && (!get || REVEALS.contains(&self.operation))
    }

    /// What is wrong with the events that it left.
    fn wrong(&self, events: &[Value]) -> Option<String> {
        let nothing_new = NOTHING_NEW.iter().any(|(one, _)| *one == self.operation);
        if events.is_empty() && nothing_new && self.passed() {
            return None;
        }
        let not_so = NOT_SO.iter().any(|(one, _)| *one == self.operation);
        if not_so && matches!(self.status, 404 | 409) && OPERATORS.contains(&self.caller) {
            return None;
        }
        let (actor, means) = came(self.caller);
        let reason = Self::reason(self.operation, self.caller);
        let theirs = events.iter().filter(|event| {
            event["actor"] == actor
                && event["reason"] == reason
                && event["means"].as_str().is_some_and(|by| is_of(by, means))
        });
        let mut told = theirs.filter(|event| {
            let kind = event["type"].as_str().unwrap();
            if self.passed() {
                // Of what takes its time the end is an event of its own, with the same correlation.
                let began = self.status == 202 && event["outcome"].is_null();
                !kind.starts_with(BOOKKEEPING) && (event["outcome"] == "pass" || began)
            } else {
                let reasons = event["data"]["reasons"].as_array();
                kind == REFUSED
                    && event["outcome"] == "fail"
                    && reasons.is_some_and(|reasons| !reasons.is_empty())
            }
        });
        if told.next().is_some() {
            return None;
        }
        Some(format!(
            "{} by {}, answered {}, is not in the trail with actor `{actor}`, means `{means}`, reason \
             and outcome: {events:#?}",
            self.operation, self.caller, self.status
        ))
    }
}

/// Who a caller is, and by which means they come.
pub(crate) fn came(caller: &str) -> (String, &'static str) {
    match caller {
        "admin" => ("local-admin".into(), "admin-token"),
        "stranger" | "other-agent" | "other-credential" => {
            (format!("account:shop/{caller}"), "key")
        }
        "keeper" => ("account:watch/keeper".into(), "key"),
        "agent" | "credential" | "pipeline" => (format!("account:payments/{caller}"), "key"),
        person => (format!("local:{person}"), "login"),
    }
}

/// Whether means are of a sort, and, where it has several, say which one.
fn is_of(means: &str, sort: &str) -> bool {
    match means.split_once(':') {
        Some((found, id)) => found == sort && !id.is_empty(),
        None => means == sort,
    }
}

impl World {
    /// Fails where the log does not say of each request what it must.
    pub(crate) async fn trail_is_whole(&self, asked: &[Asked]) {
        for (operation, _) in LOOKS.iter().chain(&NOTHING_NEW).chain(&NOT_SO) {
            let is_one = asked.iter().any(|asked| asked.operation == *operation);
            assert!(is_one, "there is no operation {operation}");
        }
        let mut left: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut after = 0;
        loop {
            let path = format!("/v1/events?limit=1000&after={after}");
            let (status, page) = self.ask("admin", Method::GET, &path, &Value::Null).await;
            assert_eq!(status, 200, "{page}");
            let events = page["items"].as_array().unwrap();
            if events.is_empty() {
                break;
            }
            after = page["next"].as_i64().unwrap();
            for event in events {
                let correlation = event["correlation"].as_str().unwrap().to_owned();
                left.entry(correlation).or_default().push(event.clone());
            }
        }
        let tokens: Vec<&String> = self.tokens.values().collect();
        for event in left.values().flatten() {
            let text = event.to_string();
            let secret = tokens.iter().any(|token| text.contains(token.as_str()));
            assert!(!secret, "a token is in the trail: {}", event["type"]);
        }
        let none = Vec::new();
        let wrong: Vec<_> = asked
            .iter()
            .filter(|asked| asked.leaves_one())
            .filter_map(|asked| {
                asked.wrong(left.get(&asked.correlation.to_string()).unwrap_or(&none))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
