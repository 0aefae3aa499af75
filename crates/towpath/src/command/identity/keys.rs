//! `towpath identity keys`

use clap::Subcommand;
use client::SigningKeys;

use crate::{
    context::Context,
    failure::{Failure, Result},
    render::{quantity, table::table},
};

/// See the keys that sign tokens, and rotate them
///
/// They are rotated every month by themselves. For operators.
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath identity keys list\n  towpath identity keys rotate\n  towpath identity keys rotate --compromised --confirm compromised"
)]
pub(crate) enum Keys {
    /// List the keys: the one that signs, the next one, and those whose tokens are still valid
    List,
    /// Make the next key sign from now on; existing tokens stay valid
    Rotate {
        /// The key is in somebody else's hands: every token that it signed is refused at once, and everybody has to
        /// renew theirs
        #[arg(long, requires = "confirm")]
        compromised: bool,
        /// `compromised`, once more, so that tokens do not end by mistake
        #[arg(long, value_name = "WORD", requires = "compromised")]
        confirm: Option<String>,
    },
}

impl Keys {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let found = match self {
            Self::List => client.signing_keys().await?,
            Self::Rotate {
                compromised,
                confirm,
            } => {
                if compromised && confirm.as_deref() != Some("compromised") {
                    return Err(Failure::usage(
                        "that every token is refused is not confirmed: add `--confirm compromised`",
                    ));
                }
                client.rotate_signing_key(compromised).await?
            }
        };
        context.answer(&found, || text(&found))
    }
}

fn text(found: &SigningKeys) -> String {
    let rows = found.keys.iter().map(|key| {
        [
            key.kid.clone(),
            key.phase.clone(),
            quantity::local(key.since),
            key.until.map(quantity::local).unwrap_or_default(),
        ]
    });
    let nothing = "There are no keys yet: the first is drawn with the first token.";
    table(
        ["key", "phase", "since", "kept until"],
        rows.collect(),
        nothing,
    )
}
