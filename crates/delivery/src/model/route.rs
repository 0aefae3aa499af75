//! Routes: which host and path leads to which workload. A route's key is its claim, so that the
//! store itself refuses a second owner.

use kernel::{Kind, Meta, Resource};
use serde::{Deserialize, Serialize};

/// A claim of a host and path. Scope: the platform; name: [`route_name`].
#[derive(Debug)]
pub enum Route {}

impl Kind for Route {
    const KIND: &'static str = "Route";
    type Spec = RouteSpec;
    type Status = ();
}

/// What a route says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    /// The host, in lower case, without port.
    pub host: String,
    /// The path prefix, from `/`; matches whole segments.
    pub path: String,
    /// The environment of the workload.
    pub environment: String,
    /// The workload.
    pub workload: String,
    /// The service port that it leads to: the port's name, or its number as text.
    pub port: String,
    /// The resource instance that claims it; none for a workload's own host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Route {
    /// The label that names the environment of a route.
    pub const ENVIRONMENT: &str = "environment";
    /// The label that names the host of a route.
    pub const HOST: &str = "host";

    /// The route that `claim` asks for, for `team`; by its labels those of an environment or of a host
    /// are found without reading all.
    pub fn claimed(name: &str, claim: &RouteSpec, team: &str) -> Resource<Self> {
        let mut route = Resource::new("", name, claim.clone());
        route.meta.labels = [
            (Self::ENVIRONMENT.to_owned(), claim.environment.clone()),
            (Self::HOST.to_owned(), claim.host.clone()),
            (Meta::TEAM.to_owned(), team.to_owned()),
        ]
        .into();
        route
    }
}

/// Who last claimed a path of a host. Scope: the platform; name: [`host_name`].
///
/// A host is one environment's, and its paths are claimed by routes of different keys: what claims a
/// further path writes this, so that of two who claim paths of one host at once one is told so.
#[derive(Debug)]
pub enum HostClaim {}

impl Kind for HostClaim {
    const KIND: &'static str = "HostClaim";
    type Spec = HostClaimSpec;
    type Status = ();
}

/// What a [`HostClaim`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostClaimSpec {
    /// The host, in lower case, without port.
    pub host: String,
    /// The environment that last claimed a path of it.
    pub environment: String,
    /// How often a path of it was claimed.
    pub claims: u64,
}

impl HostClaim {
    /// `before`, claimed once more: by `environment`.
    pub fn again(before: Option<Resource<Self>>, host: &str, environment: &str) -> Resource<Self> {
        let spec = |claims| HostClaimSpec {
            host: host.into(),
            environment: environment.into(),
            claims,
        };
        let mut claim = match before {
            Some(mut held) => {
                held.spec = spec(held.spec.claims + 1);
                held
            }
            None => Resource::new("", host_name(host), spec(1)),
        };
        let label = (Route::ENVIRONMENT.to_owned(), environment.to_owned());
        claim.meta.labels = [label].into();
        claim
    }
}

/// The name under which `host` is claimed.
pub fn host_name(host: &str) -> String {
    digest_name("host", &host.to_lowercase())
}

/// The name under which `host` and `path` are claimed: a digest, since a host and path are no label.
pub fn route_name(host: &str, path: &str) -> String {
    digest_name("route", &format!("{}{path}", host.to_lowercase()))
}

fn digest_name(what: &str, claimed: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(claimed);
    format!("{what}-{}", kernel::bytes::hex(&digest[..16]))
}
