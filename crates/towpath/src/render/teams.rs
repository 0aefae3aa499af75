//! Teams and namespaces, for people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::Resource;
use teams::{
    api::{Members, SourceState},
    model::{Amounts, Interaction, Namespace, NetworkPolicies, Quota, Team, Truth, Usage},
};

use super::{
    quantity,
    table::{fields, table},
};

/// A kebab-case word of the API.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Teams, a line each.
pub(crate) fn list(teams: &[Resource<Team>]) -> String {
    let rows = teams.iter().map(|team| {
        [
            team.meta.name.clone(),
            word(&team.spec.kind),
            team.spec.group.clone(),
            team.spec.contact.clone(),
            team.status.phase.clone(),
        ]
    });
    table(
        ["team", "type", "group", "contact", "state"],
        rows.collect(),
        "there are no teams that you may see",
    )
}

/// One team: what it is, what it waits for, what it may take, and its namespaces as far as they are given.
pub(crate) fn one(team: &Resource<Team>, rooms: &[Resource<Namespace>], now: Timestamp) -> String {
    let spec = &team.spec;
    let mut text = fields(&[
        ("team", team.meta.name.clone()),
        ("type", word(&spec.kind)),
        ("state", team.status.phase.clone()),
        ("group", spec.group.clone()),
        ("source", spec.source.clone().unwrap_or_default()),
        ("leads", spec.leads.join(", ")),
        ("contact", spec.contact.clone()),
        ("about", spec.description.clone()),
        ("boundary", spec.boundary.clone()),
    ]);
    if !team.status.conditions.is_empty() {
        let rows = team.status.conditions.iter().map(|one| {
            let state = match one.status {
                Truth::True => "yes",
                Truth::False => "no",
                Truth::Unknown => "unknown",
            };
            [one.kind.clone(), state.into(), one.message.clone()]
        });
        text.push('\n');
        text.push_str(&table(["condition", "met", "why"], rows.collect(), ""));
        text.push('\n');
        let last = team.status.synced.as_ref();
        if last.is_some_and(|last| last.generation < team.meta.generation) {
            text.push_str("these are of the last look, before what was changed since\n");
        }
    }
    text.push('\n');
    text.push_str(&allowance(team));
    text.push('\n');
    if !rooms.is_empty() {
        text.push('\n');
        text.push_str(&namespaces(rooms));
        text.push('\n');
    }
    if !spec.interactions.is_empty() {
        text.push('\n');
        text.push_str(&interactions(&spec.interactions, "", now));
        text.push('\n');
    }
    for left in &team.status.remaining {
        text.push_str("\nremains: ");
        text.push_str(left);
    }
    text.trim_end().to_owned()
}

/// What a team may take by itself, and what of it is taken.
fn allowance(team: &Resource<Team>) -> String {
    let (allowance, taken) = (&team.spec.allowance, &team.status.taken);
    let mut rows = vec![[
        "namespaces beside the standard ones".to_owned(),
        taken.namespaces.to_string(),
        allowance.namespaces.to_string(),
    ]];
    let both = taken.quota.parts().into_iter().zip(allowance.quota.parts());
    rows.extend(both.map(|((part, _, taken), (_, _, most))| [part.to_owned(), taken, most]));
    // What environments beside namespaces ask for, and all workloads, are counted at each deployment, and kept nowhere.
    let beside = allowance.environments.parts().into_iter();
    rows.extend(
        beside.map(|(part, _, most)| [format!("environments.{part}"), String::new(), most]),
    );
    rows.push([
        "workloads".to_owned(),
        String::new(),
        allowance.workloads.to_string(),
    ]);
    table(["allowance", "taken", "of"], rows, "")
}

/// How a team works with others, a line each.
pub(crate) fn interactions(all: &[Interaction], nothing: &str, now: Timestamp) -> String {
    let rows = all.iter().map(|one| {
        let until = one.expires.map(|at| quantity::end(at, now));
        [
            one.with.clone(),
            word(&one.mode),
            until.unwrap_or_default(),
            one.purpose.clone(),
        ]
    });
    table(
        ["with", "mode", "until", "purpose"],
        rows.collect(),
        nothing,
    )
}

/// That somebody has left a team, and the webhooks of theirs that go on: name and address.
pub(crate) fn left(
    what: &str,
    team: &str,
    who: &str,
    webhooks: &BTreeMap<String, String>,
) -> String {
    if webhooks.is_empty() {
        return what.to_owned();
    }
    let lines: Vec<_> = webhooks
        .iter()
        .map(|(name, url)| format!("  {name} -> {url}"))
        .collect();
    format!(
        "{what}\n{who} made webhooks that go on sending events of the team:\n{}\n\
         end one with `towpath subscription delete NAME --team {team}`, or draw another secret with \
         `towpath subscription secret NAME --team {team}`",
        lines.join("\n")
    )
}

/// Who is in a team, by source.
pub(crate) fn members(members: &Members) -> String {
    let mut rows = Vec::new();
    for source in &members.sources {
        let sure = match source.state {
            SourceState::Complete => "",
            SourceState::Seen => "logged in",
            SourceState::Missing => "no such group",
            SourceState::Unavailable => "cannot be asked",
        };
        if source.members.is_empty() {
            rows.push([
                String::new(),
                String::new(),
                source.source.clone(),
                sure.into(),
            ]);
        }
        for member in &source.members {
            let leads = members.leads.contains(&member.subject);
            rows.push([
                member.subject.clone(),
                if leads { "lead" } else { "member" }.into(),
                source.source.clone(),
                sure.into(),
            ]);
        }
    }
    table(["who", "right", "source", "note"], rows, "nobody")
}

/// One namespace: what it is for, what counts for its containers by default, who may reach it, and what of its quota
/// is asked for.
pub(crate) fn namespace(one: &Resource<Namespace>) -> String {
    let (spec, status) = (&one.spec, &one.status);
    let amounts = |of: &Amounts| format!("{} cpu, {} memory", of.cpu, of.memory);
    let defaults = spec.defaults();
    let mut by_default = format!("requests {}", amounts(&defaults.requests));
    if let Some(limits) = &defaults.limits {
        by_default.push_str(&format!("; limits {}", amounts(limits)));
    }
    let mut text = fields(&[
        ("namespace", one.meta.name.clone()),
        ("team", one.meta.scope.clone()),
        ("about", spec.description.clone()),
        ("hosts", status.hosts.clone()),
        ("by default", by_default),
        ("let in", let_in(&spec.network_policies)),
    ]);
    text.push('\n');
    text.push_str(&namespaces(std::slice::from_ref(one)));
    text
}

/// Whose workloads network policies let in.
fn let_in(policies: &NetworkPolicies) -> String {
    if !policies.default_deny {
        return "everybody's workloads".into();
    }
    let peers = policies.allow_ingress.iter();
    let peers: Vec<&str> = peers.map(|peer| peer.from_namespace.as_str()).collect();
    match peers.join(", ") {
        none if none.is_empty() => "its own workloads".into(),
        peers => format!("its own workloads, and those of {peers}"),
    }
}

/// Namespaces, a line each, and what of their quotas is asked for.
pub(crate) fn namespaces(namespaces: &[Resource<Namespace>]) -> String {
    let rows = namespaces.iter().map(|one| {
        let asked = one.status.usage.as_ref().map(|usage| usage.asked);
        let asked = asked.unwrap_or(Quota::NONE);
        let quota = &one.spec.quota;
        let near = one.status.usage.iter().flat_map(|usage| &usage.near);
        let near: Vec<&str> = near.map(String::as_str).collect();
        let mut words = Vec::from_iter((!near.is_empty()).then(|| {
            format!(
                "{} % or more of {} is asked for",
                Usage::WARNING,
                near.join(", ")
            )
        }));
        words.extend(Some(one.status.message.clone()).filter(|message| !message.is_empty()));
        let state = match (one.meta.deleting, one.status.ready) {
            (Some(_), _) => "going",
            (None, true) => "ready",
            (None, false) => "waits",
        };
        [
            one.meta.name.clone(),
            one.spec.role.clone(),
            state.into(),
            format!("{} of {}", asked.requests.cpu, quota.requests.cpu),
            format!("{} of {}", asked.requests.memory, quota.requests.memory),
            format!("{} of {}", asked.limits.cpu, quota.limits.cpu),
            format!("{} of {}", asked.limits.memory, quota.limits.memory),
            words.join("; "),
        ]
    });
    table(
        [
            "namespace",
            "role",
            "state",
            "cpu",
            "memory",
            "cpu limit",
            "memory limit",
            "message",
        ],
        rows.collect(),
        "there are no namespaces that you may see",
    )
}

#[cfg(test)]
mod tests {
    use kernel::Document;
    use serde_json::{Value, json};

    use super::namespace as namespace_text;
    use super::*;

    fn resource<K: kernel::Kind>(
        scope: &str,
        name: &str,
        spec: Value,
        status: Value,
    ) -> Resource<K> {
        let mut document = Document {
            kind: K::KIND.into(),
            meta: kernel::Meta::new(scope, name),
            spec,
            status,
        };
        document.meta.revision = 1;
        document.typed().unwrap()
    }

    fn team() -> Resource<Team> {
        resource(
            "",
            "payments",
            json!({
                "group": "acme/payments", "source": "github", "contact": "#payments",
                "leads": ["github:7"],
                "interactions": [{
                    "with": "search", "mode": "x-as-a-service", "expires": "2030-01-01T00:00:00Z",
                }],
            }),
            json!({
                "phase": "onboarding",
                "conditions": [
                    { "type": "NamespacesReady", "status": "False", "since": "2029-01-01T00:00:00Z",
                      "message": "payments-qa: there is no environment role `qa`" },
                    { "type": "GroupFound", "status": "Unknown", "since": "2029-01-01T00:00:00Z" },
                ],
                "remaining": ["namespace payments-prod is kept"],
            }),
        )
    }

    #[test]
    fn teams_and_one_team() {
        insta::assert_snapshot!(list(&[team()]));
        let now = "2029-12-02T00:00:00Z".parse().unwrap();
        let ends: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let text = one(&team(), &[namespace()], now);
        // Wherever the test runs.
        let text = text.replace(&quantity::local(ends), "2030-01-01 00:00:00");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn conditions_from_before_a_change_are_said_to_be() {
        let mut team = team();
        let last = json!({ "at": "2029-01-01T00:00:00Z", "generation": 1, "members": "" });
        team.status.synced = serde_json::from_value(last).unwrap();
        for (generation, told) in [(1, false), (2, true)] {
            team.meta.generation = generation;
            let shown = one(&team, &[], Timestamp::UNIX_EPOCH);
            assert_eq!(shown.contains("of the last look"), told, "{shown}");
        }
    }

    #[test]
    fn members_by_source() {
        let answer: Members = serde_json::from_value(json!({
            "team": "payments", "group": "payments", "leads": ["local:ada"],
            "sources": [
                { "source": "local", "state": "complete", "members": [
                    { "subject": "local:ada", "name": "ada" },
                    { "subject": "local:bob", "name": "bob" },
                ] },
                { "source": "github", "state": "unavailable", "members": [], "message": "away" },
            ],
        }))
        .unwrap();
        insta::assert_snapshot!(members(&answer));
    }

    fn namespace() -> Resource<Namespace> {
        resource(
            "payments",
            "payments-dev",
            json!({ "role": "dev", "standard": true }),
            json!({
                "ready": true,
                "usage": {
                    "asked": {
                        "requests": { "cpu": "1600m", "memory": "512Mi" },
                        "limits": { "cpu": "2", "memory": "1Gi" },
                    },
                    "near": ["requests.cpu"],
                    "at": "2029-01-01T00:00:00Z",
                },
            }),
        )
    }

    #[test]
    fn one_namespace_says_whom_it_lets_in_and_what_counts_by_default() {
        let shown = |spec: Value| {
            let one = resource("payments", "payments-dev", spec, json!({ "ready": true }));
            let text = namespace_text(&one);
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let open = shown(json!({ "role": "dev" }));
        for part in [
            "let in everybody's workloads",
            "by default requests 100m cpu, 128Mi memory",
            "0 of 2Gi",
        ] {
            assert!(open.contains(part), "{part}: {open}");
        }
        let amounts = |cpu: &str| json!({ "cpu": cpu, "memory": "64Mi" });
        let closed = shown(json!({
            "role": "dev",
            "containerDefaults": { "requests": amounts("50m"), "limits": amounts("1") },
            "networkPolicies": {
                "defaultDeny": true,
                "allowIngress": [{ "fromNamespace": "shop-dev" }, { "fromNamespace": "shop-qa" }],
            },
        }));
        for part in [
            "let in its own workloads, and those of shop-dev, shop-qa",
            "by default requests 50m cpu, 64Mi memory; limits 1 cpu, 64Mi memory",
        ] {
            assert!(closed.contains(part), "{part}: {closed}");
        }
        let nobody = shown(json!({ "role": "dev", "networkPolicies": { "defaultDeny": true } }));
        assert!(
            nobody.contains("let in its own workloads NAMESPACE"),
            "{nobody}"
        );
    }

    #[test]
    fn namespaces_and_their_quotas() {
        insta::assert_snapshot!(namespaces(&[namespace()]));
    }
}
