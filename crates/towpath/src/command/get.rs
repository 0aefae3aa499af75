//! `towpath get`

use std::collections::BTreeMap;

use catalog::model::StarterKit;
use clap::Args;
use delivery::{
    engine::Phase,
    model::{
        Deployment, DeploymentPhase, Environment, EnvironmentRole, Remnant, ResourceDefinition,
        ResourceInstance, Route, Workload,
    },
};
use jiff::Timestamp;
use kernel::{Document, Kind as KernelKind, Resource};

use super::{
    kind::{Kind, KindParser},
    policy, revision,
};
use crate::{
    cli::EnvironmentArg,
    context::Context,
    failure::Result,
    render::{
        describe,
        graph::state_word,
        quantity,
        status::{one_line, release_word},
        table::table,
    },
};

/// List resources of a kind, or get one
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath get workloads --env pr-42\n  towpath get deployments\n  towpath get resource-definition postgres-default -o yaml\n  towpath get revisions postgres-default\n  towpath get policies"
)]
pub(crate) struct Get {
    /// The kind
    #[arg(value_parser = KindParser)]
    kind: Kind,
    /// Only this one; for revisions, the definition
    name: Option<String>,
    #[command(flatten)]
    environment: EnvironmentArg,
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let environment = &self.environment.environment;
        match self.kind {
            Kind::Policies => return policy::list(context, self.name.as_deref()).await,
            Kind::Revisions => return revision::list(context, self.name.as_deref()).await,
            _ => {}
        }
        show(context, self.kind, self.name.as_deref(), environment).await
    }
}

/// Shows all of a kind, or one.
pub(crate) async fn show(
    context: &Context,
    kind: Kind,
    name: Option<&str>,
    environment: &str,
) -> Result<()> {
    let client = context.client()?;
    let now = Timestamp::now();
    if let Some(name) = name {
        let document = kind.get(&client, environment, name).await?;
        let text = rows(kind, vec![document.clone()], now)?;
        return context.answer(&document, || text);
    }
    let documents = kind.list(&client, environment).await?;
    let text = rows(kind, documents.clone(), now)?;
    context.answer(&serde_json::json!({ "items": documents }), || text)
}

fn typed<K: KernelKind>(documents: Vec<Document>) -> Result<Vec<Resource<K>>> {
    let resources: kernel::Result<Vec<_>> = documents.into_iter().map(Document::typed).collect();
    Ok(resources?)
}

/// The deployments that a later one has returned from, each with that one and where it returned to. `all` are the
/// newest first.
fn returned_from(all: &[Resource<Deployment>]) -> BTreeMap<&str, (&str, &str)> {
    let mut left = BTreeMap::new();
    for (n, back) in all.iter().enumerate() {
        let Some(to) = back.spec.rollback_to.as_deref() else {
            continue;
        };
        let shares = |one: &&Resource<Deployment>| {
            let mut workloads = one.spec.workloads.keys();
            one.status.phase.is_good()
                && workloads.any(|name| back.spec.workloads.contains_key(name))
        };
        let before = all[n + 1..].iter().find(shares);
        if let Some(before) =
            before.filter(|one| back.status.phase.is_good() && one.meta.name != to)
        {
            left.insert(before.meta.name.as_str(), (back.meta.name.as_str(), to));
        }
    }
    left
}

/// What a deployment returned to, what was returned to from it, and why it was made.
fn became(deployment: &Resource<Deployment>, left: Option<&(&str, &str)>) -> String {
    let Resource { spec, status, .. } = deployment;
    let mut parts = Vec::new();
    parts.extend(
        spec.rollback_to
            .as_ref()
            .map(|to| format!("returns to {to}")),
    );
    if status.phase == DeploymentPhase::RolledBack {
        let to = status
            .failure
            .as_ref()
            .and_then(|why| why.returned_to.as_ref());
        parts.push(to.map_or_else(|| "rolled back".into(), |to| format!("rolled back to {to}")));
    }
    parts.extend(left.map(|(by, to)| format!("rolled back to {to} by {by}")));
    parts.extend(Some(one_line(&spec.message)).filter(|message| !message.is_empty()));
    parts.join(". ")
}

/// The table of a kind.
fn rows(kind: Kind, documents: Vec<Document>, now: Timestamp) -> Result<String> {
    let nothing = format!("No {}s.", kind.word());
    Ok(match kind {
        Kind::Environments => {
            let rows = typed::<Environment>(documents)?.into_iter().map(|e| {
                let state = if e.is_deleting() {
                    "removing"
                } else {
                    "active"
                };
                let expires = e.spec.expires.map(|time| quantity::until(time, now));
                [
                    e.meta.name,
                    e.spec.role,
                    e.spec.team,
                    e.spec.engine,
                    state.into(),
                    quantity::age(e.meta.created, now),
                    expires.unwrap_or_default(),
                ]
            });
            let head = [
                "environment",
                "role",
                "team",
                "engine",
                "state",
                "age",
                "expires",
            ];
            table(head, rows.collect(), &nothing)
        }
        Kind::EnvironmentRoles => {
            let rows = typed::<EnvironmentRole>(documents)?.into_iter().map(|r| {
                let ttl = r.spec.default_ttl_seconds.unwrap_or_default();
                let ttl = jiff::SignedDuration::from_secs(ttl.try_into().unwrap_or(i64::MAX));
                let lives = if ttl.is_zero() {
                    String::new()
                } else {
                    quantity::coarse(ttl)
                };
                [
                    r.meta.name,
                    if r.spec.protected { "yes" } else { "no" }.into(),
                    lives,
                    r.spec.description,
                ]
            });
            table(
                ["role", "protected", "lives for", "description"],
                rows.collect(),
                &nothing,
            )
        }
        Kind::ResourceDefinitions => {
            let rows = typed::<ResourceDefinition>(documents)?
                .into_iter()
                .map(|d| {
                    [
                        d.meta.name,
                        d.spec.resource_type,
                        d.spec.provisioner,
                        d.status.revision.to_string(),
                        if d.status.built_in { "yes" } else { "no" }.into(),
                        one_line(&d.spec.description),
                        d.spec.learn.unwrap_or_default(),
                    ]
                });
            let head = [
                "definition",
                "type",
                "provisioner",
                "revision",
                "built in",
                "description",
                "learn more",
            ];
            table(head, rows.collect(), &nothing)
        }
        Kind::Deployments => {
            let mut deployments = typed::<Deployment>(documents)?;
            // Newest first: names are counted, and would sort as text.
            deployments.sort_by_key(|d| std::cmp::Reverse(d.meta.uid));
            let left = returned_from(&deployments);
            let rows = deployments.iter().map(|d| {
                let workloads: Vec<&str> = d.spec.workloads.keys().map(String::as_str).collect();
                [
                    d.meta.name.clone(),
                    describe::phase(d).into(),
                    workloads.join(","),
                    quantity::age(d.meta.created, now),
                    d.spec.requested_by.clone(),
                    became(d, left.get(d.meta.name.as_str())),
                ]
            });
            let head = [
                "deployment",
                "state",
                "workloads",
                "age",
                "asked by",
                "message",
            ];
            table(head, rows.collect(), &nothing)
        }
        Kind::Workloads => {
            let rows = typed::<Workload>(documents)?.into_iter().map(|w| {
                let state = w.status.releases.get(&w.spec.release);
                let word = match state.map(|s| s.phase) {
                    _ if w.is_deleting() => "removing",
                    Some(Phase::Ready) => "ready",
                    Some(phase) => release_word(phase),
                    None => "pending",
                };
                [
                    w.meta.name,
                    word.into(),
                    w.spec.release.to_string(),
                    w.spec.deployment,
                    quantity::age(w.meta.created, now),
                    one_line(w.status.trouble()),
                ]
            });
            let head = [
                "workload",
                "state",
                "release",
                "deployment",
                "age",
                "message",
            ];
            table(head, rows.collect(), &nothing)
        }
        Kind::Resources => {
            let rows = typed::<ResourceInstance>(documents)?.into_iter().map(|r| {
                let words = if r.status.message.is_empty() {
                    &r.status.summary
                } else {
                    &r.status.message
                };
                [
                    r.meta.name.clone(),
                    r.spec.node.to_string(),
                    state_word(r.status.phase, r.status.unreachable.is_some()).into(),
                    r.spec.definition.to_string(),
                    r.status.used_by.join(","),
                    one_line(words),
                ]
            });
            let head = [
                "name",
                "resource",
                "state",
                "definition",
                "used by",
                "what it is",
            ];
            table(head, rows.collect(), &nothing)
        }
        Kind::Remnants => {
            let rows = typed::<Remnant>(documents)?.into_iter().map(|r| {
                let left_by: Vec<_> = r.spec.left_by.iter().map(ToString::to_string).collect();
                [
                    r.meta.name,
                    format!("{}/{}", r.spec.environment, r.spec.node),
                    left_by.join(", "),
                    if r.spec.holds_data { "yes" } else { "no" }.into(),
                    r.spec.given_up_by,
                    quantity::age(r.spec.given_up, now),
                    one_line(&r.spec.message),
                ]
            });
            let head = [
                "remnant",
                "what it was",
                "left by",
                "data",
                "given up by",
                "age",
                "why",
            ];
            table(head, rows.collect(), &nothing)
        }
        Kind::StarterKits => {
            let rows = typed::<StarterKit>(documents)?.into_iter().map(|k| {
                let options: Vec<_> = k.spec.options.into_keys().collect();
                [
                    k.meta.name,
                    options.join(","),
                    if k.status.built_in { "yes" } else { "no" }.into(),
                    one_line(&k.spec.description),
                ]
            });
            let head = ["starter kit", "options", "built in", "description"];
            table(head, rows.collect(), &nothing)
        }
        Kind::Routes => {
            let rows = typed::<Route>(documents)?.into_iter().map(|r| {
                [
                    format!("{}{}", r.spec.host, r.spec.path),
                    r.spec.environment,
                    r.spec.workload,
                    r.spec.port,
                    r.meta.name,
                ]
            });
            let head = ["host and path", "environment", "workload", "port", "name"];
            table(head, rows.collect(), &nothing)
        }
        // These have no documents that could be listed here.
        Kind::Revisions | Kind::Policies => nothing,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(number: u8, spec: &Value, status: Value) -> Document {
        let mut whole = json!({
            "workloads": { "notes": {
                "apiVersion": "score.dev/v1b1", "metadata": { "name": "notes" },
                "containers": { "main": { "image": "notes:1" } },
            } },
            "releases": {}, "graph": { "nodes": {}, "workloads": {} },
            "plan": {
                "resources": {}, "workloads": {}, "routesAdded": [], "routesRemoved": [], "warnings": [],
                "held": [],
            },
            "decision": { "allowed": true, "policies": [] },
            "requestedBy": "local-admin", "correlation": "01890000-0000-7000-8000-0000000000cc",
            "claims": {}, "timeoutSeconds": 300,
        });
        for (field, value) in spec.as_object().unwrap() {
            whole[field] = value.clone();
        }
        let mut meta = kernel::Meta::new("dev", format!("d-{number}"));
        meta.uid = uuid::Uuid::from_u128(number.into());
        meta.revision = 1;
        Document {
            kind: Deployment::KIND.into(),
            meta,
            spec: whole,
            status,
        }
    }

    #[test]
    fn a_deployment_that_was_rolled_back_says_to_what() {
        let good = || json!({ "phase": "succeeded" });
        let failed = json!({ "phase": "rolled-back", "failure": {
            "step": "observe", "subject": "workload notes", "message": "it ends", "returnedTo": "d-1",
        }});
        let all = vec![
            deployment(1, &json!({}), good()),
            deployment(2, &json!({ "message": "try" }), failed),
            deployment(3, &json!({ "message": "again" }), good()),
            deployment(4, &json!({ "rollbackTo": "d-1" }), good()),
        ];
        let text = rows(Kind::Deployments, all, Timestamp::now()).unwrap();
        let told = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split("local-admin").last().unwrap().trim()
        };
        assert_eq!(told("d-1"), "-");
        assert_eq!(told("d-2"), "rolled back to d-1. try");
        assert_eq!(told("d-3"), "rolled back to d-1 by d-4. again");
        assert_eq!(told("d-4"), "returns to d-1");
    }
}
