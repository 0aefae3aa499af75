//! The API below `/v1`: who one is, and what identity is told.

mod accounts;
mod automation;
mod provider;
mod sessions;
mod users;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use kernel::{
    Caller, CallerKind, Document, Kind, Resource, Result,
    http::{ETag, Json},
};
use serde::{Deserialize, Serialize};

use crate::Identity;

type Service = State<Arc<Identity>>;

pub(super) fn routes() -> Router<Arc<Identity>> {
    use self::{accounts as a, automation as m, provider as p, sessions as s, users as u};
    Router::new()
        .route("/v1/whoami", get(whoami))
        .route("/v1/identity/users", get(u::users))
        .route(
            "/v1/identity/users/{name}",
            put(u::user_put).get(u::user).delete(u::user_delete),
        )
        .route("/v1/identity/groups", get(u::groups))
        .route(
            "/v1/identity/groups/{name}",
            put(u::group_put).get(u::group).delete(u::group_delete),
        )
        .route(
            "/v1/identity/groups/{name}/members/{user}",
            put(u::group_member_put).delete(u::group_member_delete),
        )
        .route("/v1/identity/clients", get(p::clients))
        .route(
            "/v1/identity/clients/{name}",
            put(p::client_put).get(p::client).delete(p::client_delete),
        )
        .route(
            "/v1/identity/clients/{name}/secrets",
            post(p::client_secret),
        )
        .route("/v1/identity/upstreams", get(p::upstreams))
        .route(
            "/v1/identity/upstreams/{name}",
            put(p::upstream_put)
                .get(p::upstream)
                .delete(p::upstream_delete),
        )
        .route("/v1/identity/automation", get(m::automation))
        .route("/v1/identity/automation/{subject}", get(m::departure))
        .route(
            "/v1/teams/{team}/departures/{subject}",
            get(m::team_departure),
        )
        .route(
            "/v1/teams/{team}/departures/{subject}/rotate",
            post(m::team_departure_rotate),
        )
        .route(
            "/v1/identity/sessions",
            get(s::sessions).delete(s::sessions_end),
        )
        .route("/v1/identity/sessions/{id}", delete(s::session_end))
        .route("/v1/identity/keys", get(p::keys))
        .route("/v1/identity/keys/rotations", post(p::keys_rotate))
        .route(
            "/v1/identity/teams/{team}/service-accounts",
            get(a::accounts),
        )
        .route(
            "/v1/identity/teams/{team}/service-accounts/{name}",
            put(a::account_put)
                .get(a::account)
                .delete(a::account_delete),
        )
        .route(
            "/v1/identity/teams/{team}/service-accounts/{name}/keys",
            post(a::rotate),
        )
        .route(
            "/v1/identity/teams/{team}/service-accounts/{name}/keys/{key}",
            delete(a::key_revoke),
        )
        .route("/v1/identity/teams/{team}/workload-trusts", get(a::trusts))
        .route(
            "/v1/identity/teams/{team}/workload-trusts/{name}",
            put(a::trust_put).get(a::trust).delete(a::trust_delete),
        )
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    whoami,
    users::users,
    users::user,
    users::user_put,
    users::user_delete,
    users::groups,
    users::group,
    users::group_put,
    users::group_delete,
    users::group_member_put,
    users::group_member_delete,
    provider::clients,
    provider::client,
    provider::client_put,
    provider::client_delete,
    provider::client_secret,
    provider::upstreams,
    provider::upstream,
    provider::upstream_put,
    provider::upstream_delete,
    provider::keys,
    provider::keys_rotate,
    accounts::accounts,
    accounts::account,
    accounts::account_put,
    accounts::account_delete,
    accounts::rotate,
    accounts::key_revoke,
    accounts::trusts,
    accounts::trust,
    accounts::trust_put,
    accounts::trust_delete,
    automation::automation,
    automation::departure,
    automation::team_departure,
    automation::team_departure_rotate,
    sessions::sessions,
    sessions::sessions_end,
    sessions::session_end,
))]
pub struct ApiDoc;

/// Whoever asks, as the platform knows them.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoAmI {
    /// Who: `local:ada`, `github:583231`, `account:payments/ci`.
    pub subject: String,
    /// `person`, `service-account`, `deploy-credential`, `agent`, `local-admin`.
    #[schema(value_type = String)]
    pub kind: CallerKind,
    /// The registered teams whose rights they have.
    pub teams: Vec<String>,
    /// Those of them that they lead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leads: Vec<String>,
    /// The groups that their source says they are in. Those that no team names give nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The one environment that they are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Whether they operate the platform.
    pub admin: bool,
}

/// Who calls.
#[utoipa::path(get, path = "/v1/whoami", tag = "identity",
    responses((status = 200, body = WhoAmI), (status = 401)))]
async fn whoami(caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        subject: caller.subject,
        kind: caller.kind,
        teams: caller.teams,
        leads: caller.leads,
        groups: caller.groups,
        environment: caller.environment,
        admin: caller.admin,
    })
}

fn tagged(document: Document) -> Response {
    (ETag(document.meta.revision), Json(document)).into_response()
}

fn written<K: Kind>(resource: &Resource<K>) -> Result<Response> {
    Ok(tagged(resource.document()?))
}
