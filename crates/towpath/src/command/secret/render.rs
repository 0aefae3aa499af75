//! Secrets for people: everything but their values.

use secrets::{
    api::{RotatedSecrets, Rotation},
    model::SecretInfo,
};

use crate::render::{
    quantity,
    table::{fields, table},
};

/// A list, one line each.
pub(super) fn list(found: &[SecretInfo]) -> String {
    let row = |secret: &SecretInfo| {
        let newest = secret.versions.first();
        [
            secret.name.clone(),
            secret.version.to_string(),
            newest.map_or_else(String::new, |v| quantity::local(v.created)),
            newest.and_then(|v| v.by.clone()).unwrap_or_default(),
            secret.origin.word().to_owned(),
            secret.description.clone(),
        ]
    };
    table(
        ["name", "version", "written", "by", "origin", "description"],
        found.iter().map(row).collect(),
        "There are no secrets.",
    )
}

/// One, with its versions.
pub(super) fn info(secret: &SecretInfo) -> String {
    let mut text = fields(&[
        ("Secret", secret.reference.clone()),
        ("Description", secret.description.clone()),
        ("Origin", secret.origin.word().to_owned()),
    ]);
    let row = |version: &secrets::model::Version| {
        [
            version.number.to_string(),
            quantity::local(version.created),
            version.by.clone().unwrap_or_default(),
        ]
    };
    text.push('\n');
    text.push_str(&table(
        ["version", "written", "by"],
        secret.versions.iter().map(row).collect(),
        "It has no versions.",
    ));
    text
}

/// What became of each secret of a rotation.
pub(super) fn rotated(rotated: &RotatedSecrets) -> String {
    let lines = rotated.items.iter().map(|item| {
        let name = &item.secret.reference;
        match item.rotation {
            Rotation::Rotated => format!("{name} is at version {}", item.secret.version),
            Rotation::Asked => format!("{name} will have a new value"),
            Rotation::Written => format!("{name} stays: whoever wrote it writes the next value"),
            Rotation::Already => format!(
                "{name} is at version {}, since a rotation that was not finished",
                item.secret.version
            ),
            Rotation::Failed => format!(
                "{name} was not rotated: {}",
                item.reason
                    .as_deref()
                    .unwrap_or("the platform does not say why")
            ),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
