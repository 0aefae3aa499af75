//! Workload identity: tokens of other issuers that are taken for one of a team's service accounts.

use std::collections::BTreeMap;

use kernel::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a team trusts: a token of this issuer, for this audience, with these claims, is one of its
/// service accounts. Scope: the team.
#[derive(Debug)]
pub enum WorkloadTrust {}

impl Kind for WorkloadTrust {
    const KIND: &'static str = "WorkloadTrust";
    type Spec = WorkloadTrustSpec;
    type Status = ();

    fn listed_by(team: &str) -> Option<String> {
        Some(format!("towpath trust list --team {team}"))
    }
}

/// Which tokens are trusted, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadTrustSpec {
    /// The issuer, exactly as its tokens name it: `https://token.actions.githubusercontent.com`,
    /// `https://gitlab.com`, `https://oidc.circleci.com/org/ORG`.
    pub issuer: String,
    /// The audience that the token must be for; the platform's own where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What each named claim must be. `*` in a pattern stands for any text without `/` and `:`, `**`
    /// for any text. At least one must narrow the issuer down: everybody's pipelines have its tokens.
    pub claims: BTreeMap<String, String>,
    /// The service account of the same team that the token stands for.
    pub service_account: String,
}

/// The first rule that the claims do not meet.
pub fn unmet_rule<'r>(
    rules: &'r BTreeMap<String, String>,
    claims: &Map<String, Value>,
) -> Option<&'r str> {
    rules
        .iter()
        .find(|(name, pattern)| {
            let met = match claims.get(*name) {
                Some(Value::String(text)) => matches(pattern, text),
                Some(Value::Bool(_) | Value::Number(_)) => {
                    matches(pattern, &claims[name.as_str()].to_string())
                }
                Some(Value::Array(items)) => items
                    .iter()
                    .any(|item| item.as_str().is_some_and(|text| matches(pattern, text))),
                _ => false,
            };
            !met
        })
        .map(|(name, _)| name.as_str())
}

/// Whether `text` is as `pattern` says. Only the last star of each sort is ever widened, so that no
/// pattern takes exponential time.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (tokens(pattern), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut narrow: Option<(usize, usize)> = None;
    let mut wide: Option<(usize, usize)> = None;
    loop {
        if t == text.len() && pattern[p..].iter().all(|c| [NARROW, WIDE].contains(c)) {
            return true;
        }
        match pattern.get(p) {
            Some(&NARROW) => {
                narrow = Some((p, t));
                p += 1;
                continue;
            }
            Some(&WIDE) => {
                wide = Some((p, t));
                narrow = None;
                p += 1;
                continue;
            }
            Some(c) if text.get(t) == Some(c) => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        // A star takes one character more: the last one, and where that may not, the last wide one.
        narrow = narrow.filter(|(_, at)| text.get(*at).is_some_and(|c| !['/', ':'].contains(c)));
        let star = match (&mut narrow, &mut wide) {
            (Some(star), _) => star,
            (None, Some(star)) if star.1 < text.len() => star,
            _ => return false,
        };
        star.1 += 1;
        (p, t) = (star.0 + 1, star.1);
    }
}

/// Stars as they are in a pattern that was taken apart: characters that no claim has.
const NARROW: char = '\u{10FFFE}';
const WIDE: char = '\u{10FFFF}';

fn tokens(pattern: &str) -> Vec<char> {
    let mut out = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' if chars.next_if_eq(&'*').is_some() => WIDE,
            '*' => NARROW,
            // What looks like one of ours in a pattern would match too much.
            NARROW | WIDE => '\u{FFFD}',
            c => c,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_match_as_they_say() {
        for (pattern, text) in [
            (
                "repo:acme/web:ref:refs/heads/main",
                "repo:acme/web:ref:refs/heads/main",
            ),
            (
                "repo:acme/*:ref:refs/heads/main",
                "repo:acme/web:ref:refs/heads/main",
            ),
            ("repo:acme/web:**", "repo:acme/web:ref:refs/heads/main"),
            ("**/main", "a/b/c/main"),
            ("*", "main"),
            ("**", "a/b"),
            ("a*b*c", "axxbyyc"),
            ("a**b*c", "a/b/b/bxc"),
            ("", ""),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            (
                "repo:acme/*:ref:refs/heads/main",
                "repo:acme/web/x:ref:refs/heads/main",
            ),
            ("repo:acme/*", "repo:acme/web:ref:refs/heads/evil"),
            ("repo:acme/web", "repo:acme/web2"),
            ("main", "xmain"),
            ("*", "a/b"),
            ("", "x"),
            ("a*b", "a/b"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn every_rule_must_be_met() {
        let rules = BTreeMap::from([
            ("ref".to_owned(), "refs/heads/main".to_owned()),
            ("repository".to_owned(), "acme/*".to_owned()),
        ]);
        let claims = |value: Value| value.as_object().unwrap().clone();
        let good = claims(json!({"ref": "refs/heads/main", "repository": "acme/web"}));
        assert_eq!(unmet_rule(&rules, &good), None);
        let bad = claims(json!({"ref": "refs/heads/main", "repository": "evil/web"}));
        assert_eq!(unmet_rule(&rules, &bad), Some("repository"));
        let missing = claims(json!({"repository": "acme/web"}));
        assert_eq!(unmet_rule(&rules, &missing), Some("ref"));
    }
}
