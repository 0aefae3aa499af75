//! Who asks. Passed as an argument, never read from a global.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Cause, Means, Reason};

/// What sort of caller it is: rules for a person's session differ from those for automation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallerKind {
    /// Somebody who has logged in.
    Person,
    /// A team's automation: a pipeline.
    ServiceAccount,
    /// What deploys to one environment of one team, and does nothing else.
    DeployCredential,
    /// A program that acts on its own judgement.
    Agent,
    /// The holder of the local admin token.
    LocalAdmin,
    /// A part of the platform itself.
    System,
}

/// The identity behind a request or a reconciler's work, how it came and why, and the correlation id
/// that joins all events of what it asked for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Stable identity: `local-admin`, `local:ada`, `system:delivery`.
    pub subject: String,
    /// What sort of caller it is.
    pub kind: CallerKind,
    /// The groups that the caller's source says they are in, as it calls them. They give nothing by
    /// themselves: what they give is said by teams, and by rules that name one.
    pub groups: Vec<String>,
    /// The lasting ids, at the source, of those of them that have one, by name: a name may be another
    /// group's tomorrow.
    pub group_ids: BTreeMap<String, String>,
    /// The registered teams whose rights the caller has, as of this call.
    pub teams: Vec<String>,
    /// Those of them that the caller leads.
    pub leads: Vec<String>,
    /// The one environment that a deploy credential is for; none: no such bound.
    pub environment: Option<String>,
    /// Whether the caller operates the platform.
    pub admin: bool,
    /// By which means they came.
    pub means: Means,
    /// Why they do what they do, where they have said so.
    pub reason: Option<Reason>,
    /// Joins the events of one piece of work.
    pub correlation: Uuid,
}

impl Caller {
    /// The holder of the local admin token.
    pub fn local_admin() -> Self {
        Self {
            subject: "local-admin".into(),
            kind: CallerKind::LocalAdmin,
            groups: vec![],
            group_ids: BTreeMap::new(),
            teams: vec![],
            leads: vec![],
            environment: None,
            admin: true,
            means: Means::AdminToken,
            reason: None,
            correlation: Uuid::now_v7(),
        }
    }

    /// Whether an event's `actor` is a part of the platform itself, and no person or pipeline.
    pub fn is_system(actor: &str) -> bool {
        actor == "system" || actor.starts_with("system:")
    }

    /// A part of the platform itself, continuing the work `correlation`.
    pub fn system(part: &str, correlation: Uuid) -> Self {
        Self {
            subject: format!("system:{part}"),
            kind: CallerKind::System,
            groups: vec![],
            group_ids: BTreeMap::new(),
            teams: vec![],
            leads: vec![],
            environment: None,
            admin: true,
            means: Means::Platform,
            reason: None,
            correlation,
        }
    }

    /// What events say of what the caller does.
    pub fn cause(&self) -> Cause {
        Cause {
            actor: self.subject.clone(),
            means: self.means.clone(),
            reason: self.reason.clone(),
            correlation: self.correlation,
        }
    }
}
