//! The teams of the organization and who is in them, as GitHub lists them to a token of the
//! organization's own. Not to those of its people: whoever is in no team would see none.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use kernel::{Error, Result, Secret};
use reqwest::header::{ETAG, IF_NONE_MATCH, LINK};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{GitHub, PAGE, PAGES, WHO, next_of};

/// Answers that are kept at the most: some thousand teams.
const KEPT: usize = 20_000;

/// What was answered before. GitHub is asked whether it still holds, which does not count against its
/// limit of requests.
#[derive(Default)]
pub(crate) struct Kept {
    teams: Mutex<HashMap<Url, Page<Team>>>,
    members: Mutex<HashMap<Url, Page<Member>>>,
}

#[derive(Clone)]
struct Page<T> {
    etag: String,
    items: Vec<T>,
    next: Option<Url>,
}

/// A team of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Team {
    pub id: u64,
    pub slug: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Member {
    id: u64,
    login: String,
}

/// GitHub, asked in the organization's name.
pub(crate) struct Directory {
    pub github: GitHub,
    pub token: Secret,
    pub kept: Arc<Kept>,
}

impl Directory {
    /// The team with this id where one is given, else with this slug.
    pub(crate) async fn team(&self, slug: &str, id: Option<u64>) -> Result<Option<Team>> {
        let path = format!("/orgs/{}/teams", self.github.org);
        let teams = self.list(&self.kept.teams, &path).await?;
        let teams = teams.ok_or_else(|| {
            Error::unavailable(format!("{WHO} knows no organization `{}`", self.github.org))
                .remedy("correct `org`, or give the directory token the right to read the organization's members")
        })?;
        Ok(teams.into_iter().find(|team| match id {
            Some(id) => team.id == id,
            None => team.slug == slug,
        }))
    }

    /// Who is in a team, and in those below it: logins, by id. None where there is no such team any more.
    pub(crate) async fn members(&self, team: &Team) -> Result<Option<BTreeMap<u64, String>>> {
        let path = format!("/orgs/{}/teams/{}/members", self.github.org, team.slug);
        let members = self.list(&self.kept.members, &path).await?;
        let by_id = |members: Vec<Member>| members.into_iter().map(|one| (one.id, one.login));
        Ok(members.map(|members| by_id(members).collect()))
    }

    /// All of a list, over all pages; none where there is no such list.
    async fn list<T: DeserializeOwned + Clone>(
        &self,
        kept: &Mutex<HashMap<Url, Page<T>>>,
        path: &str,
    ) -> Result<Option<Vec<T>>> {
        let mut url = self.github.at(&self.github.api_url, path)?;
        url.query_pairs_mut().append_pair("per_page", PAGE);
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let Some(page) = self.page(kept, &url).await? else {
                return Ok(None);
            };
            all.extend(page.items);
            match page.next {
                Some(next) => url = next,
                None => return Ok(Some(all)),
            }
        }
        Err(Error::unavailable(format!(
            "{WHO} has no last page of {path}"
        )))
    }

    async fn page<T: DeserializeOwned + Clone>(
        &self,
        kept: &Mutex<HashMap<Url, Page<T>>>,
        url: &Url,
    ) -> Result<Option<Page<T>>> {
        let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(url).cloned();
        let token = self.token.text()?;
        let mut request = self.github.request(url, token)?;
        if let Some(known) = &known {
            request = request.header(IF_NONE_MATCH, &known.etag);
        }
        let answer = self.github.outbound.send(WHO, request).await?;
        match (answer.status, known) {
            (304, Some(known)) => return Ok(Some(known)),
            (200, _) => {}
            (404, _) => return Ok(None),
            (401, _) => {
                return Err(
                    Error::unavailable(format!("{WHO} does not take the directory token"))
                        .remedy("give the upstream another `directoryToken`"),
                );
            }
            // A rate limit, most often.
            (status, _) => {
                return Err(Error::unavailable(format!(
                    "{WHO} answered {status} to {}",
                    url.path()
                )));
            }
        }
        let links = answer.headers.get_all(LINK);
        let page = Page {
            etag: String::new(),
            items: answer.json(WHO)?,
            next: next_of(url, links.iter().filter_map(|link| link.to_str().ok()))?,
        };
        if let Some(etag) = answer.headers.get(ETAG).and_then(|etag| etag.to_str().ok()) {
            let mut kept = lock();
            if kept.len() >= KEPT {
                kept.clear();
            }
            let etag = etag.to_owned();
            kept.insert(
                url.clone(),
                Page {
                    etag,
                    ..page.clone()
                },
            );
        }
        Ok(Some(page))
    }
}
