//! Onboarding a team of sixteen on the embedded platform, until all of its conditions are met, over HTTP:
//! `cargo bench -p towpath --bench onboarding`. Beside it, in the same run, what its namespaces and
//! credentials take where somebody makes them one by one.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod platform;

use std::time::{Duration, Instant};

use platform::{Failure, Platform, median};
use reqwest::Method;
use serde_json::{Value, json};

/// Teams that are onboarded.
const ROUNDS: usize = 11;
/// People in each.
const PEOPLE: usize = 16;
const ROLES: [&str; 4] = ["dev", "qa", "preview", "prod"];
/// What onboarding may take.
const WANTED: Duration = Duration::from_secs(2);

struct Asking<'a> {
    http: reqwest::Client,
    platform: &'a Platform,
}

impl Asking<'_> {
    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.platform.server);
        let mut request = self.http.request(method, url);
        request = request.bearer_auth(&self.platform.token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (ok, text) = (answer.status().is_success(), answer.text().await?);
        if !ok {
            return Err(format!("{path}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// A team, until it is ready.
    async fn onboard(&self, team: &str, people: &[String]) -> Result<Duration, Failure> {
        let group = format!("/v1/identity/groups/{team}");
        let members = json!({ "members": people });
        self.ask(Method::PUT, &group, members).await?;
        let lead = format!("local:{}", people[0]);
        let begun = Instant::now();
        let body = json!({ "name": team, "leads": [lead] });
        self.ask(Method::POST, "/v1/platforms/teams", body).await?;
        let path = format!("/v1/platforms/teams/{team}");
        loop {
            let now = self.ask(Method::GET, &path, Value::Null).await?;
            if now["status"]["phase"] == "ready" {
                return Ok(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The same environments and accounts, by hand.
    async fn by_hand(&self, name: &str) -> Result<Duration, Failure> {
        let begun = Instant::now();
        for role in ROLES {
            let environment = format!("{name}-{role}");
            let body = json!({ "name": environment, "team": "hands", "role": role });
            self.ask(Method::POST, "/v1/environments", body).await?;
            let path = format!("/v1/identity/teams/hands/service-accounts/deploy-{environment}");
            let body = json!({ "kind": "deploy", "environment": environment });
            self.ask(Method::PUT, &path, body).await?;
        }
        Ok(begun.elapsed())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let platform = Platform::start(data.path(), None).await?;
    let asking = Asking {
        http: reqwest::Client::builder().no_proxy().build()?,
        platform: &platform,
    };
    let people: Vec<String> = (0..PEOPLE).map(|n| format!("person-{n}")).collect();
    for name in &people {
        let path = format!("/v1/identity/users/{name}");
        asking
            .ask(Method::PUT, &path, json!({ "spec": {} }))
            .await?;
    }
    let hands = json!({ "name": "hands", "environments": [] });
    asking
        .ask(Method::POST, "/v1/platforms/teams", hands)
        .await?;
    let (mut onboarded, mut made) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        onboarded.push(asking.onboard(&format!("team{round}"), &people).await?);
        made.push(asking.by_hand(&format!("by{round}")).await?);
    }
    let (team, hand) = (median(&onboarded), median(&made));
    println!(
        "onboarding a team of {PEOPLE}   median of {ROUNDS} {team:.1?}   slowest {:.1?}   (wanted: under \
         {WANTED:.0?})",
        onboarded.iter().max().ok_or("no rounds")?,
    );
    println!(
        "  its environments and credentials one by one {hand:.1?}: onboarding is {:.1} times that",
        team.as_secs_f64() / hand.as_secs_f64()
    );
    Ok(())
}
