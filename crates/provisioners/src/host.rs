//! Host names: which are legal (RFC 1123), and which a team may claim.

use delivery::provisioner::{ProvisionError, Request};

use crate::params::Shape;

/// A parameter that is a host name.
pub(crate) const HOST: Shape =
    Shape::Checked(check_host, "a host name, such as `shop.dev.localhost`");

/// A parameter that is the path of a route.
pub(crate) const PATH: Shape = Shape::Checked(check_path, "a path, such as `/` or `/api`");

/// The names below which hosts may be claimed.
#[derive(Debug, Clone)]
pub struct Domains {
    /// The platform's own: each environment has `<environment>.<platform>` for itself.
    platform: String,
    /// Domains that the platform engineer allots, each to one team: `(domain, team)`.
    allotted: Vec<(String, String)>,
}

impl Domains {
    /// The platform's domain alone: `localhost`.
    pub fn new(platform: impl Into<String>) -> Self {
        Self {
            platform: platform.into().to_lowercase(),
            allotted: Vec::new(),
        }
    }

    /// Lets `team` claim `domain` and everything below it.
    #[must_use]
    pub fn allot(mut self, domain: impl Into<String>, team: impl Into<String>) -> Self {
        self.allotted
            .push((domain.into().to_lowercase(), team.into()));
        self
    }

    /// `<environment>.<domain>`: what an environment has for itself.
    pub fn of_environment(&self, environment: &str) -> String {
        format!("{environment}.{}", self.platform)
    }

    /// The host that an instance gets where it asks for none.
    pub(crate) fn default_host(&self, request: &Request) -> String {
        let label = request
            .workload
            .clone()
            .unwrap_or_else(|| label(&request.id));
        format!("{label}.{}", self.of_environment(&request.environment))
    }

    /// `host` as it is claimed, in lower case; an error where it is no host name, or where the
    /// request's team may not have it.
    pub(crate) fn claim(&self, host: &str, request: &Request) -> Result<String, ProvisionError> {
        let host = host.to_lowercase();
        check_host(&host).map_err(|wrong| {
            ProvisionError::permanent(format!("the host `{host}` {wrong}"))
                .remedy("use letters, digits and `-`, in labels of 1 to 63, separated by dots")
        })?;
        let own = self.of_environment(&request.environment);
        let mut allowed: Vec<&str> = self
            .allotted
            .iter()
            .filter(|(_, team)| *team == request.team)
            .map(|(domain, _)| domain.as_str())
            .collect();
        if below(&host, &own) || allowed.iter().any(|domain| is_or_below(&host, domain)) {
            return Ok(host);
        }
        allowed.push(&own);
        Err(ProvisionError::permanent(format!(
            "team `{}` may not claim the host `{host}` in environment `{}`",
            request.team, request.environment
        ))
        .remedy(format!(
            "choose a name below `{}`, or ask a platform engineer to allot the domain to the team",
            allowed.join("` or `")
        )))
    }
}

/// Why `host` is no host name; `Ok` where it is one.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() || host.len() > 253 {
        return Err(format!("has {} characters; 1 to 253 are legal", host.len()));
    }
    for label in host.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(format!(
                "has a label of {} characters; 1 to 63 are legal",
                label.len()
            ));
        }
        if let Some(bad) = label
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && *c != '-')
        {
            return Err(format!(
                "has the character {bad:?}, which no host name may have"
            ));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a label that begins or ends with `-`".into());
        }
    }
    // "1.2.3.4" reads as an address everywhere; such a name could never be looked up.
    if host
        .split('.')
        .next_back()
        .is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err("ends in a number, as an address does".into());
    }
    Ok(())
}

/// Why `path` is no path prefix of a route; `Ok` where it is one.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("does not begin with `/`".into());
    }
    if path.len() > 1024 {
        return Err(format!("has {} characters; 1024 are the most", path.len()));
    }
    if let Some(bad) = path
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '\\' | '%' | '"' | '<' | '>'))
    {
        return Err(format!(
            "has the character {bad:?}, which a route's path may not have"
        ));
    }
    if path
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err("has a segment `.` or `..`".into());
    }
    if path.contains("//") {
        return Err("has an empty segment".into());
    }
    Ok(())
}

/// Whether the host needs no record anywhere: RFC 6761 sends `localhost` and all below it to the
/// loopback.
pub(crate) fn is_loopback(host: &str) -> bool {
    is_or_below(host, "localhost")
}

fn below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_or_below(host: &str, domain: &str) -> bool {
    host == domain || below(host, domain)
}

/// `id` as one label: what a label cannot have becomes `-`.
fn label(id: &str) -> String {
    let label: String = id
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    let label = label.trim_matches('-');
    if label.is_empty() {
        "host".into()
    } else {
        label.into()
    }
}
