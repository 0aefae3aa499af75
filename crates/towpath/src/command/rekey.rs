//! `towpath rekey`

use clap::Args;
use kernel::SealedBy;

use super::deploy::Wait;
use crate::{context::Context, failure::Result, progress, render::table::fields};

/// Seal every secret with the platform's current key
///
/// With --new-key the platform draws another key and seals with that, and goes on serving meanwhile. After that, the
/// former key is needed only for older copies of the store: its file is kept beside the new one's.
///
/// Replicas on Postgres, and a platform whose key is in TOWPATH_PLATFORM_KEY, take a new key only when they start:
/// with the new one as their key and the former one beside it (`towpath up --former-key-file`). Then this command,
/// without --new-key, seals everything with the new one.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath rekey --new-key\n  towpath rekey\n  towpath rekey --status"
)]
pub(crate) struct Rekey {
    /// Draw another key first. If a change is unfinished, continue that instead
    #[arg(long, conflicts_with = "status")]
    new_key: bool,
    /// Only show which keys secrets are sealed with
    #[arg(long)]
    status: bool,
    #[command(flatten)]
    wait: Wait,
}

impl Rekey {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.patient_client()?;
        let state = if self.status {
            client.keys().await?
        } else {
            let asked = client.rekey(self.new_key).await?;
            if self.wait.no_wait() {
                asked
            } else {
                progress::until(&self.wait, "the sealing of all secrets", async || {
                    let now = client.keys().await?;
                    Ok((now.remaining == 0 && now.former.is_empty()).then_some(now))
                })
                .await?
            }
        };
        context.answer(&state, || text(&state))
    }
}

fn text(state: &SealedBy) -> String {
    let former: Vec<_> = state.former.iter().map(ToString::to_string).collect();
    fields(&[
        ("Key", state.current.to_string()),
        ("Also needed", former.join(", ")),
        ("Secrets", state.secrets.to_string()),
        ("Sealed by others", state.remaining.to_string()),
    ])
}
