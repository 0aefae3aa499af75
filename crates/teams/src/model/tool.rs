//! The register of tools: which ones the organization's teams use, who administers each, and how much of it
//! goes without tickets (C-58, C-67, E-010 to E-014).

use std::collections::BTreeMap;

use kernel::{Kind, Name, Problem, cause::controls};
use serde::{Deserialize, Serialize};

use super::{KeptIn, Reminded, ToolCredential, tool_credential::FOREIGN};

/// A tool that teams use. Scope: the platform. Whoever administers it keeps it: the platform knows of it.
#[derive(Debug)]
pub enum Tool {}

impl Kind for Tool {
    const KIND: &'static str = "Tool";
    type Spec = ToolSpec;
    type Status = ToolStatus;

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath tool list".into())
    }
}

/// What is known of a tool. No secret: of a credential it says where that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolSpec {
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where people find it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Who administers it.
    pub owner: ToolOwner,
    /// How people log in there.
    pub authentication: Authentication,
    /// How what they may do gets there.
    pub authorization: Authorization,
    /// Whether programs can set it up.
    pub api: bool,
    /// By what the platform, and other automation, reaches it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, ToolCredential>)]
    pub credentials: BTreeMap<Name, ToolCredential>,
}

/// Who administers a tool: security the pipelines, say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ToolOwner {
    /// A team of the platform: its members change what is said of the tool.
    #[schema(value_type = String)]
    Team(Name),
    /// A group that is none, as its source calls it: those who operate the platform change it.
    Group(String),
}

impl ToolOwner {
    /// The team; empty where it is none.
    pub fn team(&self) -> &str {
        match self {
            Self::Team(team) => team.as_str(),
            Self::Group(_) => "",
        }
    }

    /// Its name, whatever it is.
    pub fn name(&self) -> &str {
        match self {
            Self::Team(team) => team.as_str(),
            Self::Group(group) => group,
        }
    }
}

/// How people log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// By OpenID Connect.
    Oidc,
    /// By SAML.
    Saml,
    /// With the organization's password, which the tool asks for.
    Ldap,
    /// With a password that is the tool's own.
    Password,
    /// Not at all.
    None,
}

/// How what people may do gets into a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authorization {
    /// With the claims of each login.
    Claims,
    /// By the integration of this name, which keeps the tool in step with teams.
    #[schema(value_type = String)]
    Integration(Name),
    /// By tickets.
    Manual,
}

/// How much of a tool goes without anybody's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Automation {
    /// Nothing: rights by tickets, and no API.
    None,
    /// Some of it.
    Part,
    /// Logins, rights and setting up.
    Full,
}

/// What was told of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolStatus {
    /// Which credentials' ends were told of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Reminded>)]
    pub reminded: BTreeMap<Name, Reminded>,
}

/// The longest title, in characters: it is a column.
const TITLE: usize = 100;
/// The longest text of anything else.
const TEXT: usize = 2000;
/// Credentials of one tool: a team has one or two there, and what has more is no tool but a shop.
const CREDENTIALS: usize = 100;
impl ToolSpec {
    /// What is wrong with it, as far as that can be seen without looking at anything else.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut within = |path: &str, text: &str, most: usize| {
            if text.chars().count() > most {
                let what = format!("it is longer than {most} characters");
                found.push(Problem::new("tool/length", path, what).remedy("shorten it"));
                return;
            }
            // Others' terminals show it. A description stands apart there, and may have paragraphs.
            let lays_out = |c: char| path == "description" && matches!(c, '\n' | '\t');
            if text.contains(|c: char| controls(c) && !lays_out(c)) {
                let what = "it holds characters that control what is shown";
                found.push(Problem::new("tool/text", path, what).remedy("leave them out"));
            }
        };
        within("title", &self.title, TITLE);
        within("description", &self.description, TEXT);
        within("url", &self.url, TEXT);
        within("owner", self.owner.name(), FOREIGN);
        for (name, credential) in &self.credentials {
            within(
                &format!("credentials.{name}.scope"),
                &credential.scope,
                TEXT,
            );
        }
        if let Some(problem) = address(&self.url) {
            found.push(problem);
        }
        if self.owner.name().trim().is_empty() {
            found.push(
                Problem::new("tool/owner", "owner.group", "it names nobody")
                    .remedy("name the team or the group that administers the tool"),
            );
        }
        if self.credentials.len() > CREDENTIALS {
            let what = format!("there are more than {CREDENTIALS} credentials");
            found.push(
                Problem::new("tool/credentials", "credentials", what)
                    .remedy("register what is reached by others as a tool of its own"),
            );
        }
        let of_each = self.credentials.iter();
        found.extend(of_each.flat_map(|(name, credential)| credential.problems(name)));
        found
    }

    /// How much of it goes without anybody's hands.
    pub fn automation(&self) -> Automation {
        let logs_in = matches!(
            self.authentication,
            Authentication::Oidc | Authentication::Saml
        );
        match (&self.authorization, self.api) {
            (Authorization::Manual, false) => Automation::None,
            (Authorization::Manual, true) | (_, false) => Automation::Part,
            (_, true) if logs_in => Automation::Full,
            (_, true) => Automation::Part,
        }
    }

    /// The integrations that it names.
    pub fn integrations(&self) -> impl Iterator<Item = &Name> {
        let own = match &self.authorization {
            Authorization::Integration(name) => Some(name),
            Authorization::Claims | Authorization::Manual => None,
        };
        let kept = self.credentials.values().filter_map(|one| match &one.kept {
            Some(KeptIn::Integration(name)) => Some(name),
            Some(KeptIn::Secret(_)) | None => None,
        });
        own.into_iter().chain(kept)
    }

    /// The teams that it names.
    pub fn teams(&self) -> impl Iterator<Item = &str> {
        let owner = Some(self.owner.team()).filter(|team| !team.is_empty());
        let owners = self.credentials.values().map(|one| one.owner.as_str());
        owner.into_iter().chain(owners)
    }

    /// The same, but for its credentials.
    pub(crate) fn itself(&self) -> Self {
        Self {
            credentials: BTreeMap::new(),
            ..self.clone()
        }
    }
}

/// A secret in the address would be told to everybody.
fn address(url: &str) -> Option<Problem> {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|it| url.strip_prefix(it));
    let is_plain = rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_odd = |letter: char| letter.is_whitespace() || controls(letter);
        !host.is_empty() && !host.contains('@') && !url.contains(is_odd)
    });
    let problem = Problem::new("tool/url", "url", "it is no address that people can open");
    (!url.is_empty() && !is_plain)
        .then(|| problem.remedy("write https://HOST/PATH, without a user or a password"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Where a tool with these texts holds what is none.
    fn wrong(title: &str, description: &str, group: &str, scope: &str) -> Vec<String> {
        let spec = json!({
            "title": title, "description": description, "owner": { "group": group },
            "authentication": "oidc", "authorization": "claims", "api": true,
            "credentials": { "ci": { "owner": "security", "kind": "team", "scope": scope } },
        });
        let spec: ToolSpec = serde_json::from_value(spec).unwrap();
        let problems = spec.problems().into_iter();
        let of_text = problems.filter(|one| one.rule == "tool/text");
        of_text.map(|one| one.path).collect()
    }

    #[test]
    fn no_text_controls_the_terminal_that_shows_it() {
        let fine = "Schlüssel \u{5e9}\u{5dc}\u{5d5}\u{5dd}";
        assert_eq!(wrong(fine, fine, fine, fine), Vec::<String>::new());
        for bad in [
            "\u{1b}[2J",
            "\0",
            "\r",
            "\u{9b}",
            "\u{200e}",
            "\u{200f}",
            "\u{202a}",
            "\u{202e}",
            "\u{2066}",
            "\u{2069}",
        ] {
            let bad = format!("a{bad}b");
            let found = wrong(&bad, &bad, &bad, &bad);
            let all = ["title", "description", "owner", "credentials.ci.scope"];
            assert_eq!(found, all, "{bad:?}");
        }
        // Only what is shown apart has paragraphs.
        let lines = "one\n\ttwo\n";
        let found = wrong(lines, lines, lines, lines);
        assert_eq!(found, ["title", "owner", "credentials.ci.scope"]);
    }
}
