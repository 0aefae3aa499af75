//! `towpath rekey`

use clap::Args;
use kernel::SealedBy;

use super::deploy::Wait;
use crate::{context::Context, failure::Result, progress, render::table::fields};

/// Seal every secret by the platform's current key
///
/// The platform runs with the new key as its key and the former one beside it (`towpath up
/// --former-key-file`), and goes on serving. Once this is done, the former one is not needed any more.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  towpath rekey\n  towpath rekey --status")]
pub(crate) struct Rekey {
    /// Only show by which keys secrets are sealed
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
            let asked = client.rekey().await?;
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
