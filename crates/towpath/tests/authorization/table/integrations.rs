//! Tools that are kept in step with teams.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "PUT /v1/platforms/integrations/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/platforms/integrations",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/platforms/integrations/{name}",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "GET /v1/platforms/integrations/{name}/teams",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/teams/{team}/integrations",
        "401 404 200 200 200 200 200 200 200",
    ),
    (
        "DELETE /v1/platforms/integrations/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
];
