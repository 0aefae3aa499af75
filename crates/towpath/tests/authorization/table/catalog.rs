//! Starter kits.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "GET /v1/starter-kits",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/starter-kits/{name}",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "DELETE /v1/starter-kits/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "POST /v1/starter-kits/{name}/repositories",
        "401 200 200 200 200 200 200 200 200",
    ),
];
