//! The kinds of identity: types and invariants, no I/O.

mod account;
mod client;
mod keys;
mod trust;
mod upstream;
mod user;

pub use account::{AccountKind, AccountStatus, IssuedKey, ServiceAccount, ServiceAccountSpec};
pub use client::{ClientStatus, OidcClient, OidcClientSpec, redirect_allowed};
pub use keys::{KeyPhase, KeyRing, KeyRingStatus, PublishedKey};
pub use trust::{WorkloadTrust, WorkloadTrustSpec, unmet_rule};
pub use upstream::{Upstream, UpstreamKind, UpstreamSpec};
pub use user::{
    LocalGroup, LocalGroupSpec, LocalUser, LocalUserSpec, UserName, UserNameSpec, UserStatus,
};
pub(crate) use user::{local_id, parse_local_id};

/// Whether tokens may name this group: names that begin with `system:` are the cluster's own, and a
/// name with control characters is nobody's.
pub fn may_be_issued(group: &str) -> bool {
    let group = group.trim();
    let system = group
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("system:"));
    !group.is_empty() && !system && !group.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_the_cluster_are_never_issued() {
        for bad in [
            "system:masters",
            " system:nodes",
            "SYSTEM:masters",
            "",
            " ",
            "a\nb",
        ] {
            assert!(!may_be_issued(bad), "{bad:?}");
        }
        for good in [
            "payments",
            "epetech/platform-team",
            "systems",
            "system",
            "é:masters",
        ] {
            assert!(may_be_issued(good), "{good:?}");
        }
    }
}
