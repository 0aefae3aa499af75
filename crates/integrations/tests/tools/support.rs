//! A tool, a team, and what a reconciler does with both.

use std::{collections::BTreeMap, sync::Arc};

use axum::Router;
use kernel::{Result, Secret, outbound::Reach};
use serde_json::Value;
use teams::tool::{Found, Place, Tool, Wanted, WantedMember};

/// The credential of every test.
pub(crate) const CREDENTIAL: &str = "canary-token";

pub(crate) fn tool(kind: &str) -> Arc<dyn Tool> {
    let reach = Reach::public_and(vec!["127.0.0.0/8".parse().unwrap()]);
    let tools = integrations::tools(reach).unwrap();
    tools.into_iter().find(|tool| tool.kind() == kind).unwrap()
}

/// A team with these members; who leads it has a `*`.
pub(crate) fn team(members: &[&str]) -> Wanted {
    let member = |text: &&str| WantedMember {
        name: text.trim_end_matches('*').into(),
        subject: format!("hub:{}", text.trim_end_matches('*')),
        email: None,
        account: Some("github".into()),
        lead: text.ends_with('*'),
    };
    Wanted {
        name: "payments".into(),
        group: "payments".into(),
        description: "Takes the money".into(),
        members: members.iter().map(member).collect(),
        complete: true,
        left: vec![],
        listed: vec![],
        secrets: None,
    }
}

/// The same, as a source tells that cannot list them: of `left` it has said that they are out.
pub(crate) fn seen(members: &[&str], left: &[&str]) -> Wanted {
    Wanted {
        complete: false,
        left: team(left).members,
        ..team(members)
    }
}

/// What differs.
pub(crate) async fn look(tool: &dyn Tool, config: &Value, wanted: &Wanted) -> Result<Found> {
    let credential = Secret::from(CREDENTIAL);
    let place = Place {
        config,
        credential: Some(&credential),
        ours: true,
        accounts: &BTreeMap::new(),
    };
    tool.look(place, wanted).await
}

/// Looks and mends until nothing differs; gives what did, in order.
pub(crate) async fn heal(tool: &dyn Tool, config: &Value, wanted: &Wanted) -> Vec<String> {
    let credential = Secret::from(CREDENTIAL);
    let place = Place {
        config,
        credential: Some(&credential),
        ours: true,
        accounts: &BTreeMap::new(),
    };
    let mut healed = Vec::new();
    for _ in 0..4 {
        let found = tool.look(place, wanted).await.unwrap();
        if found.repairs.is_empty() {
            return healed;
        }
        for repair in found.repairs {
            assert!(!format!("{repair:?}").contains(CREDENTIAL), "{repair:?}");
            tool.mend(place, &repair.call).await.unwrap();
            let [is, should] = [&repair.found, &repair.wanted];
            let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
            healed.push(format!("{}: {} -> {}", repair.what, word(is), word(should)));
        }
    }
    panic!("it does not get there: {healed:?}");
}

pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}
