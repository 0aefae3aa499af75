//! `towpath service-account key`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use kernel::{Document, Secret};
use serde_json::json;

use super::{One, keys};
use crate::{
    context::Context,
    failure::Result,
    render::{quantity, table},
    secret_file::SecretFile,
};

/// Draw, list and revoke the keys of a service account
///
/// Two keys are valid at the same time, the newest and the one before it, so that a job that started with the older
/// one goes on.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    Create(Create),
    /// List the keys that are valid, by name; the keys themselves are not kept
    List(One),
    /// End one key and its tokens, at once
    Revoke {
        #[command(flatten)]
        one: One,
        /// The key, as `towpath service-account key list` names it
        key: String,
    },
}

/// Draw a key; if there is one, this is a rotation
///
/// The key is written to standard output, this once, or with --out to a file that only its owner can read (mode
/// 0600), and kept nowhere else. If two keys were valid, the older ends, with its tokens.
#[derive(Debug, Args)]
#[command(
    visible_alias = "rotate",
    after_long_help = "Examples:\n  towpath service-account key create ci --team payments --out ci.key\n  towpath service-account key create ci --team payments | gh secret set TOWPATH_KEY"
)]
pub(crate) struct Create {
    #[command(flatten)]
    one: One,
    /// Write it to this file, replacing what was there
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Create {
    async fn run(self, context: &Context) -> Result<()> {
        let One { name, team } = &self.one;
        let client = context.client()?;
        // A key that cannot be written down would have ended another for nothing.
        let file = self.out.as_deref().map(SecretFile::begin).transpose()?;
        let drawn = client.draw_key(&team.team, name).await?;
        if let Some(ended) = &drawn.ended {
            context.say(&format!("the key {ended} has ended, with its tokens"));
        }
        let (Some(file), Some(out)) = (file, &self.out) else {
            context.say(&format!(
                "key {} of {}, shown this once:",
                drawn.id, drawn.client_id
            ));
            return context.answer(&drawn, || drawn.client_secret.clone());
        };
        file.finish(&Secret::from(drawn.client_secret.as_str()))?;
        let out = out.display().to_string();
        let answer = json!({
            "id": drawn.id,
            "clientId": drawn.client_id,
            "file": out,
            "valid": drawn.valid,
            "ended": drawn.ended,
        });
        context.answer(&answer, || {
            format!(
                "key {} of {id} is in {out}: `towpath login --service-account {id} --key-file {out}`",
                drawn.id,
                id = drawn.client_id
            )
        })
    }
}

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List(one) => {
                let client = context.client()?;
                let found = client.service_account(&one.team.team, &one.name).await?;
                let items = found.status["keys"].as_array().cloned();
                let answer = json!({ "items": items.unwrap_or_default() });
                context.answer(&answer, || list(&found))
            }
            Self::Revoke { one, key } => {
                let client = context.client()?;
                client.revoke_key(&one.team.team, &one.name, &key).await?;
                context.answer(&json!({ "revoked": key }), || {
                    format!("key {key} of {} has ended, with its tokens", one.id())
                })
            }
        }
    }
}

/// The keys of an account.
pub(super) fn list(account: &Document) -> String {
    let valid = keys(account);
    let rows = valid.iter().enumerate().map(|(n, (id, drawn))| {
        let until = match n {
            0 => "two more are drawn",
            _ => "the next is drawn",
        };
        let drawn = drawn
            .parse::<Timestamp>()
            .map_or_else(|_| (*drawn).to_owned(), quantity::local);
        [(*id).to_owned(), drawn, until.to_owned()]
    });
    table::table(
        ["key", "drawn", "valid until"],
        rows.collect(),
        "There are no keys.",
    )
}
