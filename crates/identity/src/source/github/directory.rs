//! The teams of the organization and who is in them, as GitHub lists them to a token of the
//! organization's own. Not to those of its people: whoever is in no team would see none.
//!
//! All teams have questions at the same time, again and again. So the list of teams is asked for once for all of
//! them, who is in one is shared within one look at it, and while GitHub does not answer, or wants to be left
//! alone, nobody waits for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use kernel::{Clock, Error, Result, Secret};
use reqwest::header::{ETAG, IF_NONE_MATCH, LINK};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    GitHub, PAGE, PAGES, WHO,
    kept::{Kept, Key, Listed, Lists, Page},
    next_of,
};
use crate::outbound::Answer;

/// How long the list of all teams serves those who look for one by its id, which tells what it is called now: a
/// tick of a thousand teams takes it in a few times, and a rename is seen so much later.
const TEAMS: Duration = Duration::from_secs(30);
/// How long it serves those who ask who is in a team: as long as those take that look at one team for the
/// same reason.
const MEMBERS: Duration = Duration::from_secs(5);

/// A team of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Team {
    pub id: u64,
    pub slug: String,
    /// Where its members are, by its id.
    members_url: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Member {
    id: u64,
    login: String,
}

/// Who is in a team.
pub(crate) struct Members {
    /// Before GitHub was asked.
    pub asked: Timestamp,
    /// Logins, by id.
    pub logins: BTreeMap<u64, String>,
}

/// GitHub, asked in the organization's name.
pub(crate) struct Directory {
    pub github: GitHub,
    pub token: Secret,
    pub kept: Arc<Kept>,
    pub clock: Clock,
    /// What was listed before does not count, however short a while ago that was.
    pub since: Option<Timestamp>,
}

impl Directory {
    /// The team with this id where one is given, else with this slug.
    pub(crate) async fn team(&self, slug: &str, id: Option<u64>) -> Result<Option<Team>> {
        let Some(id) = id else {
            // From here on it is known by the id of what is found: a list of a moment ago will not do.
            let named = self.named(slug).await?;
            if named.is_none() {
                // It says whether it is the team that is not there, or the organization.
                self.teams().await?;
            }
            return Ok(named);
        };
        let teams = self.teams().await?;
        if let Some(team) = teams.iter().find(|team| team.id == id) {
            return Ok(Some(team.clone()));
        }
        // It may have been made since.
        Ok(self.named(slug).await?.filter(|team| team.id == id))
    }

    /// Who is in a team, and in those below it. None where there is no such team any more.
    pub(crate) async fn members(&self, team: &Team) -> Result<Option<Members>> {
        let lists = &self.kept.members;
        let listed = self.list(lists, self.members_at(team)?, MEMBERS).await?;
        Ok(listed.items.map(|members| Members {
            asked: listed.asked,
            logins: members
                .iter()
                .map(|one| (one.id, one.login.clone()))
                .collect(),
        }))
    }

    /// All teams, as they were a moment ago.
    async fn teams(&self) -> Result<Arc<Vec<Team>>> {
        let listed = self.list(&self.kept.teams, self.teams_at()?, TEAMS).await?;
        listed.items.ok_or_else(|| {
            Error::unavailable(format!("{WHO} knows no organization `{}`", self.github.org))
                .remedy("correct `org`, or give the directory token the right to read the organization's members")
        })
    }

    /// The team that has this slug now.
    async fn named(&self, slug: &str) -> Result<Option<Team>> {
        // What `..` leads to is no team.
        if slug.trim_matches('.').is_empty() {
            return Ok(None);
        }
        let mut url = self.teams_at()?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(slug);
        }
        let answer = self.ask(&url, None).await?;
        let team: Option<Team> = match answer.status {
            200 => Some(answer.json(WHO)?),
            _ => None,
        };
        Ok(team.filter(|team| team.slug == slug))
    }

    fn teams_at(&self) -> Result<Url> {
        let path = format!("/orgs/{}/teams", self.github.org);
        self.github.at(&self.github.api_url, &path)
    }

    /// Where a team's members are. By its id, where GitHub says so: its slug may be another's since it was listed.
    fn members_at(&self, team: &Team) -> Result<Url> {
        let path = format!("/orgs/{}/teams/{}/members", self.github.org, team.slug);
        let by_slug = self.github.at(&self.github.api_url, &path)?;
        // A template, with what names a single member at its end.
        let named = team.members_url.as_deref().unwrap_or_default();
        let named = named.split('{').next().and_then(|url| Url::parse(url).ok());
        // The token goes nowhere else, whoever says so.
        let by_id = named.filter(|url| url.origin() == by_slug.origin());
        Ok(by_id.unwrap_or(by_slug))
    }

    /// All of a list, over all pages, as it was within `fresh` of being asked for here, and after `self.since`.
    async fn list<T: DeserializeOwned + Clone>(
        &self,
        lists: &Lists<T>,
        mut url: Url,
        fresh: Duration,
    ) -> Result<Listed<T>> {
        url.query_pairs_mut().append_pair("per_page", PAGE);
        let key = (self.account(&url)?, url);
        // From here on: whoever waits for a turn for long shares all the same.
        let a_moment_ago = self.clock.now().checked_sub(fresh);
        let since = self.since.max(a_moment_ago.ok()).unwrap_or(Timestamp::MIN);
        let shared = || lists.shared(&key, since, self.clock.now());
        if let Some(listed) = shared() {
            return Ok(listed);
        }
        let _turn = lists.turns.of(&key).await;
        // Whoever had the turn before has asked for it.
        if let Some(listed) = shared() {
            return Ok(listed);
        }
        let asked = self.clock.now();
        let items = self.pages(lists, &key).await?;
        let listed = Listed {
            asked,
            items: items.map(Arc::new),
        };
        lists.share(key, listed.clone(), fresh, self.clock.now());
        Ok(listed)
    }

    /// All pages of the list that begins at `first`; none where there is no such list.
    async fn pages<T: DeserializeOwned + Clone>(
        &self,
        lists: &Lists<T>,
        first: &Key,
    ) -> Result<Option<Vec<T>>> {
        let (account, mut url) = first.clone();
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let Some(page) = self.page(lists, &(account, url)).await? else {
                return Ok(None);
            };
            all.extend(page.items);
            match page.next {
                Some(next) => url = next,
                None => return Ok(Some(all)),
            }
        }
        Err(Error::unavailable(format!(
            "{WHO} has no last page of {}",
            first.1.path()
        )))
    }

    async fn page<T: DeserializeOwned + Clone>(
        &self,
        lists: &Lists<T>,
        key: &Key,
    ) -> Result<Option<Page<T>>> {
        let (known, url) = (lists.page(key), &key.1);
        let etag = known.as_ref().map(|known| known.etag.as_str());
        let answer = self.ask(url, etag).await?;
        match (answer.status, known) {
            (304, Some(known)) => return Ok(Some(known)),
            (404, _) => return Ok(None),
            _ => {}
        }
        let links = answer.headers.get_all(LINK).iter();
        let etag = answer.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        let page = Page {
            etag: etag.unwrap_or_default().to_owned(),
            items: answer.json(WHO)?,
            next: next_of(url, links.filter_map(|link| link.to_str().ok()))?,
        };
        lists.keep(key.clone(), &page);
        Ok(Some(page))
    }

    /// What is at `url`, or that it is as it was (304), or that nothing is there (404). Asks nothing while GitHub
    /// wants to be left alone, or has just not answered.
    async fn ask(&self, url: &Url, etag: Option<&str>) -> Result<Answer> {
        let (account, kept) = (self.account(url)?, &self.kept);
        if let Some(wait) = kept.limits.wait(account) {
            return Err(exhausted(wait));
        }
        if let Some(error) = kept.missed(account, self.clock.now()) {
            return Err(error);
        }
        let mut request = self.github.request(url, self.token.text()?)?;
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let missed = |error| kept.miss(account, self.clock.now(), error);
        let answer = self.github.outbound.whole(WHO, request).await;
        let answer = answer.map_err(missed)?;
        kept.limits.hear(account, &answer);
        let status = answer.status;
        if matches!(status, 200 | 404) || (status == 304 && etag.is_some()) {
            return Ok(answer);
        }
        if let Some(wait) = kept.limits.wait(account) {
            return Err(exhausted(wait));
        }
        if status == 401 {
            let refused = Error::unavailable(format!("{WHO} does not take the directory token"));
            return Err(missed(
                refused.remedy("give the upstream another `directoryToken`"),
            ));
        }
        let error = Error::unavailable(format!("{WHO} answered {status} to {}", url.path()));
        // What it does not let the token see says nothing of what else it does.
        Err(if status >= 500 { missed(error) } else { error })
    }

    /// What counts together for GitHub's limit.
    fn account(&self, url: &Url) -> Result<u64> {
        Ok(self.kept.limits.account(url, self.token.text()?))
    }
}

fn exhausted(wait: Duration) -> Error {
    let seconds = wait.as_secs() + 1;
    Error::unavailable(format!(
        "{WHO}'s limit of requests is reached: the directory token waits for {seconds} s"
    ))
}
