//! Who is in a team at GitHub, and who should be.

use std::collections::{BTreeMap, BTreeSet};

use kernel::Result;
use serde::Deserialize;
use serde_json::json;
use teams::tool::{Call, Found, Repair, Wanted, WantedMember};

use super::{Config, Github};
use crate::api::Api;

#[derive(Deserialize)]
struct Login {
    /// None for somebody who is invited by an address.
    login: Option<String>,
    /// Never another's.
    id: Option<u64>,
}

/// Whose a login is.
#[derive(Deserialize)]
struct Account {
    id: u64,
}

/// A team below another.
#[derive(Deserialize)]
struct Below {
    slug: String,
}

impl Github {
    /// Compares who is in the team with who should be. False where it has no members, not even a list of
    /// none: it may not be there.
    pub(super) async fn members(
        &self,
        api: &Api<'_>,
        config: &Config,
        wanted: &Wanted,
        known: &BTreeMap<String, String>,
        found: &mut Found,
    ) -> Result<bool> {
        let team = ["orgs", &config.org, "teams", &wanted.name];
        let list = |below: &str, query: &str| {
            let path: Vec<&str> = team.iter().copied().chain([below]).collect();
            config.list(&path, query)
        };
        let maintainers = list("members", "&role=maintainer")?;
        let Some(maintainers) = api.pages::<Login>(&maintainers).await? else {
            return Ok(false);
        };
        let members = list("members", "&role=member")?;
        let members = api.there(api.pages::<Login>(&members).await?, "members")?;
        let ids = ids(maintainers.iter().chain(&members));
        // Whoever is listed is called as the list says: of a new login the platform learns when theirs is renewed.
        let listed: BTreeMap<u64, &String> = ids.iter().map(|(login, id)| (*id, login)).collect();
        let login_of = |member: &WantedMember| {
            let id = config.id_of(wanted, member);
            let login = id
                .and_then(|id| listed.get(&id))
                .map(|&login| login.clone());
            login.or_else(|| config.login_of(wanted, member, known))
        };
        let (maintainers, members) = (logins(maintainers), logins(members));
        let invited = names(api, &list("invitations", "")?).await?;
        // Those who own the organization maintain every team of it. Asked for where that would excuse
        // somebody.
        let mut owners = None;
        let mut expected = BTreeSet::new();
        for member in &wanted.members {
            let Some(login) = login_of(member) else {
                found.obstacles.push(format!(
                    "{} has no known login at GitHub: name it in `config.logins`",
                    wanted.called(member)
                ));
                continue;
            };
            let role = if member.lead { "maintainer" } else { "member" };
            let is = if invited.contains(&login) {
                // What they become is said once they have accepted.
                Some(role)
            } else if maintainers.contains(&login) {
                Some("maintainer")
            } else if members.contains(&login) {
                Some("member")
            } else {
                None
            };
            let is_theirs = match (config.id_of(wanted, member), ids.get(&login)) {
                (Some(id), Some(listed)) => id == *listed,
                (Some(id), None) if is.is_none() => is_of(api, config, &login, id).await?,
                _ => true,
            };
            if !is_theirs {
                // Whoever has it by now is not let in, and does not stay.
                found.obstacles.push(format!(
                    "{} is not who has the login `{login}` at GitHub: the platform learns what they are called \
                     now when their login is renewed, or name it in `config.logins`",
                    wanted.called(member)
                ));
                continue;
            }
            found.accounts.insert(member.subject.clone(), login.clone());
            let differs = is != Some(role);
            if differs && is.is_some() && owners.is_none() {
                let list = config.list(&["orgs", &config.org, "members"], "&role=admin")?;
                owners = Some(names(api, &list).await?);
            }
            let owns = is.is_some() && owners.as_ref().is_some_and(|all| all.contains(&login));
            if differs && !owns {
                found.repairs.push(Repair {
                    what: format!("members/{login}"),
                    found: is.map(str::to_owned),
                    wanted: Some(role.into()),
                    call: Call {
                        method: "PUT",
                        url: config.at(&[&team[..], &["memberships", &login]].concat())?,
                        body: Some(json!({ "role": role })),
                    },
                });
            }
            expected.insert(login);
        }
        // Whoever else has the login of one of them by now has not left.
        let has_left = |member: &WantedMember| {
            let login = login_of(member)?;
            let is_theirs = match (config.id_of(wanted, member), ids.get(&login)) {
                (Some(id), Some(listed)) => id == *listed,
                _ => true,
            };
            is_theirs.then_some(login)
        };
        let left: BTreeSet<String> = wanted.left.iter().filter_map(has_left).collect();
        let is_out = |login: &&String| {
            !expected.contains(*login) && (wanted.complete || left.contains(*login))
        };
        let present = maintainers.iter().chain(&members).chain(&invited);
        let mut out: Vec<&String> = present.filter(is_out).collect();
        // Asked for where that would excuse somebody, too.
        if out.iter().any(|login| !invited.contains(*login)) {
            let below = members_below(api, config, &team).await?;
            out.retain(|login| invited.contains(*login) || !below.contains(*login));
        }
        for login in out {
            found.repairs.push(Repair {
                what: format!("members/{login}"),
                found: Some("member".into()),
                wanted: None,
                call: Call {
                    method: "DELETE",
                    url: config.at(&[&team[..], &["memberships", login]].concat())?,
                    body: None,
                },
            });
        }
        Ok(true)
    }
}

/// Whether a login is that of the account with this id. A login that somebody gave up is anybody's who takes it.
async fn is_of(api: &Api<'_>, config: &Config, login: &str, id: u64) -> Result<bool> {
    let account = api.read::<Account>(&config.at(&["users", login])?).await?;
    Ok(account.is_some_and(|account| account.id == id))
}

/// Those who are in a team by one below it: GitHub lists them among its members, and nothing that is done to the
/// team itself takes them out. A list of members holds those of all teams below, so that one level is enough.
async fn members_below(api: &Api<'_>, config: &Config, team: &[&str]) -> Result<BTreeSet<String>> {
    let list = config.list(&[team, &["teams"]].concat(), "")?;
    let teams = api.pages::<Below>(&list).await?;
    let mut all = BTreeSet::new();
    for below in api.there(teams, "teams below the team")? {
        let members = ["orgs", &config.org, "teams", &below.slug, "members"];
        all.extend(names(api, &config.list(&members, "")?).await?);
    }
    Ok(all)
}

async fn names(api: &Api<'_>, url: &str) -> Result<BTreeSet<String>> {
    let found = api.there(api.pages::<Login>(url).await?, "members")?;
    Ok(logins(found))
}

/// The ids of those who are listed, by login.
fn ids<'l>(of: impl Iterator<Item = &'l Login>) -> BTreeMap<String, u64> {
    of.filter_map(|one| Some((one.login.as_ref()?.to_lowercase(), one.id?)))
        .collect()
}

/// Logins compare without case.
fn logins(of: Vec<Login>) -> BTreeSet<String> {
    let logins = of.into_iter().filter_map(|one| one.login);
    logins.map(|login| login.to_lowercase()).collect()
}
