//! Environments, and what is in them.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "GET /v1/environment-roles",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "DELETE /v1/environment-roles/{name}",
        "401 403 403 403 403 403 403 403 204",
    ),
    (
        "GET /v1/resource-definitions",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/resource-definitions/{name}",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/resource-definitions/{name}/revisions",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/resource-definitions/{name}/revisions/{revision}",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "GET /v1/resource-definitions/{name}/difference",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "DELETE /v1/resource-definitions/{name}",
        "401 403 403 403 403 403 403 403 200",
    ),
    ("POST /v1/apply", "401 403 403 403 403 403 403 403 200"),
    ("POST /v1/apply/plan", "401 403 403 403 403 403 403 403 200"),
    ("POST /v1/explain", "401 404 200 200 200 200 200 404 200"),
    (
        "GET /v1/environments",
        "401 200 200 200 200 200 200 200 200",
    ),
    (
        "POST /v1/environments",
        "401 403 403 403 201 201 201 403 201",
    ),
    (
        "GET /v1/environments/{environment}",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "PATCH /v1/environments/{environment}",
        "401 404 403 403 200 200 200 404 200",
    ),
    (
        "DELETE /v1/environments/{environment}",
        "401 404 403 403 202 202 202 404 202",
    ),
    (
        "GET /v1/environments/{environment}/summary",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "GET /v1/environments/{environment}/graph",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "DELETE /v1/environments/{environment}/pins",
        "401 404 403 403 200 200 200 404 200",
    ),
    (
        "POST /v1/environments/{environment}/plans",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "GET /v1/environments/{environment}/deployments",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "POST /v1/environments/{environment}/deployments",
        "401 404 403 202 202 202 202 404 202",
    ),
    (
        "GET /v1/environments/{environment}/deployments/{name}",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "GET /v1/environments/{environment}/deployments/{name}/decision",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "POST /v1/environments/{environment}/rollbacks",
        "401 404 403 202 202 202 202 404 202",
    ),
    (
        "GET /v1/environments/{environment}/workloads",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "GET /v1/environments/{environment}/workloads/{name}",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "DELETE /v1/environments/{environment}/workloads/{name}",
        "401 404 403 403 202 202 202 404 202",
    ),
    (
        "GET /v1/environments/{environment}/workloads/{name}/logs",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "GET /v1/environments/{environment}/workloads/{name}/release",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "GET /v1/environments/{environment}/resources",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "GET /v1/environments/{environment}/resources/{name}",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "DELETE /v1/environments/{environment}/resources/{name}",
        "401 404 403 403 202 202 202 404 202",
    ),
    (
        "GET /v1/environments/{environment}/resources/{name}/outputs",
        "401 404 200 200 200 200 200 404 200",
    ),
    (
        "POST /v1/environments/{environment}/resources/{name}/rotate",
        "401 404 403 403 202 202 202 404 202",
    ),
    // Nothing of it fails.
    (
        "POST /v1/environments/{environment}/resources/{name}/abandon",
        "401 404 403 403 403 403 403 404 409",
    ),
    ("GET /v1/remnants", "401 200 200 200 200 200 200 200 200"),
    (
        "GET /v1/remnants/{name}",
        "401 404 404 404 404 404 404 404 200",
    ),
    (
        "DELETE /v1/remnants/{name}",
        "401 404 404 404 404 404 404 404 204",
    ),
];
