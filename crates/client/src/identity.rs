//! Who hangs on whom.

use jiff::Timestamp;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{Client, Result};

/// The keys that sign tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    /// The oldest first.
    pub keys: Vec<SigningKey>,
}

/// The public half of a key that signs tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// Names it in tokens.
    pub kid: String,
    /// Where it is in its life: `next`, `active` or `retired`.
    pub phase: String,
    /// Since when it is in this phase.
    pub since: Timestamp,
    /// When the last token that it signed has ended, once it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// All else that the platform says of it: the key itself.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// Automation that calls with people's logins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomationReport {
    /// The logins, by person.
    pub items: Vec<PersonalSession>,
    /// People's credentials by which automation reaches other tools.
    #[serde(default)]
    pub tools: Vec<PersonalCredential>,
    /// What cannot be told.
    pub unknown: Vec<String>,
}

/// A person's login at one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersonalSession {
    /// Its name.
    pub id: String,
    /// Whose.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// The program that logged them in.
    pub client: String,
    /// When.
    pub began: Timestamp,
    /// When its tokens were last renewed.
    pub renewed: Timestamp,
    /// When it ends if it is not renewed.
    pub ends: Timestamp,
    /// When automation last called with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation: Option<Timestamp>,
}

/// What hangs on one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// Who.
    pub subject: String,
    /// Their logins, which end with them; nothing is said of them where a team asks.
    #[serde(default)]
    pub ends: Vec<PersonalSession>,
    /// Their credentials at other tools, which may end with them.
    #[serde(default)]
    pub tools: Vec<PersonalCredential>,
    /// Keys that they drew, and have seen.
    pub seen: Vec<SeenKey>,
    /// Secrets of which they were told a value that is still worth something.
    #[serde(default)]
    pub told: Vec<Told>,
    /// What they made, and goes on.
    pub stays: Vec<Made>,
    /// Webhooks that they made, and go on sending.
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
    /// What cannot be told.
    pub unknown: Vec<String>,
}

/// A person's credential by which automation reaches a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalCredential {
    /// The tool.
    pub tool: String,
    /// The credential's name there.
    pub credential: String,
    /// Whose it is.
    pub person: String,
    /// The team that answers for it.
    pub team: String,
}

/// A valid key of a service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenKey {
    /// `TEAM/NAME`.
    pub account: String,
    /// The key's name.
    pub key: String,
    /// When it was drawn.
    pub drawn: Timestamp,
}

/// A value that somebody was told, and that is still worth something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// What it is of.
    pub kind: String,
    /// What its name is unique in: a team, an environment.
    pub scope: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub team: String,
    /// When they were told last.
    pub at: Timestamp,
}

/// Something that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its kind.
    pub kind: String,
    /// What its name is unique in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub team: String,
    /// When they made it.
    pub at: Timestamp,
}

/// A subscription that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Whose events it sends; empty: the platform's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// Its name.
    pub name: String,
    /// Where it sends them.
    pub url: String,
    /// When it was made.
    pub at: Timestamp,
}

/// What somebody who leaves a team knows of it, and what became of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepartureRotation {
    /// Who.
    pub subject: String,
    /// Whose things these are.
    pub team: String,
    /// Every thing that they know.
    pub items: Vec<DepartureItem>,
}

/// A thing that somebody who leaves knows, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepartureItem {
    /// What it is of.
    pub kind: String,
    /// What its name is unique in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Its name.
    pub name: String,
    /// Which key of it, or which credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What became of it: `ended`, `asked`, `by-hand` or `failed`.
    pub outcome: String,
    /// Why it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What people do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

impl Client {
    /// `GET identity/keys`: the keys that sign tokens, each with where it is in its life.
    pub async fn signing_keys(&self) -> Result<SigningKeys> {
        self.call(Method::GET, &["identity", "keys"]).read().await
    }

    /// `POST identity/keys/rotations`: the next key signs from now on; where the present one is `compromised`,
    /// what it signed is refused at once.
    pub async fn rotate_signing_key(&self, compromised: bool) -> Result<SigningKeys> {
        self.call(Method::POST, &["identity", "keys", "rotations"])
            .json(&serde_json::json!({ "compromised": compromised }))
            .read()
            .await
    }

    /// `GET identity/automation`: automation that calls with people's logins.
    pub async fn automation(&self) -> Result<AutomationReport> {
        self.call(Method::GET, &["identity", "automation"])
            .read()
            .await
    }

    /// `GET identity/automation/{subject}`: what hangs on one person.
    pub async fn departure(&self, subject: &str) -> Result<Departure> {
        self.call(Method::GET, &["identity", "automation", subject])
            .read()
            .await
    }

    /// `GET teams/{team}/departures/{subject}`: what of a team hangs on one person.
    pub async fn team_departure(&self, team: &str, subject: &str) -> Result<Departure> {
        self.call(Method::GET, &["teams", team, "departures", subject])
            .read()
            .await
    }

    /// `POST teams/{team}/departures/{subject}/rotate`: what of a team one person knows is rotated, as far as the
    /// platform can.
    pub async fn rotate_departure(&self, team: &str, subject: &str) -> Result<DepartureRotation> {
        let path = ["teams", team, "departures", subject, "rotate"];
        self.call(Method::POST, &path).read().await
    }
}
