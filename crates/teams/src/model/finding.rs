//! What is not as it should be about a tool. It follows from what is said of the tool and from what is so
//! elsewhere: nothing of it is kept, and nothing of it can be out of date.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use kernel::Name;
use serde::{Deserialize, Serialize};

use super::{Authentication, Authorization, CredentialKind, Due, KeptIn, ToolCredential, ToolSpec};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// As a stable word: `manual-only`.
    pub rule: String,
    /// The credential that it is about; none: the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub credential: Option<Name>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub remedy: String,
}

impl Finding {
    fn new(rule: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            credential: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// Whether a team is a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// It is.
    Registered,
    /// It was.
    Offboarded,
    /// There is none of this name.
    Missing,
}

/// How an integration is with the teams that it is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InStep {
    /// Whether it is switched on.
    pub enabled: bool,
    /// Teams that it is out of step with, or cannot say.
    pub failing: Counted,
    /// Teams that keep something there against the rules.
    pub violating: Counted,
}

/// How many teams, as far as they were counted: that it is not none matters more than whether it is a thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// So many.
    pub teams: usize,
    /// Whether there are others.
    pub more: bool,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.teams, self.more) {
            (count, true) => write!(f, "more than {count} teams"),
            (1, false) => f.write_str("1 team"),
            (count, false) => write!(f, "{count} teams"),
        }
    }
}

/// What is so elsewhere: of the teams and the integrations that tools name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The time.
    pub now: Timestamp,
    /// Teams, by name; one that is not here is missing.
    pub teams: BTreeMap<String, Registration>,
    /// Integrations that there are, by name.
    pub integrations: BTreeMap<String, InStep>,
}

impl Known {
    fn absence(&self, team: &str) -> Option<&'static str> {
        match self.teams.get(team).unwrap_or(&Registration::Missing) {
            Registration::Registered => None,
            Registration::Offboarded => Some("was offboarded"),
            Registration::Missing => Some("does not exist"),
        }
    }
}

impl ToolSpec {
    /// What is not as it should be: of the tool first, then of each credential.
    pub fn findings(&self, known: &Known) -> Vec<Finding> {
        let mut found = Vec::new();
        self.of_hands(&mut found);
        if let Some(why) = known.absence(self.owner.team())
            && !self.owner.team().is_empty()
        {
            let what = format!("team `{}`, which administers it, {why}", self.owner.team());
            let how = "agree on who administers it now, and say so in `owner`";
            found.push(Finding::new("owner-gone", what, how));
        }
        if let Authorization::Integration(name) = &self.authorization {
            of_integration(name, known, &mut found);
        }
        for (name, credential) in &self.credentials {
            let before = found.len();
            credential.findings(known, &mut found);
            for one in &mut found[before..] {
                one.credential = Some(name.clone());
            }
        }
        found
    }

    /// What people do there that programs could (C-58).
    fn of_hands(&self, found: &mut Vec<Finding>) {
        if self.authorization == Authorization::Manual {
            found.push(if self.api {
                Finding::new(
                    "manual-access",
                    "people get their rights there by tickets, although it has an API",
                    "keep it in step by an integration (`towpath integration set`), and name that in `authorization`",
                )
            } else {
                Finding::new(
                    "manual-only",
                    "people get their rights there by tickets, and it has no API to change that",
                    "ask its vendor for OIDC with claims, or for an API; or choose a tool that has one",
                )
            });
        }
        if matches!(
            self.authentication,
            Authentication::Password | Authentication::Ldap
        ) {
            found.push(Finding::new(
                "own-login",
                "people type a password into it: who has left the organization may still be let in",
                "have it log people in by OIDC",
            ));
        }
    }
}

fn of_integration(name: &Name, known: &Known, found: &mut Vec<Finding>) {
    let Some(one) = known.integrations.get(name.as_str()) else {
        found.push(missing(name));
        return;
    };
    if !one.enabled {
        found.push(Finding::new(
            "integration-disabled",
            format!("integration `{name}` is disabled: nobody keeps the tool in step"),
            format!(
                "`towpath integration enable {name}`, or say in `authorization` who does it now"
            ),
        ));
    } else if one.failing.teams > 0 {
        found.push(Finding::new(
            "integration-failing",
            format!("integration `{name}` is not in step with {}", one.failing),
            format!("`towpath integration show {name}` says why, for each"),
        ));
    }
    if one.violating.teams > 0 {
        found.push(Finding::new(
            "secrets-copied",
            format!("what should be fetched is kept there, by {}", one.violating),
            "`towpath integration list --team TEAM` names what, for whoever is in the team",
        ));
    }
}

fn missing(name: &Name) -> Finding {
    Finding::new(
        "integration-missing",
        format!("there is no integration `{name}`"),
        format!("make it (`towpath integration set {name}`), or name another"),
    )
}

impl ToolCredential {
    fn findings(&self, known: &Known, found: &mut Vec<Finding>) {
        if self.kind == CredentialKind::Personal {
            let person = self.person.as_deref().unwrap_or("a person");
            found.push(Finding::new(
                "personal-credential",
                format!("automation hangs on a credential of {person}: it dies when they leave"),
                "register a service account, or have both sides trust each other by OIDC",
            ));
        }
        if let Some(why) = known.absence(self.owner.as_str()) {
            found.push(Finding::new(
                "credential-owner-gone",
                format!("team `{}`, which answers for it, {why}", self.owner),
                "revoke it at the tool, or have another team answer for it",
            ));
        }
        match &self.kept {
            Some(KeptIn::Integration(name)) if !known.integrations.contains_key(name.as_str()) => {
                found.push(missing(name));
            }
            Some(_) => {}
            // There is nothing to keep.
            None if self.kind == CredentialKind::Oidc => {}
            None => found.push(Finding::new(
                "credential-unkept",
                "it is not said where it is kept",
                "keep it as a secret of its team (`towpath secret set`), or beside an integration, and say so in `kept`",
            )),
        }
        if let (Some(due), Some(expires)) = (self.due(known.now), self.expires) {
            let how = "draw another one at the tool, keep that in its place, and say its end in `expires`";
            found.push(match due {
                Due::Expired => Finding::new(
                    "credential-expired",
                    format!("it has expired at {expires}"),
                    how,
                ),
                Due::Expiring => Finding::new(
                    "credential-expiring",
                    format!("it expires at {expires}"),
                    how,
                ),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(spec: &Value, known: &Known) -> Vec<String> {
        let spec: ToolSpec = serde_json::from_value(spec.clone()).unwrap();
        let name = |one: Finding| match one.credential {
            Some(credential) => format!("{credential}: {}", one.rule),
            None => one.rule,
        };
        spec.findings(known).into_iter().map(name).collect()
    }

    fn known() -> Known {
        let fine = InStep {
            enabled: true,
            ..InStep::default()
        };
        let teams = [
            ("security".to_owned(), Registration::Registered),
            ("former".to_owned(), Registration::Offboarded),
        ];
        Known {
            now: "2030-01-01T00:00:00Z".parse().unwrap(),
            teams: teams.into(),
            integrations: [("github".to_owned(), fine)].into(),
        }
    }

    #[test]
    fn what_is_automated_and_looked_after_has_no_findings() {
        let spec = json!({
            "owner": { "team": "security" }, "authentication": "oidc",
            "authorization": { "integration": "github" }, "api": true,
            "credentials": {
                "machine": {
                    "kind": "service_account", "owner": "security",
                    "kept": { "integration": "github" }, "expires": "2030-03-01T00:00:00Z",
                },
                "trust": { "kind": "oidc", "owner": "security" },
            },
        });
        assert_eq!(rules(&spec, &known()), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_not_as_it_should_be_is_found() {
        let spec = json!({
            "owner": { "team": "nobody" }, "authentication": "password",
            "authorization": "manual", "api": false,
            "credentials": {
                "ada": { "kind": "personal", "person": "local:ada", "owner": "former" },
                "old": {
                    "kind": "team", "owner": "security", "kept": { "secret": "ci/token" },
                    "expires": "2029-12-31T00:00:00Z",
                },
                "soon": {
                    "kind": "team", "owner": "security", "kept": { "integration": "jira" },
                    "expires": "2030-01-15T00:00:00Z",
                },
            },
        });
        let expected = [
            "manual-only",
            "own-login",
            "owner-gone",
            "ada: personal-credential",
            "ada: credential-owner-gone",
            "ada: credential-unkept",
            "old: credential-expired",
            "soon: integration-missing",
            "soon: credential-expiring",
        ];
        assert_eq!(rules(&spec, &known()), expected);
    }

    #[test]
    fn teams_are_counted_as_far_as_they_were() {
        let told = |teams, more| Counted { teams, more }.to_string();
        assert_eq!(told(1, false), "1 team");
        assert_eq!(told(2, false), "2 teams");
        assert_eq!(told(100, true), "more than 100 teams");
    }

    #[test]
    fn a_tool_is_as_well_as_its_integration() {
        let spec = json!({
            "owner": { "group": "it-operations" }, "authentication": "saml",
            "authorization": { "integration": "github" }, "api": true,
        });
        let with = |change: fn(&mut InStep)| {
            let mut known = known();
            change(known.integrations.get_mut("github").unwrap());
            rules(&spec, &known)
        };
        assert_eq!(with(|one| one.enabled = false), ["integration-disabled"]);
        assert_eq!(with(|one| one.failing.teams = 1), ["integration-failing"]);
        assert_eq!(with(|one| one.violating.teams = 1), ["secrets-copied"]);
        assert_eq!(
            rules(
                &spec,
                &Known {
                    integrations: [].into(),
                    ..known()
                }
            ),
            ["integration-missing"]
        );
        let manual = json!({
            "owner": { "group": "it-operations" }, "authentication": "saml",
            "authorization": "manual", "api": true,
        });
        assert_eq!(rules(&manual, &known()), ["manual-access"]);
    }
}
