//! The routing table: which host and path leads to whom. Built whole, then never changed.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::Arc,
};

use crate::admission::Admission;

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Who owns the route, in words for logs and for the refusal of a second claim.
    pub owner: String,
    /// The addresses that serve it, in turn.
    pub backends: Vec<SocketAddr>,
    /// Why there is no backend; what a visitor is told while `backends` is empty.
    pub absence: Absence,
    /// Whose workloads it lets in; none: everybody's.
    pub admission: Option<Arc<Admission>>,
}

/// Why a target has no backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Absence {
    /// It is on its way up.
    #[default]
    Starting,
    /// It failed, and is not coming up by itself soon.
    Failed,
    /// It was stopped on purpose.
    Stopped,
}

/// Why a route was not taken into the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The host is none.
    #[error(
        "`{0}` is no host: use letters, digits, `-`, `_` and `.`, or an address, without a port"
    )]
    Host(String),
    /// The path is none.
    #[error("`{0}` is no path prefix: begin with `/`, and use no `?`, `#`, `.` or `..` segment")]
    Path(String),
    /// Another target has this host and path.
    #[error("http://{host}{path} is already taken by {owner}: choose another host or path")]
    Taken {
        /// The host.
        host: String,
        /// The path prefix.
        path: String,
        /// Who has it.
        owner: String,
    },
}

/// Hosts and, below each, path prefixes.
///
/// Hosts are compared without case, port and final dot. A prefix matches whole segments (`/api`
/// matches `/api` and `/api/v1`, not `/apis`), and the most specific prefix wins.
#[derive(Debug, Clone, Default)]
pub struct RoutingTable {
    hosts: HashMap<String, Vec<Route>>,
}

#[derive(Debug, Clone)]
struct Route {
    /// Without a final `/`; the root is empty.
    prefix: String,
    target: Target,
}

impl RoutingTable {
    /// A table without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route.
    pub fn insert(&mut self, host: &str, path: &str, target: Target) -> Result<(), RouteError> {
        let key = crate::head::host_name(host)
            .filter(|name| name.len() == host.trim_end_matches('.').len())
            .ok_or_else(|| RouteError::Host(host.to_owned()))?
            .into_owned();
        let plain = path.starts_with('/')
            && path
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
            && !crate::head::has_dot_segment(path);
        if !plain {
            return Err(RouteError::Path(path.to_owned()));
        }
        let prefix = path.trim_end_matches('/').to_owned();
        let routes = match self.hosts.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Vec::new()),
        };
        // Longest first: of two prefixes that match one path by whole segments, the longer is the
        // more specific.
        let rank = |p: &str| (std::cmp::Reverse(p.len()), p.to_owned());
        match routes.binary_search_by_key(&rank(&prefix), |route| rank(&route.prefix)) {
            Ok(at) => Err(RouteError::Taken {
                host: host.to_owned(),
                path: path.to_owned(),
                owner: routes[at].target.owner.clone(),
            }),
            Err(at) => {
                routes.insert(at, Route { prefix, target });
                Ok(())
            }
        }
    }

    /// The target of a request for `path` (without query) at `host` (lower case, no port).
    pub fn find(&self, host: &str, path: &str) -> Option<&Target> {
        self.hosts
            .get(host)?
            .iter()
            .find(|route| {
                path.strip_prefix(route.prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map(|route| &route.target)
    }

    /// Every address that some route leads to, with repetitions.
    pub fn backends(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.hosts
            .values()
            .flatten()
            .flat_map(|route| route.target.backends.iter().copied())
    }

    /// How many hosts it has.
    pub fn host_count(&self) -> usize {
        self.hosts.len()
    }
}
