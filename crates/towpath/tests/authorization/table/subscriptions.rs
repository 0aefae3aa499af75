//! Who is told of what.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "PUT /v1/teams/{team}/subscriptions/{name}",
        "401 403 403 403 200 200 200 403 200",
    ),
    (
        "GET /v1/teams/{team}/subscriptions",
        "401 404 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/teams/{team}/subscriptions/{name}",
        "401 404 200 404 200 200 200 404 200",
    ),
    (
        "POST /v1/teams/{team}/subscriptions/{name}/secrets",
        "401 403 403 403 201 201 201 403 201",
    ),
    (
        "GET /v1/teams/{team}/subscriptions/{name}/dead-letters",
        "401 404 200 404 200 200 200 404 200",
    ),
    (
        "DELETE /v1/teams/{team}/subscriptions/{name}/dead-letters/{event}",
        "401 403 403 403 204 204 204 403 204",
    ),
    (
        "POST /v1/teams/{team}/subscriptions/{name}/dead-letters/{event}/replay",
        "401 403 403 403 204 204 204 403 204",
    ),
    (
        "DELETE /v1/teams/{team}/subscriptions/{name}",
        "401 403 403 403 204 204 204 403 204",
    ),
    (
        "PUT /v1/platforms/subscriptions/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/platforms/subscriptions",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/platforms/subscriptions/{name}",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "POST /v1/platforms/subscriptions/{name}/secrets",
        "401 403 403 403 403 403 403 403 201",
    ),
    (
        "GET /v1/platforms/subscriptions/{name}/dead-letters",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "DELETE /v1/platforms/subscriptions/{name}/dead-letters/{event}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "POST /v1/platforms/subscriptions/{name}/dead-letters/{event}/replay",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "DELETE /v1/platforms/subscriptions/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
];
