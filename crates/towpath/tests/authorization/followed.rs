//! Who follows the events of a team: its members, as long as they are that.

use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::world::World;

impl World {
    /// Asks for the events of a team: a page, or a stream.
    async fn events_of(&self, caller: &str, team: &str, accept: &str) -> Response {
        let asked = self
            .http
            .get(format!("{}/v1/events?team={team}", self.site.server()))
            .bearer_auth(&self.tokens[caller])
            .header(header::ACCEPT, accept);
        asked.send().await.unwrap()
    }

    /// Has something happen to the team `payments`.
    async fn happen(&self, name: &str) {
        let body = json!({ "name": name, "team": "payments", "role": "dev" });
        self.make(Method::POST, "/v1/environments", &body).await;
    }
}

/// Reads on until this was sent, or to the stream's end.
async fn read_to(stream: &mut Response, text: &mut String, word: Option<&str>) {
    let reading = async {
        while word.is_none_or(|word| !text.contains(word)) {
            let Ok(Some(chunk)) = stream.chunk().await else {
                assert_eq!(word, None, "the stream ended: {text}");
                break;
            };
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let read = tokio::time::timeout(testkit::PATIENCE, reading).await;
    read.expect("it goes on without that");
}

#[tokio::test]
async fn who_is_taken_out_of_a_team_follows_nothing_of_it_from_then_on() {
    let mut world = World::new().await;
    world.people().await;
    let stream = "text/event-stream";
    let mut following = world.events_of("ada", "payments", stream).await;
    assert_eq!(following.status(), StatusCode::OK);
    let mut text = String::new();
    world.happen("pay-before").await;
    read_to(&mut following, &mut text, Some("pay-before")).await;
    let member = "/v1/identity/groups/payments/members/ada";
    world.make(Method::DELETE, member, &Value::Null).await;
    world.happen("pay-after").await;
    read_to(&mut following, &mut text, None).await;
    assert!(!text.contains("pay-after"), "{text}");
    let again = world.events_of("ada", "payments", stream).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
}

/// Who is answered what for the events of `payments`, and of a team that is not there.
const NAMED: [(&[&str], u16, u16); 4] = [
    (
        &["stranger", "other-agent", "other-credential", "sid", "sol"],
        404,
        404,
    ),
    (&["agent", "credential", "pipeline", "ada", "lea"], 200, 404),
    // They see which teams there are, and not what happens to them.
    (&["max", "keeper"], 403, 404),
    (&["eng", "admin"], 200, 404),
];

#[tokio::test]
async fn the_events_of_a_team_that_is_named_are_for_those_who_may_see_it() {
    let mut world = World::new().await;
    world.people().await;
    for (callers, payments, missing) in NAMED {
        for caller in callers {
            for accept in ["application/json", "text/event-stream"] {
                for (team, expected) in [("payments", payments), ("nosuch", missing)] {
                    let answer = world.events_of(caller, team, accept).await;
                    assert_eq!(answer.status(), expected, "{team} by {caller}: {accept}");
                }
            }
        }
    }
}
