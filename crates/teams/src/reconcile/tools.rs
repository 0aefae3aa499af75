//! Reminders: whoever answers for a credential of a tool is told in time that it comes to its end, and when
//! it has (E-014). Each once, whoever is killed when: that it was told, and the event, are one transaction.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Caller, Change, Key, Kind as _, NewEvent, Next, Outcome, Reconciler, Resource, Result,
    reconciler::Context,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Teams,
    model::{Due, Reminded, Tool, ToolSpec},
};

/// The longest that nobody looks, whatever the next reminder's time: clocks are set.
const LATEST: Duration = Duration::from_hours(1);

/// Reminds of the ends of tools' credentials.
pub struct ToolCredentials(pub Arc<Teams>);

#[async_trait]
impl Reconciler for ToolCredentials {
    fn name(&self) -> &'static str {
        "tool-credentials"
    }

    fn kind(&self) -> &'static str {
        Tool::KIND
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let Some(mut tool) = context.store.get::<Tool>("", &key.name).await? else {
            return Ok(Next::Idle);
        };
        let now = self.0.settings().clock.now();
        let caller = Caller::system(self.name(), Uuid::now_v7());
        let mut change = Change::new().by(&caller).fenced(context.fence.clone());
        if remind(&mut tool, now, &caller, &mut change) {
            change.status(&tool)?;
            context.store.commit(change).await?;
        }
        Ok(next(&tool.spec, now).map_or(Next::Idle, Next::After))
    }
}

/// Tells of what has come near its end since it was told of last; says whether the status is another.
fn remind(tool: &mut Resource<Tool>, now: Timestamp, caller: &Caller, change: &mut Change) -> bool {
    let mut reminded = std::collections::BTreeMap::new();
    for (name, credential) in &tool.spec.credentials {
        let Some(expires) = credential.expires else {
            continue;
        };
        let before = tool.status.reminded.get(name);
        // A team that the credential was handed to has not been told, whoever was.
        let owner = credential.owner.as_str();
        let before = before.filter(|before| before.expires == expires && before.owner == owner);
        let told = before.map(|before| before.due);
        let due = credential.due(now).max(told);
        let Some(due) = due else {
            continue;
        };
        let one = Reminded {
            owner: owner.to_owned(),
            expires,
            due,
        };
        reminded.insert(name.clone(), one);
        if Some(due) == told {
            continue;
        }
        let what = match due {
            Due::Expiring => "tool.credential-expiring",
            Due::Expired => "tool.credential-expired",
        };
        change.event(NewEvent::caused(
            what,
            tool.key(),
            owner,
            caller,
            Some(Outcome::Fail),
            json!({
                "tool": tool.meta.name,
                "credential": name,
                "kind": credential.kind,
                "owner": credential.owner,
                "expires": expires,
            }),
        ));
    }
    let is_another = reminded != tool.status.reminded;
    tool.status.reminded = reminded;
    is_another
}

/// Until somebody is to be reminded next; none where nobody is.
fn next(spec: &ToolSpec, now: Timestamp) -> Option<Duration> {
    let ends = spec.credentials.values();
    let times = ends.flat_map(|one| [one.reminds(), one.expires]).flatten();
    let next = times.filter(|at| *at > now).min()?;
    let until = Duration::try_from(next.duration_since(now)).unwrap_or(LATEST);
    Some(until.clamp(Duration::from_millis(10), LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_be_reminded_is_looked_at_in_time() {
        let spec: ToolSpec = serde_json::from_value(json!({
            "owner": { "team": "security" }, "authentication": "oidc", "authorization": "claims", "api": true,
            "credentials": { "one": {
                "kind": "team", "owner": "security", "expires": "2030-01-31T00:00:00Z", "remindDays": 30,
            } },
        }))
        .unwrap();
        let at = |text: &str| next(&spec, text.parse().unwrap());
        assert_eq!(at("2029-01-01T00:00:00Z"), Some(LATEST));
        assert_eq!(at("2029-12-31T23:59:00Z"), Some(Duration::from_mins(1)));
        assert_eq!(at("2030-01-30T23:59:30Z"), Some(Duration::from_secs(30)));
        assert_eq!(at("2030-01-31T00:00:00Z"), None);
    }
}
