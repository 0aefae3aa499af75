//! `/v1/environments/{environment}/plans`, `.../deployments` and `.../rollbacks`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{Json, Path, Query},
};

use super::{one_in, page_in, written};
use crate::{
    api::{ListQuery, NewDeployment, PlanAnswer, PolicyDecision, Rollback},
    model::Deployment,
    service::Delivery,
};

type Service = State<Arc<Delivery>>;

/// What a deployment would do. Nothing is made.
#[utoipa::path(post, path = "/v1/environments/{environment}/plans", tag = "deployments",
    params(("environment" = String, Path)), request_body = NewDeployment,
    responses((status = 200, body = PlanAnswer), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn plan(
    State(delivery): Service,
    caller: Caller,
    Path(environment): Path<String>,
    Json(request): Json<NewDeployment>,
) -> Result<Json<PlanAnswer>> {
    delivery
        .plan(&caller, &environment, request)
        .await
        .map(Json)
}

/// Deploys workloads. Watch the deployment, or the events of its correlation.
#[utoipa::path(post, path = "/v1/environments/{environment}/deployments", operation_id = "deployment_create", tag = "deployments",
    params(("environment" = String, Path)),
    request_body = NewDeployment,
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn create(
    State(delivery): Service,
    caller: Caller,
    Path(environment): Path<String>,
    Json(request): Json<NewDeployment>,
) -> Result<Response> {
    let deployment = delivery.deploy(&caller, &environment, request).await?;
    written(StatusCode::ACCEPTED, &deployment)
}

/// The history of an environment.
#[utoipa::path(get, path = "/v1/environments/{environment}/deployments", operation_id = "deployments", tag = "deployments",
    params(("environment" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn list(
    State(delivery): Service,
    caller: Caller,
    Path(environment): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page_in::<Deployment>(&delivery, &caller, &environment, query).await
}

/// One deployment.
#[utoipa::path(get, path = "/v1/environments/{environment}/deployments/{name}", operation_id = "deployment", tag = "deployments",
    params(("environment" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(delivery): Service,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Response> {
    one_in::<Deployment>(&delivery, &caller, &environment, &name).await
}

/// What policy was asked when the deployment was, and what it said.
#[utoipa::path(get, path = "/v1/environments/{environment}/deployments/{name}/decision", operation_id = "deployment_decision", tag = "deployments",
    params(("environment" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = PolicyDecision), (status = 404)))]
pub(super) async fn decision(
    State(delivery): Service,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Json<PolicyDecision>> {
    let found = delivery.deployment_decision(&caller, &environment, &name);
    found.await.map(Json)
}

/// Returns to an earlier deployment, by a new one.
#[utoipa::path(post, path = "/v1/environments/{environment}/rollbacks", tag = "deployments",
    params(("environment" = String, Path)), request_body = Rollback,
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn rollback(
    State(delivery): Service,
    caller: Caller,
    Path(environment): Path<String>,
    Json(request): Json<Rollback>,
) -> Result<Response> {
    let deployment = delivery.rollback(&caller, &environment, request).await?;
    written(StatusCode::ACCEPTED, &deployment)
}
