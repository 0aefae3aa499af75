//! Routes: which host and path leads to which workload. A route's key is its claim, so that the
//! store itself refuses a second owner.

use kernel::Kind;
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

/// The name under which `host` and `path` are claimed: a digest, since a host and path are no label.
pub fn route_name(host: &str, path: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{}{}", host.to_lowercase(), path));
    format!("route-{}", crate::hex::hex(&digest[..16]))
}
