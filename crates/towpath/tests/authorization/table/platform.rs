//! What is the whole platform's.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    ("GET /healthz", "204 204 204 204 204 204 204 204 204"),
    ("GET /readyz", "204 204 204 204 204 204 204 204 204"),
    (
        "GET /v1/openapi.json",
        "200 200 200 200 200 200 200 200 200",
    ),
    ("GET /v1/whoami", "401 200 200 200 200 200 200 200 200"),
    (
        "POST /v1/access-reviews",
        "401 200 200 200 200 200 200 200 200",
    ),
    ("GET /v1/events", "401 200 200 200 200 200 200 200 200"),
    // The deploy credential says that it happened in its environment.
    ("POST /v1/events", "401 403 403 200 200 200 200 403 200"),
    ("GET /v1/policies", "401 200 200 200 200 200 200 200 200"),
    ("GET /metrics", "401 403 403 403 403 403 403 403 200"),
    ("GET /v1/routes", "401 200 200 200 200 200 200 200 200"),
];
