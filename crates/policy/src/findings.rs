//! What `deny` and `warn` evaluate to, read strictly: what is not understood must not be passed over.

use delivery::verify::Finding;
use serde::Deserialize;
use serde_json::Value;

/// What a rule puts into `deny` or `warn`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    rule: String,
    message: String,
    #[serde(default)]
    remedy: Option<String>,
}

/// The findings in a set's value, sorted by rule and message; or what is wrong with it.
pub(crate) fn read(set: &str, value: &regorus::Value) -> Result<Vec<Finding>, String> {
    let items = value.as_set().map_err(|_| {
        format!("`{set}` is no set: write `{set} contains {{\"rule\": ..., \"message\": ..., \"remedy\": ...}} if ...`")
    })?;
    let mut findings = Vec::with_capacity(items.len());
    for item in items {
        let item: Value = serde_json::to_value(item).map_err(|e| e.to_string())?;
        let found: Found = serde_json::from_value(item)
            .map_err(|e| format!("an element of `{set}` is not {{rule, message, remedy}}: {e}"))?;
        findings.push(Finding {
            rule: found.rule,
            message: found.message,
            remedy: found.remedy,
        });
    }
    findings.sort_by(|a, b| (&a.rule, &a.message).cmp(&(&b.rule, &b.message)));
    Ok(findings)
}
