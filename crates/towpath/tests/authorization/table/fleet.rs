//! Clusters.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    ("GET /v1/clusters", "401 200 200 200 200 200 200 200 200"),
    (
        "GET /v1/clusters/{name}",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "PUT /v1/clusters/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "DELETE /v1/clusters/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
];
