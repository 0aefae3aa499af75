//! Identity's operations ask the same policy as all others: before they are entered, by what their path
//! says. Identity checks for itself as well, and knows no policy.

use std::borrow::Cow;

use axum::{
    Router,
    extract::{FromRequestParts as _, Request, State},
    http::Method,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use kernel::{Action, Caller, Error, Guard, Result, Target};
use percent_encoding::percent_decode_str;

/// To read what identity keeps: users, groups, clients, service accounts.
const READ: Action = Action::act("identity.read");
/// To change it.
const CHANGE: Action = Action::act("identity.change");

/// What the paths of identity's own API begin with; logging in is everybody's.
const PREFIX: &str = "/v1/identity/";

/// `routes`, with `guard` before them.
pub(crate) fn guarded(routes: Router, guard: Guard) -> Router {
    routes.layer(from_fn_with_state(guard, ask))
}

async fn ask(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Some(path) = request.uri().path().strip_prefix(PREFIX) else {
        return next.run(request).await;
    };
    let (path, action) = (path.to_owned(), action(request.method()));
    let (mut parts, body) = request.into_parts();
    match permit(&guard, &mut parts, &path, action).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn action(method: &Method) -> Action {
    if [Method::GET, Method::HEAD].contains(method) {
        READ
    } else {
        CHANGE
    }
}

async fn permit(
    guard: &Guard,
    parts: &mut axum::http::request::Parts,
    path: &str,
    action: Action,
) -> Result<()> {
    let caller = Caller::from_request_parts(parts, &()).await?;
    let segments = segments(path)?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    guard.require(&caller, action, &target(&segments)).await
}

/// The parts of a path as the router hears them: divided, then decoded. Were they not decoded, a rule over
/// `eve` would not see `%65ve`.
fn segments(path: &str) -> Result<Vec<Cow<'_, str>>> {
    let decoded = |segment| percent_decode_str(segment).decode_utf8();
    path.split('/')
        .map(decoded)
        .collect::<Result<_, _>>()
        .map_err(|_| {
            Error::invalid("the path is no UTF-8").remedy("encode names as UTF-8, then by percent")
        })
}

/// What the parts of a path below [`PREFIX`] are about. What it does not know is the platform's.
fn target<'p>(segments: &[&'p str]) -> Target<'p> {
    let (team, rest) = match segments {
        ["teams", team, rest @ ..] => (*team, rest),
        rest => ("", rest),
    };
    let (kind, name) = match rest {
        ["users", rest @ ..] => ("LocalUser", rest.first()),
        ["groups", rest @ ..] => ("LocalGroup", rest.first()),
        ["clients", rest @ ..] => ("OidcClient", rest.first()),
        ["upstreams", rest @ ..] => ("Upstream", rest.first()),
        ["service-accounts", rest @ ..] => ("ServiceAccount", rest.first()),
        ["workload-trusts", rest @ ..] => ("WorkloadTrust", rest.first()),
        ["keys", ..] => ("KeyRing", None),
        ["automation", rest @ ..] => ("Automation", rest.first()),
        _ => ("Identity", None),
    };
    Target {
        kind,
        scope: team,
        name: name.copied().unwrap_or_default(),
        team,
        environment: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_it_is_about() {
        let about = |path: &'static str| {
            let segments: Vec<&str> = path.split('/').collect();
            let Target {
                kind, name, team, ..
            } = target(&segments);
            (kind, name, team)
        };
        assert_eq!(about("users"), ("LocalUser", "", ""));
        assert_eq!(about("users/ada"), ("LocalUser", "ada", ""));
        assert_eq!(about("keys/rotations"), ("KeyRing", "", ""));
        assert_eq!(
            about("automation/local:ada"),
            ("Automation", "local:ada", "")
        );
        assert_eq!(
            about("teams/payments/service-accounts/ci/keys/1"),
            ("ServiceAccount", "ci", "payments")
        );
        assert_eq!(segments("users/%65ve").unwrap(), ["users", "eve"]);
        // One name, though it has a slash.
        assert_eq!(segments("users/a%2Fb").unwrap(), ["users", "a/b"]);
        assert!(segments("users/%ff").is_err());
        // Nothing of these is a team's: only operators get past.
        assert_eq!(about("somethings/new"), ("Identity", "", ""));
        assert_eq!(about("teams"), ("Identity", "", ""));
    }
}
