//! By what automation reaches a tool: whose that is, where it is kept, and when it comes to its end (E-011 to
//! E-014). Never its value.

use jiff::{Span, Timestamp, tz::TimeZone};
use kernel::{Name, Problem};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// By what automation reaches a tool. Never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolCredential {
    /// Whose it is.
    pub kind: CredentialKind,
    /// The team that answers for it, and is reminded.
    #[schema(value_type = String)]
    pub owner: Name,
    /// The subject whose personal one it is: `local:ada`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// What it may there, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Where its value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptIn>,
    /// When it comes to its end.
    #[serde(
        default,
        deserialize_with = "rfc3339",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
    /// How many days before that its owner is reminded.
    #[serde(default = "month")]
    pub remind_days: u16,
}

fn month() -> u16 {
    30
}

/// Whose a credential is: which says what it dies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A person's: it dies when they leave.
    Personal,
    /// A team's at the tool.
    Team,
    /// The organization's there.
    Organization,
    /// A machine user's, which no single person controls.
    ServiceAccount,
    /// None at all: both sides trust each other.
    Oidc,
}

impl CredentialKind {
    /// The word for it, as documents have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Team => "team",
            Self::Organization => "organization",
            Self::ServiceAccount => "service_account",
            Self::Oidc => "oidc",
        }
    }
}

/// Where a credential's value is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeptIn {
    /// In the secret of this name, of the team that the credential is of.
    Secret(String),
    /// Sealed beside the integration of this name.
    #[schema(value_type = String)]
    Integration(Name),
}

/// How near a credential is to its end.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Due {
    /// It is time to see to it.
    Expiring,
    /// It is past it.
    Expired,
}

/// That somebody was reminded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reminded {
    /// Which team: another one that answers for it is told of anew. Empty: before that was kept.
    #[serde(default)]
    pub owner: String,
    /// Of which end: another is told of anew.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// How near that was.
    pub due: Due,
}

/// A time as RFC 3339 writes it. What is there is not repeated: it may stand in the wrong place.
fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let wrong = || D::Error::custom("write a time of RFC 3339, such as 2030-01-31T00:00:00Z");
    let Some(text) = Option::<String>::deserialize(deserializer).map_err(|_| wrong())? else {
        return Ok(None);
    };
    let bytes = text.as_bytes();
    // The year has four digits, and what follows the offset is of RFC 9557.
    let begins = bytes
        .get(..4)
        .is_some_and(|year| year.iter().all(u8::is_ascii_digit));
    let is_split = matches!(bytes.get(10), Some(b'T' | b't'));
    let ends = matches!(bytes.last(), Some(b'Z' | b'z'))
        || bytes.len() > 6
            && bytes[bytes.len() - 3] == b':'
            && b"+-".contains(&bytes[bytes.len() - 6]);
    let parsed = text.parse().ok().filter(|_| begins && is_split && ends);
    parsed.map(Some).ok_or_else(wrong)
}

/// The longest name of what is not ours: a group, a subject, a secret.
pub(super) const FOREIGN: usize = 256;
/// The longest that one is reminded beforehand, in days.
const YEAR: u16 = 366;

/// By the rule of those who keep secrets. Most values of credentials are none, and are refused here.
fn is_secret_name(text: &str) -> bool {
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| outer(c) || matches!(c, '.' | '_' | '-');
    let is_word =
        |word: &str| word.starts_with(outer) && word.ends_with(outer) && word.chars().all(inner);
    text.len() <= FOREIGN && text.split('/').all(is_word)
}

impl ToolCredential {
    pub(super) fn problems(&self, name: &Name) -> Vec<Problem> {
        let at = |field: &str| format!("credentials.{name}.{field}");
        let mut found = Vec::new();
        let is_personal = self.kind == CredentialKind::Personal;
        match &self.person {
            Some(person) if is_personal => {
                let is_subject = person.len() <= FOREIGN
                    && !person.contains(kernel::cause::controls)
                    && person
                        .split_once(':')
                        .is_some_and(|(of, who)| !of.is_empty() && !who.is_empty());
                if !is_subject {
                    let what = "it is nobody's subject";
                    found.push(
                        Problem::new("tool/person", at("person"), what)
                            .remedy("write SOURCE:ID, as `towpath whoami` says it: local:ada"),
                    );
                }
            }
            Some(_) => found.push(
                Problem::new(
                    "tool/person",
                    at("person"),
                    "only a personal one is a person's",
                )
                .remedy("leave it out, or say `kind: personal`"),
            ),
            None if is_personal => found.push(
                Problem::new("tool/person", at("person"), "it is not said whose it is")
                    .remedy("write their subject, SOURCE:ID: what breaks with them is told by it"),
            ),
            None => {}
        }
        if let Some(KeptIn::Secret(secret)) = &self.kept
            && !is_secret_name(secret)
        {
            let what = "it is no name of a secret";
            found
                .push(Problem::new("tool/kept", at("kept.secret"), what).remedy(
                    "write the name, as `towpath secret list` has it, and never the value",
                ));
        }
        if !(1..=YEAR).contains(&self.remind_days) {
            found.push(
                Problem::new(
                    "tool/remind",
                    at("remindDays"),
                    "it is no number of days beforehand",
                )
                .remedy(format!("write 1 to {YEAR}")),
            );
        }
        found
    }

    /// When its owner is reminded; none where no end is said.
    pub fn reminds(&self) -> Option<Timestamp> {
        let days = Span::new().days(i64::from(self.remind_days.min(YEAR)));
        let expires = self.expires?.to_zoned(TimeZone::UTC);
        // Before the beginning of time nobody is reminded.
        let at = expires.checked_sub(days);
        Some(at.map_or(Timestamp::MIN, |at| at.timestamp()))
    }

    /// How near it is to its end by now; none: not near, or it has none.
    pub fn due(&self, now: Timestamp) -> Option<Due> {
        let expires = self.expires?;
        match self.reminds()? {
            _ if expires <= now => Some(Due::Expired),
            reminds if reminds <= now => Some(Due::Expiring),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn credential(with: Value) -> serde_json::Result<ToolCredential> {
        let mut all = json!({ "kind": "team", "owner": "payments" });
        all.as_object_mut()
            .unwrap()
            .extend(with.as_object().unwrap().clone());
        serde_json::from_value(all)
    }

    #[test]
    fn an_end_is_a_time_of_rfc_3339() {
        for good in [
            "2030-01-31T00:00:00Z",
            "2030-01-31t01:02:03.5+02:00",
            "2030-01-31T01:02:03-08:00",
        ] {
            assert!(
                credential(json!({ "expires": good }))
                    .unwrap()
                    .expires
                    .is_some(),
                "{good}"
            );
        }
        assert_eq!(
            credential(json!({ "expires": null })).unwrap().expires,
            None
        );
        for bad in [
            json!("2030-01-31"),
            json!("2030-01-31T00:00:00"),
            json!("2030-01-31 00:00:00Z"),
            json!("2030-01-31T00:00:00+02"),
            json!("2030-01-31T00:00:00Z[UTC]"),
            json!("2030-02-30T00:00:00Z"),
            json!("+02030-01-31T00:00:00Z"),
            json!("canary"),
            json!(""),
            json!("ééééééé:00"),
            json!(1_900_000_000),
            json!({}),
        ] {
            let error = credential(json!({ "expires": bad }))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("RFC 3339") && !error.contains("canary"),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn one_is_reminded_in_time_and_whatever_the_end_is() {
        let end: Timestamp = "2030-01-31T00:00:00Z".parse().unwrap();
        let one = credential(json!({ "expires": end.to_string(), "remindDays": 10 })).unwrap();
        let at = |text: &str| one.due(text.parse().unwrap());
        assert_eq!(at("2030-01-20T23:59:59Z"), None);
        assert_eq!(at("2030-01-21T00:00:00Z"), Some(Due::Expiring));
        assert_eq!(at("2030-01-30T23:59:59Z"), Some(Due::Expiring));
        assert_eq!(at("2030-01-31T00:00:00Z"), Some(Due::Expired));
        assert_eq!(credential(json!({})).unwrap().due(end), None);
        let first = ToolCredential {
            expires: Some(Timestamp::MIN),
            ..one
        };
        assert_eq!(first.due(end), Some(Due::Expired));
    }
}
