//! GitHub: people's groups are their teams in one organization.

mod directory;
mod kept;

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Error, Result, Secret};
use reqwest::{
    RequestBuilder,
    header::{ACCEPT, AUTHORIZATION, LINK},
};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{
    Membership, SourceError, TeamSource,
    upstream::{Arrival, ArrivalError, UpstreamSource, Visit},
};
use crate::{
    outbound::{Answer, Outbound},
    state::Login,
};

pub(crate) use self::{
    directory::{Directory, Members, Team},
    kept::Kept,
};

const WHO: &str = "GitHub";
/// Teams on a page: the most that GitHub gives.
const PAGE: &str = "100";
/// Pages at the most: ten thousand teams.
const PAGES: usize = 100;
/// What we ask for: who somebody is, and their teams.
const SCOPES: &str = "read:user read:org";

/// GitHub, or a GitHub Enterprise server.
pub(crate) struct GitHub {
    pub outbound: Outbound,
    pub client_id: String,
    pub client_secret: Secret,
    pub org: String,
    pub url: String,
    pub api_url: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    email: Option<String>,
}

/// A team of a person's.
#[derive(Deserialize)]
struct TheirTeam {
    id: u64,
    slug: String,
    organization: Organization,
}

/// A person's groups, and their ids.
#[derive(Default)]
struct Groups {
    names: Vec<String>,
    ids: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Organization {
    login: String,
}

/// Whether GitHub still takes a person's token.
enum Asked<T> {
    Answer(T),
    /// It does not: revoked, or the person is gone.
    Refused,
}

impl GitHub {
    fn at(&self, base: &str, path: &str) -> Result<Url> {
        self.outbound
            .check(&format!("{}{path}", base.trim_end_matches('/')))
    }

    /// The group that a team of the organization is.
    pub(crate) fn group(&self, slug: &str) -> String {
        format!("{}/{slug}", self.org)
    }

    /// The team that a group is, where it is one of the organization's.
    pub(crate) fn slug<'g>(&self, group: &'g str) -> Option<&'g str> {
        let (org, slug) = group.split_once('/')?;
        org.eq_ignore_ascii_case(&self.org).then_some(slug)
    }

    fn request(&self, url: &Url, token: &str) -> Result<RequestBuilder> {
        Ok(self
            .outbound
            .get(url)?
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .header(AUTHORIZATION, format!("Bearer {token}")))
    }

    async fn get(&self, url: &Url, token: &str) -> Result<Asked<Answer>> {
        let request = self.request(url, token)?;
        let answer = self.outbound.send(WHO, request).await?;
        match answer.status {
            200 => Ok(Asked::Answer(answer)),
            401 => Ok(Asked::Refused),
            // A rate limit, most often: neither good nor bad news of the person.
            status => Err(Error::unavailable(format!(
                "{WHO} answered {status} to {}",
                url.path()
            ))),
        }
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &str, token: &str) -> Result<Asked<T>> {
        let url = self.at(&self.api_url, path)?;
        Ok(match self.get(&url, token).await? {
            Asked::Answer(answer) => Asked::Answer(answer.json(WHO)?),
            Asked::Refused => Asked::Refused,
        })
    }

    /// All teams of the organization that the token's owner is in, over all pages.
    async fn teams(&self, token: &str) -> Result<Asked<Groups>> {
        let mut url = self.at(&self.api_url, "/user/teams")?;
        url.query_pairs_mut().append_pair("per_page", PAGE);
        let mut groups = Groups::default();
        for _ in 0..PAGES {
            let answer = match self.get(&url, token).await? {
                Asked::Answer(answer) => answer,
                Asked::Refused => return Ok(Asked::Refused),
            };
            let page: Vec<TheirTeam> = answer.json(WHO)?;
            let ours = |team: &TheirTeam| team.organization.login.eq_ignore_ascii_case(&self.org);
            for team in page.into_iter().filter(ours) {
                let name = self.group(&team.slug);
                groups.ids.insert(name.clone(), team.id.to_string());
                groups.names.push(name);
            }
            let links = answer.headers.get_all(LINK).iter();
            match next_of(&url, links.filter_map(|link| link.to_str().ok()))? {
                Some(next) => url = next,
                None => return Ok(Asked::Answer(groups)),
            }
        }
        Err(Error::unavailable(format!(
            "{WHO} has no last page of teams"
        )))
    }
}

/// The page after that at `url`, as `Link` headers name it.
fn next_of<'l>(url: &Url, mut links: impl Iterator<Item = &'l str>) -> Result<Option<Url>> {
    let Some(next) = links.find_map(next_page) else {
        return Ok(None);
    };
    let next = url.join(next).map_err(|error| {
        Error::unavailable(format!("{WHO} names a page that is none")).caused_by(error)
    })?;
    // The token goes nowhere else, whoever says so.
    if next.origin() != url.origin() {
        return Err(Error::unavailable(format!("{WHO} names a page elsewhere")));
    }
    Ok(Some(next))
}

/// The address of the next page in a `Link` header (RFC 8288).
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|one| {
        let (target, parameters) = one.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| ["rel=\"next\"", "rel=next"].contains(&parameter.trim());
        parameters.split(';').any(is_next).then_some(target)
    })
}

#[async_trait]
impl TeamSource for GitHub {
    async fn groups(&self, _: &Login, token: Option<&Secret>) -> Result<Membership, SourceError> {
        let gone = || SourceError::Gone("GitHub does not know your login any more".into());
        let token = token.and_then(Secret::expose_str).ok_or_else(|| {
            let why = "nothing is left that asks GitHub for your teams: log in again";
            SourceError::Unasked(why.into())
        })?;
        // A login that somebody gave up may be anybody's the next moment: what they are called is asked each time.
        let user = self.get_json("/user", token).await;
        let user: User = match user.map_err(SourceError::Away)? {
            Asked::Answer(user) => user,
            Asked::Refused => return Err(gone()),
        };
        match self.teams(token).await.map_err(SourceError::Away)? {
            Asked::Answer(groups) => Ok(Membership {
                name: Some(user.login),
                groups: groups.names,
                group_ids: groups.ids,
                upstream_token: None,
            }),
            Asked::Refused => Err(gone()),
        }
    }
}

#[async_trait]
impl UpstreamSource for GitHub {
    async fn visit(&self, visit: &Visit) -> Result<Url> {
        let mut url = self.at(&self.url, "/login/oauth/authorize")?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&visit.verifier));
        url.query_pairs_mut().extend_pairs([
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", &visit.redirect_uri),
            ("scope", SCOPES),
            ("state", &visit.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("allow_signup", "false"),
        ]);
        Ok(url)
    }

    async fn arrived(&self, visit: &Visit, code: Secret) -> Result<Arrival, ArrivalError> {
        let url = self.at(&self.url, "/login/oauth/access_token")?;
        let request = self
            .outbound
            .post(&url)?
            .header(ACCEPT, "application/json")
            .form(&[
                ("client_id", self.client_id.as_str()),
                ("client_secret", self.client_secret.text()?),
                ("code", code.text()?),
                ("redirect_uri", &visit.redirect_uri),
                ("code_verifier", &visit.verifier),
            ]);
        // GitHub answers 200 also where it refuses.
        let answer: TokenAnswer = self.outbound.send(WHO, request).await?.json(WHO)?;
        let Some(token) = answer.access_token else {
            let why = answer
                .error_description
                .or(answer.error)
                .unwrap_or_default();
            return Err(ArrivalError::Refused(format!(
                "{WHO} refused the login: {why}"
            )));
        };
        let refused = || ArrivalError::Refused(format!("{WHO} does not take its own token"));
        let user: User = match self.get_json("/user", &token).await? {
            Asked::Answer(user) => user,
            Asked::Refused => return Err(refused()),
        };
        let groups = match self.teams(&token).await? {
            Asked::Answer(groups) => groups,
            Asked::Refused => return Err(refused()),
        };
        Ok(Arrival {
            id: user.id.to_string(),
            name: user.login,
            email: user.email,
            groups: groups.names,
            group_ids: groups.ids,
            token: Some(token),
            sid: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        let link = "<https://api.github.com/user/teams?page=1>; rel=\"prev\", \
                    <https://api.github.com/user/teams?page=3>; rel=\"next\"";
        assert_eq!(
            next_page(link),
            Some("https://api.github.com/user/teams?page=3")
        );
        for none in [
            "",
            "<x>; rel=\"last\"",
            "x; rel=\"next\"",
            "<x; rel=\"next\"",
        ] {
            assert_eq!(next_page(none), None, "{none}");
        }
    }
}
