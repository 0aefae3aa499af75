//! GitHub: a team of the organization with its members, and repositories that take signed commits only.

mod members;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use kernel::{Outbound, Problem, Result, Secret, outbound::Limits};
use serde::Deserialize;
use serde_json::{Value, json};
use teams::tool::{Call, Found, Home, Place, Presence, Repair, Tool, Wanted, WantedMember};

use crate::{
    answered::Answered,
    api::{Api, PAGE, below, check, config},
    audit,
};

/// What our rule is called in a repository.
const RULESET: &str = "towpath: signed commits";

/// Keeps an organization at GitHub in step.
pub struct Github {
    outbound: Outbound,
    limits: Limits,
    kept: Answered,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// The organization.
    org: String,
    /// The API; GitHub's own where nothing is said.
    #[serde(default = "Config::public")]
    url: String,
    /// Logins of those who are called otherwise here, by subject, or by a name that is nobody else's.
    #[serde(default)]
    logins: BTreeMap<String, String>,
    /// Whether the team's repositories take signed commits only, on their default branch.
    #[serde(default)]
    signed_commits: bool,
    /// Whether what the pipelines of the team's repositories keep is looked at.
    #[serde(default)]
    audit_secrets: bool,
    /// Teams of the platform whose team there may be there already.
    #[serde(default)]
    adopt: BTreeSet<String>,
}

impl Config {
    fn public() -> String {
        "https://api.github.com".into()
    }

    fn at(&self, segments: &[&str]) -> Result<String> {
        below(&self.url, segments).map(Into::into)
    }

    /// The login of one of a team's people: as it is said here, or theirs where they log in by GitHub, or
    /// the one that they had before. In small letters: logins compare without case.
    fn login_of(
        &self,
        wanted: &Wanted,
        member: &WantedMember,
        known: &BTreeMap<String, String>,
    ) -> Option<String> {
        let own = member.account.as_deref() == Some("github");
        wanted
            .said_of(&self.logins, member)
            .or(own.then_some(&member.name))
            .or_else(|| known.get(&member.subject))
            .map(|login| login.to_lowercase())
    }

    /// The id at GitHub of one of a team's people, where [`Config::login_of`] goes by what their source calls them.
    fn id_of(&self, wanted: &Wanted, member: &WantedMember) -> Option<u64> {
        let own = member.account.as_deref() == Some("github");
        if !own || wanted.said_of(&self.logins, member).is_some() {
            return None;
        }
        let (_, id) = member.subject.split_once(':')?;
        id.parse().ok()
    }

    /// A list, in pages as long as they get.
    fn list(&self, segments: &[&str], query: &str) -> Result<String> {
        Ok(format!("{}?per_page={PAGE}{query}", self.at(segments)?))
    }
}

#[derive(Deserialize)]
struct Repository {
    name: String,
    owner: Owner,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    permissions: Permissions,
}

#[derive(Deserialize)]
struct Owner {
    login: String,
}

#[derive(Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    admin: bool,
}

/// A value that pipelines are given. Its content is shown to nobody.
#[derive(Deserialize)]
struct Kept {
    name: String,
}

#[derive(Deserialize)]
struct Ruleset {
    id: u64,
    name: String,
}

impl Github {
    /// Speaks by `outbound`, within `limits`.
    pub(crate) fn new(outbound: Outbound, limits: Limits) -> Self {
        Self {
            outbound,
            limits,
            kept: Answered::default(),
        }
    }

    fn api(&self, credential: Option<&Secret>) -> Result<Api<'_>> {
        let mut headers = vec![
            ("accept".into(), "application/vnd.github+json".into()),
            ("x-github-api-version".into(), "2022-11-28".into()),
        ];
        if let Some(token) = credential.map(Secret::text).transpose()? {
            headers.push(("authorization".into(), format!("Bearer {token}")));
        }
        Ok(Api {
            outbound: &self.outbound,
            limits: &self.limits,
            kept: Some(&self.kept),
            who: "GitHub",
            headers,
        })
    }

    /// The repositories that the team administers: in others it has no say.
    async fn repositories(
        &self,
        api: &Api<'_>,
        config: &Config,
        wanted: &Wanted,
    ) -> Result<Vec<Repository>> {
        let path = ["orgs", &config.org, "teams", &wanted.name, "repos"];
        let all = api.pages::<Repository>(&config.list(&path, "")?).await?;
        let mut own = api.there(all, "repositories of the team")?;
        own.retain(|one| !one.archived && one.permissions.admin);
        Ok(own)
    }

    /// What the pipelines of these repositories keep that they should fetch.
    async fn audit(
        &self,
        api: &Api<'_>,
        config: &Config,
        repositories: &[Repository],
        secrets: &[String],
    ) -> Result<Vec<String>> {
        let mut violations = Vec::new();
        for repository in repositories {
            let at = [
                "repos",
                &repository.owner.login,
                &repository.name,
                "actions",
            ];
            let mut kept = Vec::new();
            for list in ["secrets", "organization-secrets"] {
                let url = config.list(&[&at[..], &[list]].concat(), "")?;
                let found = api.pages_in::<Kept>(&url, Some("secrets")).await?;
                let found = api.there(found, "secrets of a repository's actions")?;
                kept.extend(found.into_iter().map(|one| one.name));
            }
            let place = format!("repository `{}`", repository.name);
            violations.extend(audit::violations(&place, &kept, secrets));
        }
        Ok(violations)
    }

    async fn signed_commits(
        &self,
        api: &Api<'_>,
        config: &Config,
        repositories: &[Repository],
        found: &mut Found,
    ) -> Result<()> {
        for repository in repositories {
            let at = [
                "repos",
                &repository.owner.login,
                &repository.name,
                "rulesets",
            ];
            let url = config.list(&at, "&includes_parents=false")?;
            let rulesets = api.pages::<Ruleset>(&url).await?;
            let rulesets = api.there(rulesets, "rulesets of a repository")?;
            let ours = rulesets.iter().find(|one| one.name == RULESET);
            let should = ruleset();
            let (is, call) = match ours {
                None => {
                    let url = config.at(&at)?;
                    (None, ("POST", url))
                }
                Some(ours) => {
                    let id = ours.id.to_string();
                    let url = config.at(&[&at[..], &[&id]].concat())?;
                    let is = api.read::<Value>(&url).await?;
                    let is = api.there(is, "ruleset that it lists")?;
                    if holds(&is, &should) {
                        continue;
                    }
                    let enforcement = is["enforcement"].as_str().unwrap_or("unknown");
                    (Some(format!("changed, {enforcement}")), ("PUT", url))
                }
            };
            found.repairs.push(Repair {
                what: format!("repositories/{}/signed-commits", repository.name),
                found: is,
                wanted: Some("required on the default branch".into()),
                call: Call {
                    method: call.0,
                    url: call.1,
                    body: Some(should),
                },
            });
        }
        Ok(())
    }
}

/// That the team is to be made.
fn made(config: &Config, wanted: &Wanted) -> Result<Repair> {
    Ok(Repair {
        what: "team".into(),
        found: None,
        wanted: Some(wanted.name.clone()),
        call: Call {
            method: "POST",
            url: config.at(&["orgs", &config.org, "teams"])?,
            body: Some(json!({
                "name": wanted.name,
                "description": wanted.description,
                "privacy": "closed",
            })),
        },
    })
}

/// The rule as it should be.
fn ruleset() -> Value {
    json!({
        "name": RULESET,
        "target": "branch",
        "enforcement": "active",
        "bypass_actors": [],
        "conditions": { "ref_name": { "include": ["~DEFAULT_BRANCH"], "exclude": [] } },
        "rules": [{ "type": "required_signatures" }],
    })
}

/// Whether a rule is as it should be, in all that we say.
fn holds(is: &Value, should: &Value) -> bool {
    let fields = should.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| *name != "bypass_actors" || !is[*name].is_null())
        .all(|(name, value)| is[name] == *value)
}

#[async_trait]
impl Tool for Github {
    fn kind(&self) -> &'static str {
        "github"
    }

    fn check(&self, config: &Value) -> Vec<Problem> {
        check::<Config>(&self.outbound, config, |config| config.url.clone())
    }

    fn home(&self, value: &Value, team: &str) -> Result<Option<Home>> {
        let config: Config = config(value)?;
        Ok(Some(Home {
            at: config.at(&["orgs", &config.org, "teams", team])?,
            what: format!("the team `{team}` of the organization `{}`", config.org),
            adopted: config.adopt.contains(team),
            remedy: "rename one of them",
        }))
    }

    fn audits(&self, value: &Value) -> bool {
        config(value).is_ok_and(|config: Config| config.audit_secrets)
    }

    async fn look(&self, place: Place<'_>, wanted: &Wanted) -> Result<Found> {
        let config: Config = config(place.config)?;
        let api = self.api(place.credential)?;
        let mut found = Found::default();
        let known = place.accounts;
        let is_known = place.ours
            && self
                .members(&api, &config, wanted, known, &mut found)
                .await?;
        if !is_known {
            // What is ours and has members is there: that is not asked for.
            let team = config.at(&["orgs", &config.org, "teams", &wanted.name])?;
            if api.read::<Value>(&team).await?.is_none() {
                found.presence = Presence::Absent;
                found.repairs.push(made(&config, wanted)?);
                return Ok(found);
            }
            if !place.ours {
                found.presence = Presence::Foreign;
                return Ok(found);
            }
            return Err(api.shows_no("members"));
        }
        if !config.signed_commits && !config.audit_secrets {
            return Ok(found);
        }
        let repositories = self.repositories(&api, &config, wanted).await?;
        if config.signed_commits {
            self.signed_commits(&api, &config, &repositories, &mut found)
                .await?;
        }
        if let Some(secrets) = wanted.secrets.as_ref().filter(|_| config.audit_secrets) {
            let violations = self.audit(&api, &config, &repositories, secrets).await?;
            found.violations = Some(violations);
        }
        Ok(found)
    }

    async fn mend(&self, place: Place<'_>, call: &Call) -> Result<()> {
        self.api(place.credential)?.call(call).await
    }
}
