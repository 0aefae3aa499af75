//! The port to what makes resources: a database, a bucket, a route.
//!
//! A provisioner makes one isolated *instance* for a [`Request`]. Everything that it chooses is a
//! function of the request (names from the instance's uid, credentials from its seed), so that a
//! call that was killed half-way is simply made again: nothing is made twice, no secret is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use async_trait::async_trait;
use kernel::{Problem, Secret, SecretText};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// What a provisioner is asked to make, or to remove.
#[derive(Debug, Clone)]
pub struct Request {
    /// The platform, so that two platforms on one server keep apart.
    pub platform: Uuid,
    /// The instance: never used again, also not by a later one of the same name.
    pub uid: Uuid,
    /// The environment.
    pub environment: String,
    /// The environment's role: `dev`.
    pub role: String,
    /// The team that it belongs to.
    pub team: String,
    /// The workload that asked for it; none where it is shared.
    pub workload: Option<String>,
    /// The resource type: `postgres`.
    pub resource_type: String,
    /// The class: `default`.
    pub class: String,
    /// The id, unique within environment and type: `notes.db`, or `shared-cache`.
    pub id: String,
    /// The definition's parameters, placeholders resolved.
    pub params: Map<String, Value>,
    /// 32 random bytes, sealed in the store before the first call: all credentials derive from it.
    pub seed: Secret,
    /// Counts up with each rotation of the credentials, from 1.
    pub rotation: u32,
    /// What the provisioner returned as state last time; `Null` the first time.
    pub state: Value,
    /// Where the environment's workloads reach servers on this machine's loopback.
    pub machine_host: String,
}

impl Request {
    /// What the names of everything that `platform` makes begin with: `tp-<6 of its uid>-`. It is
    /// how a server's own list tells this platform's things from everybody else's.
    pub fn name_prefix(platform: Uuid, separator: char) -> String {
        let uid = platform.simple().to_string();
        format!("tp{separator}{}{separator}", &uid[uid.len() - 6..])
    }

    /// A name that no other instance has: `tp-<6 of the platform's uid>-<environment>-<id>-<8 of
    /// the uid>`, cut in the middle to `max` bytes, `separator` in place of whatever is not
    /// `a-z0-9`. Begins with a letter.
    pub fn unique_name(&self, max: usize, separator: char) -> String {
        let uid = self.uid.simple().to_string();
        let tail = &uid[uid.len() - 8..];
        let mut name = Self::name_prefix(self.platform, separator);
        let room = max.saturating_sub(name.len() + tail.len() + 1);
        let readable = format!("{}-{}", self.environment, self.id).to_lowercase();
        name.extend(readable.chars().take(room).map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                separator
            }
        }));
        name.push(separator);
        name.push_str(tail);
        name
    }

    /// A credential of the present rotation: 32 letters and digits, a function of seed, rotation and
    /// `label` (HKDF-SHA-256, RFC 5869).
    pub fn credential(&self, label: &str) -> SecretText {
        self.credential_of(label, self.rotation)
    }

    /// The same of another rotation.
    pub fn credential_of(&self, label: &str, rotation: u32) -> SecretText {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let info = format!("towpath credential {label} {rotation}");
        let bytes = self.seed.derive(&info, 64);
        // Bytes from 248 up are passed over, so that every letter is equally likely.
        let text: String = bytes
            .expose()
            .iter()
            .filter(|b| **b < 248)
            .take(32)
            .map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()]))
            .collect();
        SecretText::from(text)
    }
}

/// One output of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Anyone who may see the resource may see this.
    Plain(Value),
    /// Sealed before it is kept.
    Secret(Secret),
}

/// What was made.
#[derive(Debug, Clone, Default)]
pub struct Provisioned {
    /// What workloads and other resources may refer to: `${resources.db.host}`.
    pub outputs: BTreeMap<String, Output>,
    /// What the provisioner wants to know next time. Shown to people: never a secret.
    pub state: Value,
    /// The server on this machine's loopback that a workload must reach, if it is one.
    pub listens: Option<SocketAddr>,
    /// What people may want to know: `database tp_dev_notes_db on 127.0.0.1:5432`.
    pub summary: String,
    /// Hosts and paths of the gateway that the instance wants for itself.
    pub claims: Vec<Claim>,
}

/// A host, or a host and path, of the gateway. The store grants it to one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The host, in lower case, without port.
    pub host: String,
    /// Where requests go: a path prefix, and the port of the asking workload (its name, or its
    /// number as text). None: the name alone is claimed.
    pub route: Option<(String, String)>,
}

/// A port of a workload of the same environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadPort {
    /// The workload.
    pub workload: String,
    /// The port's name, or its number as text.
    pub port: String,
}

/// Whether a thing is there: present, as it was made or changed; absent; or unknown. "Could not ask"
/// deletes nothing and heals nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The server lists it.
    Present,
    /// The server lists it, and what the workloads were handed no longer works, for this reason: its
    /// login was removed, or its password or rights were changed. It is brought to what its spec says;
    /// what it holds stays, and so do the workloads that use it.
    Changed(String),
    /// The server answers, and does not list it.
    Absent,
    /// It cannot be told, for this reason: mostly, the server does not answer.
    Unknown(ProvisionError),
}

/// Why a provisioner could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProvisionError {
    /// What and why, in the server's own words: public, without secrets.
    pub message: String,
    /// How to mend it.
    pub remedy: Option<String>,
    /// Whether the same may succeed later; `false` fails the deployment at once.
    pub retry: bool,
}

impl ProvisionError {
    /// Trying again may succeed: the server is away.
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: None,
            retry: true,
        }
    }

    /// Trying again will not help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: None,
            retry: false,
        }
    }

    /// Says how to mend it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What a provisioner is like.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// One sentence for people.
    pub summary: &'static str,
    /// The outputs and whether each is secret; empty where they depend on the parameters.
    pub outputs: &'static [(&'static str, bool)],
    /// Whether it holds data: then it is never replaced or removed as a side effect.
    pub holds_data: bool,
    /// Parameters whose change asks for a replacement rather than a change in place.
    pub replaced_by: &'static [&'static str],
}

/// What makes one sort of resource.
#[async_trait]
pub trait Provisioner: Send + Sync + 'static {
    /// Its name in definitions (`spec.provisioner`): `postgres`.
    fn name(&self) -> &'static str;

    /// What it is like.
    fn describe(&self) -> Description;

    /// What is wrong with `params`, before anything is made. Placeholders that cannot be resolved
    /// yet stand in it as text.
    fn check(&self, params: &Map<String, Value>) -> Vec<Problem>;

    /// The names of the outputs that an instance with `params` will have, where that is known before
    /// it is made: a placeholder for another one is refused with the plan. Placeholders that cannot be
    /// resolved yet stand in `params` as text.
    fn outputs(&self, _params: &Map<String, Value>) -> Option<BTreeSet<String>> {
        let known = self.describe().outputs;
        let names = known.iter().map(|(name, _)| (*name).to_owned());
        (!known.is_empty()).then(|| names.collect())
    }

    /// Ports of workloads that the instance leads to: where one is not there, the deployment is
    /// refused.
    fn leads_to(&self, _request: &Request) -> Vec<WorkloadPort> {
        Vec::new()
    }

    /// What [`Provisioner::provision`] will answer, where that follows from the request alone: then
    /// claims are checked, and refused, before anything is made. None: it is known only once made.
    fn preview(&self, _request: &Request) -> Option<Result<Provisioned, ProvisionError>> {
        None
    }

    /// Why the instance is to be made anew with the next deployment: what it stands for is kept by
    /// others, and has changed since it was made (`request.state`). Asked with every plan, before anything is
    /// made; an error refuses the plan. None: nothing speaks for it.
    async fn outdated(&self, _request: &Request) -> Result<Option<String>, ProvisionError> {
        Ok(None)
    }

    /// How long one call about `request` may take at the most, where the provisioner itself ends what takes
    /// longer: whoever calls waits for as long at least. None: it has no limit of its own.
    fn time_limit(&self, _request: &Request) -> Option<Duration> {
        None
    }

    /// Makes the instance, or brings it to what the request says. Idempotent.
    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError>;

    /// Ends the credentials of rotations before the present one. Called when no workload uses them.
    async fn retire(&self, request: &Request) -> Result<(), ProvisionError>;

    /// Why the credentials that an instance had at `rotation` stay good after a rotation, and what people do about
    /// it: they are not this instance's alone, or no rotation changes them. Placeholders stand in `params` as text;
    /// `state` is the present one. None: [`Provisioner::retire`] ends them.
    fn not_ended_by_rotation(
        &self,
        _params: &Map<String, Value>,
        _state: &Value,
        _rotation: u32,
    ) -> Option<String> {
        None
    }

    /// Removes all that was made: asked of who made it, with the parameters and the state that it was made with, and
    /// where it was only begun, too. `Ok` only when the server no longer lists it.
    async fn remove(&self, request: &Request) -> Result<(), ProvisionError>;

    /// Whether the instance is there.
    async fn presence(&self, request: &Request) -> Presence;

    /// Names of everything on the server that this platform made, from the server's own list: for
    /// the comparison with what should be there.
    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError>;

    /// The name under which [`Provisioner::inventory`] lists the instance; `None` where it makes
    /// nothing on a server.
    fn listed_as(&self, request: &Request) -> Option<String>;
}
