//! A team's secrets. A value goes one way; it comes back to whoever may see it and asks for it by its name.

use axum::{extract::Path, response::Response};
use kernel::{Secret, http::html::see_other};
use secrets::{
    api::{Encoded, PutSecret, Rotation, SecretsQuery},
    model::{SecretInfo, SecretRef},
};

use super::{
    Answer, against_form, done, page, page_with,
    request::{Form, Posted},
    status_of,
};
use crate::{
    address::{team as team_page, with},
    failure::Failure,
    pages::{
        self, Refused,
        notice::notice,
        secrets::{Rights, Typed},
    },
    visitor::{Visitor, of_secret},
};

/// Secrets on a page.
const PAGE: usize = 100;

/// Random bytes of a value that the platform draws.
const DRAWN: usize = 32;

async fn rights(visitor: &Visitor, team: &str, name: &str) -> Result<Rights, Failure> {
    let [write, rotate, delete, reveal] = visitor
        .may(
            [
                "secret.write",
                "secret.rotate",
                "secret.delete",
                "secret.reveal",
            ]
            .map(|action| of_secret(action, team, name)),
        )
        .await?;
    Ok(Rights {
        write,
        rotate,
        delete,
        reveal,
    })
}

/// The secret that a query or a form names, where there is one.
async fn named(
    visitor: &Visitor,
    team: &str,
    name: &str,
) -> Result<(SecretRef, SecretInfo), Failure> {
    let secret = SecretRef::new(team, name)?;
    let info = visitor.client.secret(&secret).await?;
    Ok((secret, info))
}

fn shown_at(team: &str, name: &str, done: &str) -> Response {
    let way = team_page(team, "secrets/show");
    see_other(&with(&way, &[("name", name), ("done", done)]))
}

/// `GET /portal/teams/{team}/secrets`
pub(super) async fn list(visitor: Visitor, Path(team): Path<String>, query: Form) -> Response {
    let answer = async {
        let asked = SecretsQuery {
            path: query.text("path"),
            after: query.text("after"),
            limit: Some(PAGE),
        };
        let (found, rights) = tokio::join!(
            visitor.client.secrets(&team, &asked),
            rights(&visitor, &team, ""),
        );
        let body = pages::secrets::list(&team, &found?, &asked, rights?, notice(query.get("done")));
        Ok(page(Some(&visitor), &format!("Secrets of {team}"), body))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `GET /portal/teams/{team}/secrets/show`
pub(super) async fn show(visitor: Visitor, Path(team): Path<String>, query: Form) -> Response {
    let answer = async {
        let name = query.get("name");
        let (_, info) = named(&visitor, &team, name).await?;
        let rights = rights(&visitor, &team, name).await?;
        let body = pages::secrets::one(&visitor, &info, rights, notice(query.get("done")));
        Ok(page(Some(&visitor), &info.name, body))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `GET /portal/teams/{team}/secrets/set`: of a new one, or of the next version of one.
pub(super) async fn form(visitor: Visitor, Path(team): Path<String>, query: Form) -> Response {
    let answer = async {
        let typed = match query.text("name") {
            None => Typed::default(),
            Some(name) => {
                let (_, info) = named(&visitor, &team, &name).await?;
                Typed {
                    name: info.name,
                    description: info.description,
                    expected: info.version,
                    draws: false,
                }
            }
        };
        let body = pages::secrets::form(&visitor, &team, &typed, &Refused::default());
        Ok(page(Some(&visitor), "Set a secret", body))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `POST /portal/teams/{team}/secrets/set`
pub(super) async fn set(Path(team): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, form } = posted;
    let answer = async {
        let typed = Typed {
            name: form.text("name").unwrap_or_default(),
            description: form.text("description").unwrap_or_default(),
            expected: form.get("expected").parse().unwrap_or(0),
            draws: form.get("how") == "draw",
        };
        let secret = match SecretRef::new(&team, &typed.name) {
            Ok(secret) => secret,
            Err(error) => {
                let problem = Failure::Ours(error).problem();
                return refused(&visitor, &team, &typed, Refused::of(problem, "name"));
            }
        };
        let value = Secret::from(form.lines("value"));
        let put = PutSecret {
            value: (!typed.draws).then(|| Encoded::of(&value)),
            generate: typed.draws.then_some(DRAWN),
            description: Some(typed.description.clone()),
        };
        match visitor
            .client
            .put_secret(&secret, &put, Some(typed.expected))
            .await
        {
            Ok(info) if info.version == typed.expected => {
                Ok(shown_at(&team, &typed.name, "secret-same"))
            }
            Ok(_) => Ok(shown_at(&team, &typed.name, "secret-set")),
            Err(error) => {
                let problem = against_form(error)?;
                // What is there already, or was changed meanwhile, is about the name; all else about the value.
                let field = if problem.status == 409 || problem.status == 412 {
                    "name"
                } else {
                    "value"
                };
                refused(&visitor, &team, &typed, Refused::of(problem, field))
            }
        }
    };
    let answer = answer.await;
    done(&visitor, answer)
}

fn refused(visitor: &Visitor, team: &str, typed: &Typed, refused: Refused) -> Answer {
    let body = pages::secrets::form(visitor, team, typed, &refused);
    Ok(page_with(
        status_of(refused.status()),
        Some(visitor),
        "Set a secret",
        body,
    ))
}

/// `GET /portal/teams/{team}/secrets/rotate`
pub(super) async fn confirm_rotation(
    visitor: Visitor,
    Path(team): Path<String>,
    query: Form,
) -> Response {
    let answer = async {
        let (_, info) = named(&visitor, &team, query.get("name")).await?;
        // The API rotates by path: whoever asks for this one is told of those below it.
        let below = SecretsQuery {
            path: Some(info.name.clone()),
            ..SecretsQuery::default()
        };
        let all = visitor.client.secrets(&team, &below).await?;
        let body = pages::confirm::rotation(&visitor, &info, &all.items);
        Ok(page(Some(&visitor), "Rotate a secret", body))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `POST /portal/teams/{team}/secrets/rotate`
pub(super) async fn rotate(Path(team): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, form } = posted;
    let answer = async {
        let name = form.get("name");
        let rotated = visitor.client.rotate_secrets(&team, name).await?;
        let failed = rotated
            .items
            .iter()
            .filter(|one| one.rotation == Rotation::Failed)
            .map(|one| {
                let why = one.reason.as_deref().unwrap_or("it is not said why");
                format!("`{}` has no new value: {why}", one.secret.name)
            });
        let failed: Vec<_> = failed.collect();
        if !failed.is_empty() {
            let error = kernel::Error::unavailable(failed.join("; "));
            return Err(error
                .remedy("rotate again: it goes on with what has no new value yet")
                .into());
        }
        let of_it = rotated.items.iter().find(|one| one.secret.name == name);
        Ok(shown_at(
            &team,
            name,
            match of_it.map(|one| one.rotation) {
                Some(Rotation::Rotated | Rotation::Already) => "secret-rotated",
                Some(Rotation::Asked) => "secret-asked",
                Some(Rotation::Written | Rotation::Failed) | None => "secret-written",
            },
        ))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `GET /portal/teams/{team}/secrets/delete`
pub(super) async fn confirm_deletion(
    visitor: Visitor,
    Path(team): Path<String>,
    query: Form,
) -> Response {
    let answer = async {
        let (_, info) = named(&visitor, &team, query.get("name")).await?;
        let body = pages::confirm::deletion(&visitor, &info);
        Ok(page(Some(&visitor), "Delete a secret", body))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `POST /portal/teams/{team}/secrets/delete`
pub(super) async fn delete(Path(team): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, form } = posted;
    let answer = async {
        let secret = SecretRef::new(&team, form.get("name"))?;
        visitor.client.delete_secret(&secret).await?;
        let way = team_page(&team, "secrets");
        Ok(see_other(&with(&way, &[("done", "secret-deleted")])))
    };
    let answer = answer.await;
    done(&visitor, answer)
}

/// `POST /portal/teams/{team}/secrets/reveal`: no link leads here, and no page that is loaded ahead.
pub(super) async fn reveal(Path(team): Path<String>, posted: Posted) -> Response {
    let Posted { visitor, form } = posted;
    let answer = async {
        let secret = SecretRef::new(&team, form.get("name"))?;
        let version = form.get("version").parse().ok();
        let revealed = visitor.client.secret_value(&secret, version).await?;
        let body = pages::secrets::value(&team, secret.name.as_str(), &revealed);
        Ok(page(
            Some(&visitor),
            &format!("Value of {}", secret.name),
            body,
        ))
    };
    let answer = answer.await;
    done(&visitor, answer)
}
