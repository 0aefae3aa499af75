//! Documents, of each kind that `POST /v1/apply` takes: one that makes something, and one that changes what is there
//! where that is somebody else's to do.

use super::Row;

/// Of the platform's, for whoever operates it.
const OPERATORS: &str = "401 403 403 403 403 403 403 403 200";

/// Of a team's that lets somebody in: for its people, and for none of its automation.
const PEOPLE: &str = "401 404 403 403 403 200 200 403 200";

/// The first word is the kind.
pub(crate) const ROWS: &[Row] = &[
    ("Cluster", OPERATORS),
    ("EnvironmentRole", OPERATORS),
    ("Integration", OPERATORS),
    ("LocalGroup", OPERATORS),
    ("OidcClient", OPERATORS),
    ("ResourceDefinition", OPERATORS),
    ("StarterKit", OPERATORS),
    ("Upstream", OPERATORS),
    ("Subscription", OPERATORS),
    ("ServiceAccount", PEOPLE),
    ("WorkloadTrust", PEOPLE),
    // It is told of what happens, and lets nobody in: pipelines make it as well.
    (
        "Subscription of a team",
        "401 403 403 403 200 200 200 403 200",
    ),
    ("Environment", "401 403 403 403 200 200 200 403 200"),
    // To whoever may not see it, its name is taken.
    (
        "Environment that is there",
        "401 409 403 403 200 200 200 409 200",
    ),
    ("NamespaceRequest", "401 404 403 404 200 200 200 403 200"),
    (
        "NamespaceRequest that is there",
        "401 404 403 404 200 200 200 403 200",
    ),
    ("Team", "401 403 403 403 403 403 403 200 200"),
    // To whoever may not see it, it is one that they may not make.
    ("Team that is there", "401 403 403 403 403 403 200 403 200"),
    // Which there are; and what is said of one by those who administer it.
    ("Tool", OPERATORS),
    ("Tool that is there", "401 403 403 403 200 200 200 403 200"),
];
