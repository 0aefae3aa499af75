//! Which teams are customers, who is in them, and their namespaces.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "GET /v1/platforms/teams",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "POST /v1/platforms/teams",
        "401 403 403 403 403 403 403 202 202",
    ),
    (
        "GET /v1/platforms/teams/{team}",
        "401 404 200 404 200 200 200 200 200",
    ),
    (
        "PATCH /v1/platforms/teams/{team}",
        "401 404 403 404 403 403 200 403 200",
    ),
    (
        "DELETE /v1/platforms/teams/{team}",
        "401 404 403 404 403 403 202 403 202",
    ),
    (
        "GET /v1/platforms/teams/{team}/members",
        "401 404 200 404 200 200 200 200 200",
    ),
    (
        "PUT /v1/platforms/teams/{team}/members/{user}",
        "401 404 403 404 403 403 204 403 204",
    ),
    (
        "DELETE /v1/platforms/teams/{team}/members/{user}",
        "401 404 403 404 403 403 204 403 204",
    ),
    (
        "GET /v1/platforms/teams/{team}/onboarding",
        "401 404 200 404 200 200 200 200 200",
    ),
    (
        "GET /v1/platforms/onboarding",
        "401 403 403 403 403 403 403 200 200",
    ),
    (
        "POST /v1/platforms/teams/{team}/sync",
        "401 404 403 404 202 202 202 403 202",
    ),
    (
        "GET /v1/teams/{team}/namespaces",
        "401 404 200 200 200 200 200 200 200",
    ),
    (
        "POST /v1/teams/{team}/namespaces",
        "401 404 403 404 202 202 202 403 202",
    ),
    (
        "GET /v1/teams/{team}/namespaces/{name}",
        "401 404 200 404 200 200 200 404 200",
    ),
    (
        "PATCH /v1/teams/{team}/namespaces/{name}",
        "401 404 403 404 200 200 200 403 200",
    ),
    (
        "DELETE /v1/teams/{team}/namespaces/{name}",
        "401 404 403 404 202 202 202 403 202",
    ),
];
