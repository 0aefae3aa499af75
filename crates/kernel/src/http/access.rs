//! `/v1/access-reviews`: what a caller may do, asked before it is done. Who shows people what they can do
//! asks here, and keeps no second copy of the rules.

use axum::{Router, extract::State, routing::post};
use serde::{Deserialize, Serialize};

use super::Json;
use crate::{
    Action, Caller, Error, Guard, Problem, Result, Surroundings, Target, suggest::nearest,
};

/// Questions of one review at the most: each is a decision of policy.
const MOST: usize = 64;

/// What the routes add to the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(paths(access_review))]
pub struct AccessApi;

/// What a caller wants to know of their own rights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessReview {
    /// 64 at the most.
    #[serde(default)]
    pub questions: Vec<AccessQuestion>,
}

/// May I do this with that? What is said of the resource is taken as it is said: nothing is looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessQuestion {
    /// The action, as rules name it: `secret.write`.
    pub action: String,
    /// The resource's kind: `TeamSecret`.
    pub kind: String,
    /// What its name is unique in; empty for the whole platform.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Its name; empty where all of a kind are meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The team that it belongs to; empty: the platform's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// The environment that it is, or is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<AccessPlace>,
}

/// An environment, as far as rules may care.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessPlace {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Whether that role is protected.
    #[serde(default)]
    pub protected: bool,
}

/// The answers, in the order of the questions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessAnswers {
    /// One for each question.
    pub answers: Vec<AccessAnswer>,
}

/// Whether the caller may, by the rules as they are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccessAnswer {
    /// Whether they may.
    pub allowed: bool,
}

/// The route, where it can be asked for these actions with what is of these kinds.
pub fn access_routes(
    guard: Guard,
    actions: &'static [&'static str],
    kinds: &'static [&'static str],
) -> Router {
    let rules = Rules {
        guard,
        actions,
        kinds,
    };
    Router::new()
        .route("/v1/access-reviews", post(access_review))
        .with_state(rules)
}

#[derive(Clone)]
struct Rules {
    guard: Guard,
    actions: &'static [&'static str],
    kinds: &'static [&'static str],
}

/// Which of these the caller may do. Nothing is done, and nothing kept.
#[utoipa::path(post, path = "/v1/access-reviews", tag = "policy", request_body = AccessReview,
    responses((status = 200, body = AccessAnswers), (status = 422)))]
async fn access_review(
    State(rules): State<Rules>,
    caller: Caller,
    Json(review): Json<AccessReview>,
) -> Result<Json<AccessAnswers>> {
    if review.questions.len() > MOST {
        return Err(Error::invalid(format!(
            "{} questions are more than {MOST}",
            review.questions.len()
        ))
        .remedy("ask them by several reviews"));
    }
    let asked = review.questions.iter().enumerate();
    let answers: Vec<Result<AccessAnswer, Problem>> = asked
        .map(|(at, asked)| rules.answer(&caller, at, asked))
        .collect::<Result<_>>()?;
    let problems: Vec<_> = answers.iter().filter_map(|one| one.clone().err()).collect();
    if !problems.is_empty() {
        return Err(Error::problems(
            "the review asks for what there is not",
            problems,
        ));
    }
    let answers = answers.into_iter().flatten().collect();
    Ok(Json(AccessAnswers { answers }))
}

impl Rules {
    /// The answer, or what is wrong with the question; an error where it could not be decided.
    fn answer(
        &self,
        caller: &Caller,
        at: usize,
        asked: &AccessQuestion,
    ) -> Result<Result<AccessAnswer, Problem>> {
        let known = self.actions.iter().find(|word| **word == asked.action);
        let Some(word) = known else {
            let action = asked.action.escape_debug();
            let problem = Problem::new(
                "authz/action",
                format!("questions[{at}].action"),
                format!("there is no action `{action}`"),
            );
            let all = "docs/authorization.md lists the actions".to_owned();
            return Ok(Err(problem.remedy(meant(&asked.action, self.actions, all))));
        };
        // To an operator the rules allow everything, whatever it is called.
        if !self.kinds.contains(&asked.kind.as_str()) {
            let kind = asked.kind.escape_debug();
            let problem = Problem::new(
                "authz/kind",
                format!("questions[{at}].kind"),
                format!("there is no kind `{kind}`"),
            );
            let all = format!("the kinds are {}", self.kinds.join(", "));
            return Ok(Err(problem.remedy(meant(&asked.kind, self.kinds, all))));
        }
        let target = Target {
            kind: &asked.kind,
            scope: &asked.scope,
            name: &asked.name,
            team: &asked.team,
            environment: asked.environment.as_ref().map(|place| Surroundings {
                name: &place.name,
                role: &place.role,
                protected: place.protected,
            }),
        };
        let allowed = self.guard.decides(caller, Action::act(word), &target)?;
        Ok(Ok(AccessAnswer { allowed }))
    }
}

/// Which of `known` may have been meant by `given`; and `all` that there are.
fn meant(given: &str, known: &[&str], all: String) -> String {
    match nearest(given, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`? {all}"),
        None => all,
    }
}
