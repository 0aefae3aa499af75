//! Clusters: types and invariants. No I/O.

mod authority;

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Kind, Name, Problem, cause::controls};
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::authority::authority;

/// The longest address.
const LONGEST_URL: usize = 2000;
/// The longest text beside that.
const LONGEST_TEXT: usize = 1000;
/// What is wrong with a text that does something to the terminal that shows it: everybody's does.
pub(crate) const CONTROLS: &str = "it holds characters that control what is shown";
/// Roles, and parameters, of a cluster at the most.
const MOST: usize = 64;

/// A Kubernetes cluster, as clients need to know it. Scope: the platform. Everybody who is known to the
/// platform sees all of it: it holds no secret.
#[derive(Debug)]
pub enum Cluster {}

impl Kind for Cluster {
    const KIND: &'static str = "Cluster";
    type Spec = ClusterSpec;
    /// The platform does not call it: nothing is observed.
    type Status = ();

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath cluster list".into())
    }
}

/// Where a cluster is, how it is known, and what it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The `https` address of its API server.
    pub endpoint: String,
    /// The certificates of its authority: PEM, or that in base64 as a kubeconfig has it, in which form it is
    /// kept. None: an authority that clients know anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
    /// What it is for: names of environment roles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
    /// Where it stands, in the words of whoever runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether it is the one that is meant where none is named. One is, at the most.
    #[serde(
        default,
        rename = "default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub is_default: bool,
    /// What else clients need to know of it: the id of its file system, say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

impl ClusterSpec {
    /// The same in the form in which it is kept; else all that is wrong with it, which stands at `place`.
    ///
    /// # Errors
    /// The problems, each with its remedy.
    pub fn checked(mut self, place: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        problems.extend(endpoint_problem(
            &self.endpoint,
            &format!("{place}.endpoint"),
        ));
        if let Some(given) = &self.certificate_authority_data {
            match authority(given, &format!("{place}.certificateAuthorityData")) {
                Ok(kept) => self.certificate_authority_data = Some(kept),
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(self.word_problems(place));
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(problems)
        }
    }

    fn word_problems(&self, place: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |rule: &str, at: String, message: String, remedy: &str| {
            problems.push(Problem::new(rule, at, message).remedy(remedy));
        };
        for (what, text) in [
            ("description", Some(&self.description)),
            ("region", self.region.as_ref()),
        ] {
            if text.is_some_and(|text| text.len() > LONGEST_TEXT) {
                wrong(
                    "cluster/text",
                    format!("{place}.{what}"),
                    format!("it is longer than {LONGEST_TEXT} bytes"),
                    "write it shorter",
                );
            }
            // A description stands apart where it is shown, and may have paragraphs.
            let lays_out = |c: char| what == "description" && matches!(c, '\n' | '\t');
            if text.is_some_and(|text| text.contains(|c: char| controls(c) && !lays_out(c))) {
                let at = format!("{place}.{what}");
                wrong("cluster/text", at, CONTROLS.into(), "leave them out");
            }
        }
        if self.roles.len().max(self.parameters.len()) > MOST {
            wrong(
                "cluster/size",
                place.to_owned(),
                format!("it has more than {MOST} roles or parameters"),
                "leave some out",
            );
        }
        for role in &self.roles {
            if let Err(error) = Name::new(role.as_str()) {
                let remedy = "name a role as environments have it: dev, qa, prod";
                wrong(
                    "cluster/role",
                    format!("{place}.roles"),
                    error.message,
                    remedy,
                );
            }
        }
        for (key, value) in &self.parameters {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            if key.is_empty() || key.len() > Name::MAX || !key.chars().all(is_word) {
                wrong(
                    "cluster/parameter",
                    format!("{place}.parameters"),
                    "a parameter's name is 1 to 63 letters, digits, and `.`, `_`, `-`, `/`".into(),
                    "call it by such a name: efsStorageId",
                );
            } else if value.len() > LONGEST_TEXT {
                wrong(
                    "cluster/parameter",
                    format!("{place}.parameters.{key}"),
                    format!("it is longer than {LONGEST_TEXT} bytes"),
                    "name where it is to be found instead",
                );
            } else if value.contains(controls) {
                let at = format!("{place}.parameters.{key}");
                wrong("cluster/parameter", at, CONTROLS.into(), "leave them out");
            }
        }
        problems
    }
}

/// What is wrong with the address of an API server, which stands at `place`: people's tokens are sent there.
pub fn endpoint_problem(endpoint: &str, place: &str) -> Option<Problem> {
    let wrong = |message: String, remedy: &str| {
        Some(Problem::new("cluster/endpoint", place, message).remedy(remedy))
    };
    if endpoint.len() > LONGEST_URL {
        let message = format!("the address is longer than {LONGEST_URL} bytes");
        return wrong(message, "give a shorter one");
    }
    let Ok(url) = Url::parse(endpoint) else {
        return wrong("it is not a URL".into(), "write it as https://HOST:PORT");
    };
    if url.scheme() != "https" {
        return wrong(
            "it is no https address: a token would cross the network in the clear".into(),
            "write it as https://HOST:PORT",
        );
    }
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_plain || endpoint.chars().any(|c| c.is_whitespace() || controls(c)) {
        return wrong(
            "the address has more in it than a host, a port and a path".into(),
            "leave out users, passwords, spaces, `?` and `#`",
        );
    }
    None
}
