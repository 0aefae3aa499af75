//! What the platform shows of its own work: revisions compared, what policy decided over, and what the
//! engine is handed.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kernel::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    definition::RevisionChange,
    engine::{Before, Container, Port, Probe, Release},
    verify::Decision,
};

/// The query of `GET resource-definitions/{name}/difference`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DifferenceQuery {
    /// The earlier revision; the one before `to` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The later one; the newest where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// `GET resource-definitions/{name}/difference`: what one revision says otherwise than another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionDifference {
    /// The definition.
    pub definition: String,
    /// The revision that is compared.
    pub from: u64,
    /// The one that it is compared with.
    pub to: u64,
    /// What differs, place by place; none where both say the same.
    pub changes: Vec<RevisionChange>,
}

/// `GET .../deployments/{name}/decision`: what policy was asked, and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDecision {
    /// `{caller, environment, workloads, plan}` as the policies got it; values of variables and contents of
    /// files are not in it. Null of a deployment of before the platform kept it.
    #[schema(value_type = Object)]
    pub input: Value,
    /// What they said.
    pub decision: Decision,
}

/// `GET .../workloads/{name}/release`: what the engine is handed, with everything resolved. Secrets are not
/// in it: each stands as `(secret ${resources.NAME.OUTPUT})`, by the placeholder that it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderedRelease {
    /// The environment.
    pub environment: String,
    /// The workload.
    pub workload: String,
    /// The release that should serve.
    pub release: u64,
    /// The deployment that says so.
    pub deployment: String,
    /// The engine that is handed it.
    pub engine: String,
    /// The containers by name.
    pub containers: BTreeMap<String, RenderedContainer>,
    /// The ports that the workload serves, by name.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub ports: BTreeMap<String, Port>,
    /// Whether the programs listen on the declared ports, whatever the engine tells them.
    pub fixed_ports: bool,
    /// Servers on the platform's machine that the workload must reach.
    #[schema(value_type = Vec<String>)]
    pub reaches: Vec<SocketAddr>,
}

/// One container of a [`RenderedRelease`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderedContainer {
    /// An image reference, or a path of a program on the machine.
    pub image: String,
    /// In place of the image's entry point; empty: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// In place of the image's arguments; empty: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Files to be found in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<RenderedFile>,
    /// Volumes to be found in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<RenderedMount>,
    /// CPU in thousandths of a core and memory in bytes: `cpuLimitMillis`, `memoryLimitBytes`,
    /// `cpuRequestMillis`, `memoryRequestBytes`, as far as they are said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, u64>,
    /// Restarted when this fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub liveness: Option<Value>,
    /// Gets no traffic until this succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub readiness: Option<Value>,
    /// Containers that wait for this one, and for what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub before: BTreeMap<String, Before>,
}

/// A file of a [`RenderedContainer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderedFile {
    /// Where in the container.
    #[schema(value_type = String)]
    pub target: PathBuf,
    /// Permission bits, in octal: `0644`.
    pub mode: String,
    /// What is in it, where that is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What is in it where it is not, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_content: Option<String>,
}

/// A volume of a [`RenderedContainer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderedMount {
    /// The directory of the platform's machine.
    #[schema(value_type = String)]
    pub source: PathBuf,
    /// Below `source`; empty: the whole.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// Where in the container.
    #[schema(value_type = String)]
    pub target: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
}

impl RenderedRelease {
    /// What is to be seen of `release`, which must have been resolved without any secret: everything in it
    /// is shown.
    pub(crate) fn of(release: Release, deployment: &str, engine: &str) -> Self {
        Self {
            environment: release.id.environment,
            workload: release.id.workload,
            release: release.id.release,
            deployment: deployment.into(),
            engine: engine.into(),
            containers: release
                .containers
                .into_iter()
                .map(|(name, container)| (name, RenderedContainer::from(container)))
                .collect(),
            ports: release.ports,
            fixed_ports: release.fixed_ports,
            reaches: release.reaches,
        }
    }
}

impl From<Container> for RenderedContainer {
    fn from(container: Container) -> Self {
        let text = |value: &Secret| String::from_utf8_lossy(value.expose()).into_owned();
        let variables = container.variables.iter();
        let files = container.files.into_iter().map(|file| RenderedFile {
            target: file.target,
            mode: format!("{:04o}", file.mode),
            content: file.content.expose_str().map(str::to_owned),
            binary_content: match file.content.expose_str() {
                Some(_) => None,
                None => Some(STANDARD.encode(file.content.expose())),
            },
        });
        let mounts = container.volumes.into_iter().map(|mount| RenderedMount {
            source: mount.source,
            path: mount.path,
            target: mount.target,
            read_only: mount.read_only,
        });
        let resources = [
            ("cpuLimitMillis", container.cpu_limit_millis),
            ("memoryLimitBytes", container.memory_limit_bytes),
            ("cpuRequestMillis", container.cpu_request_millis),
            ("memoryRequestBytes", container.memory_request_bytes),
        ];
        let said = resources.into_iter();
        Self {
            image: container.image,
            command: container.command,
            args: container.args,
            variables: variables
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            files: files.collect(),
            mounts: mounts.collect(),
            resources: said
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
            liveness: container.liveness.as_ref().map(probe),
            readiness: container.readiness.as_ref().map(probe),
            before: container.before,
        }
    }
}

fn probe(probe: &Probe) -> Value {
    match probe {
        Probe::Exec { command } => json!({ "command": command }),
        Probe::Http(http) => json!({
            "scheme": if http.https { "https" } else { "http" },
            "host": http.host,
            "path": http.path,
            "port": http.port,
            "headers": http.headers,
        }),
    }
}
