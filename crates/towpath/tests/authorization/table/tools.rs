//! The register of tools.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "GET /v1/platforms/tools",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/platforms/tools/{name}",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "DELETE /v1/platforms/tools/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
];
