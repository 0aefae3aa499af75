//! Where somebody begins.

use axum::response::Response;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kernel::Resource;
use teams::model::Team;

use super::{done, page, request::Form};
use crate::{
    failure::Failure,
    pages::{self, notice::notice},
    visitor::Visitor,
};

/// Teams whose state is shown at once; whoever is in more finds the others by their names.
const SHOWN: usize = 20;

/// Teams that are asked for at a time.
const AT_ONCE: usize = 8;

/// The team, where it did not go in this very moment.
fn found(asked: Result<Resource<Team>, client::Error>) -> Result<Option<Resource<Team>>, Failure> {
    match asked {
        Ok(team) => Ok(Some(team)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `GET /portal/`
pub(super) async fn home(visitor: Visitor, query: Form) -> Response {
    let answer = async {
        let asked: Vec<String> = visitor.me.teams.iter().take(SHOWN).cloned().collect();
        let found = stream::iter(asked)
            .map(|team| {
                let client = visitor.client.clone();
                async move { found(client.team(&team).await) }
            })
            .buffered(AT_ONCE);
        let teams: Vec<_> = found
            .try_filter_map(async |team| Ok(team))
            .try_collect()
            .await?;
        Ok(page(
            Some(&visitor),
            "Home",
            pages::home::page(&visitor, &teams, notice(query.get("done"))),
        ))
    };
    let answer = answer.await;
    done(&visitor, answer)
}
