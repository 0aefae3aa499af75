//! Teams' secrets, and the key that seals them.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "GET /v1/platform/keys",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "POST /v1/platform/rekey",
        "401 403 403 403 403 403 403 403 202",
    ),
    (
        "POST /v1/platform/rekey/new-key",
        "401 403 403 403 403 403 403 403 202",
    ),
    (
        "POST /v1/platform/rekey/forget-former",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/teams/{team}/secrets",
        "401 404 200 200 200 200 200 403 200",
    ),
    (
        "PUT /v1/teams/{team}/secrets/{name}",
        "401 403 403 403 200 200 200 403 200",
    ),
    (
        "GET /v1/teams/{team}/secrets/{name}",
        "401 403 200 200 200 200 200 403 200",
    ),
    (
        "GET /v1/teams/{team}/secrets/{name}/value",
        "401 403 403 403 200 200 200 403 200",
    ),
    (
        "POST /v1/teams/{team}/secret-rotations",
        "401 403 403 403 200 200 200 403 200",
    ),
    (
        "DELETE /v1/teams/{team}/secrets/{name}",
        "401 403 403 403 204 204 204 403 204",
    ),
];
