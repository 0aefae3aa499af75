//! Who may log in, and what calls by itself.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "GET /v1/identity/clients",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/identity/clients/{name}",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "PUT /v1/identity/clients/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "DELETE /v1/identity/clients/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "POST /v1/identity/clients/{name}/secrets",
        "401 403 403 403 403 403 403 403 201",
    ),
    (
        "GET /v1/identity/groups",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/identity/groups/{name}",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "PUT /v1/identity/groups/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "DELETE /v1/identity/groups/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "PUT /v1/identity/groups/{name}/members/{user}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "DELETE /v1/identity/groups/{name}/members/{user}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "GET /v1/identity/automation",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/identity/automation/{subject}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/teams/{team}/departures/{subject}",
        "401 404 403 403 403 403 200 403 200",
    ),
    (
        "POST /v1/teams/{team}/departures/{subject}/rotate",
        "401 404 403 403 403 403 200 403 200",
    ),
    // Their own; another's are an operator's to see and to end.
    (
        "GET /v1/identity/sessions",
        "401 403 403 403 403 200 200 200 200",
    ),
    (
        "DELETE /v1/identity/sessions",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "DELETE /v1/identity/sessions/{id}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "GET /v1/identity/keys",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "POST /v1/identity/keys/rotations",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/identity/teams/{team}/service-accounts",
        "401 404 403 403 200 200 200 403 200",
    ),
    (
        "GET /v1/identity/teams/{team}/service-accounts/{name}",
        "401 404 404 404 200 200 200 404 200",
    ),
    (
        "PUT /v1/identity/teams/{team}/service-accounts/{name}",
        "401 404 403 403 403 200 200 403 200",
    ),
    (
        "DELETE /v1/identity/teams/{team}/service-accounts/{name}",
        "401 404 403 403 403 204 204 403 204",
    ),
    (
        "POST /v1/identity/teams/{team}/service-accounts/{name}/keys",
        "401 404 403 403 403 201 201 403 201",
    ),
    (
        "DELETE /v1/identity/teams/{team}/service-accounts/{name}/keys/{key}",
        "401 404 403 403 403 204 204 403 204",
    ),
    (
        "GET /v1/identity/teams/{team}/workload-trusts",
        "401 404 403 403 200 200 200 403 200",
    ),
    (
        "GET /v1/identity/teams/{team}/workload-trusts/{name}",
        "401 404 404 404 200 200 200 404 200",
    ),
    (
        "PUT /v1/identity/teams/{team}/workload-trusts/{name}",
        "401 404 403 403 403 200 200 403 200",
    ),
    (
        "DELETE /v1/identity/teams/{team}/workload-trusts/{name}",
        "401 404 403 403 403 204 204 403 204",
    ),
    (
        "GET /v1/identity/upstreams",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/identity/upstreams/{name}",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "PUT /v1/identity/upstreams/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "DELETE /v1/identity/upstreams/{name}",
        "401 403 403 403 403 403 403 403 202",
    ),
    (
        "GET /v1/identity/users",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "GET /v1/identity/users/{name}",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "PUT /v1/identity/users/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    (
        "DELETE /v1/identity/users/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
];
