//! How the API's description tells of refusals: each is one problem document, described once.

use utoipa::openapi::{
    Content, OpenApi, Ref, RefOr, ResponseBuilder,
    path::{Operation, Parameter, PathItem},
};

/// Every sort of refusal: its status, its name in the document, and when it is given.
const REFUSALS: [(&str, &str, &str); 9] = [
    (
        "401",
        "Unauthenticated",
        "No valid token says who is calling",
    ),
    (
        "403",
        "Forbidden",
        "The caller may not do this, by the rule that is named",
    ),
    (
        "404",
        "NotFound",
        "It is not there, or nothing that the caller may see",
    ),
    (
        "409",
        "Conflict",
        "It is not as the request takes it to be, or something else is in the way",
    ),
    (
        "412",
        "PreconditionFailed",
        "It is not at the revision that If-Match names",
    ),
    (
        "413",
        "TooLarge",
        "The body is larger than is taken, or did not arrive in time",
    ),
    (
        "422",
        "Invalid",
        "The request breaks rules, each of which is named with its place",
    ),
    (
        "429",
        "TooMany",
        "More than is taken in a while: Retry-After says when to ask again",
    ),
    (
        "503",
        "Unavailable",
        "Something that is needed does not answer: Retry-After says when to ask again",
    ),
];

/// What anybody may be answered who has to say who they are.
const OF_ALL: [&str; 3] = ["401", "403", "503"];

/// What a body may be refused with.
const OF_BODIES: [&str; 2] = ["413", "422"];

const CONFLICT: &str = "409";

const UNMATCHED: &str = "412";

const PROBLEM: &str = "application/problem+json";

/// Adds to each operation the refusals that follow from what it takes, and describes those too that it names
/// itself without a word.
pub(super) fn every_refusal_is_told(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for (_, name, when) in REFUSALS {
        let refusal = ResponseBuilder::new()
            .description(when)
            .content(PROBLEM, problem())
            .build();
        components.responses.insert(name.into(), RefOr::T(refusal));
    }
    for item in document.paths.paths.values_mut() {
        let PathItem {
            get,
            put,
            post,
            patch,
            delete,
            ..
        } = item;
        for operation in [get, put, post, patch, delete].into_iter().flatten() {
            tell(operation);
        }
    }
}

fn problem() -> Content {
    Content::new(Some(Ref::from_schema_name("ProblemDocument")))
}

fn tell(operation: &mut Operation) {
    let mut given = Vec::new();
    if operation.security.is_none() {
        given.extend(OF_ALL);
    }
    if operation.request_body.is_some() {
        given.extend(OF_BODIES);
    }
    if may_come_too_late(operation) {
        given.push(CONFLICT);
    }
    if names_a_revision(operation) {
        given.push(UNMATCHED);
    }
    let responses = &mut operation.responses.responses;
    for (status, name, _) in REFUSALS {
        if let Some(RefOr::T(own)) = responses.get_mut(status)
            && !own.description.is_empty()
        {
            // It says itself what this means here.
            own.content.clear();
            own.content.insert(PROBLEM.into(), RefOr::T(problem()));
        } else if responses.contains_key(status) || given.contains(&status) {
            let refusal = RefOr::Ref(Ref::from_response_name(name));
            responses.insert(status.into(), refusal);
        }
    }
}

/// Whether it names the revision that it is about, or may be sent again while it runs.
fn may_come_too_late(operation: &Operation) -> bool {
    let mut all = operation.parameters.iter().flatten();
    let is_key = |one: &RefOr<Parameter>| matches!(one, RefOr::Ref(shared) if shared.ref_location.ends_with("/IdempotencyKey"));
    names_a_revision(operation) || all.any(is_key)
}

fn names_a_revision(operation: &Operation) -> bool {
    let mut all = operation.parameters.iter().flatten();
    all.any(|one| matches!(one, RefOr::T(parameter) if parameter.name == "If-Match"))
}
