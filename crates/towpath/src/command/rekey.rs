//! `towpath rekey`

use std::path::PathBuf;

use clap::Args;
use kernel::{SealedBy, sealer::GivenKey, store::KeyChange};

use super::deploy::Wait;
use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    progress,
    render::table::fields,
    secret_file,
};

/// Seal every secret with the platform's current key
///
/// With --new-key the platform draws another key and seals with that, and goes on serving meanwhile. Replicas take the
/// new key one by one; when all have it, all seal with it. After that, the former key is needed only for older copies
/// of the store: its file is kept beside the new one's.
///
/// A platform whose key is in TOWPATH_PLATFORM_KEY cannot write the new one there. Draw it, put it where the next start
/// finds it, and give it with --new-key-file. Until every replica was started with the new key, the store keeps it
/// sealed with the former one, so that either opens it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath rekey --new-key\n  towpath rekey --new-key-file new.key\n  towpath rekey\n  towpath rekey --status\n  towpath rekey --forget-former"
)]
pub(crate) struct Rekey {
    /// Draw another key first
    #[arg(long, conflicts_with = "status")]
    new_key: bool,
    /// Seal with the key in this file from now on; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_key", "status"])]
    new_key_file: Option<PathBuf>,
    /// Have the store forget the former key, once every replica is started with the new one; by itself it does so when
    /// it has seen that
    #[arg(long, conflicts_with_all = ["new_key", "new_key_file", "status"])]
    forget_former: bool,
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
        } else if self.forget_former {
            client.forget_former_key().await?
        } else {
            let asked = match &self.new_key_file {
                Some(file) => {
                    let text = secret_file::read(file, "the platform's new key").await?;
                    let key = Some(text.text()?.to_owned());
                    let asked = client.rekey_by(&GivenKey { key }).await?;
                    if asked.change.is_none() {
                        return Err(not_taken());
                    }
                    asked
                }
                None => client.rekey(self.new_key).await?,
            };
            if self.wait.no_wait() {
                asked
            } else {
                progress::until(&self.wait, "the sealing of all secrets", async || {
                    let now = client.keys().await?;
                    Ok(is_done(&now).then_some(now))
                })
                .await?
            }
        };
        context.answer(&state, || text(&state))
    }
}

/// That an older platform has not read which key it was to take.
fn not_taken() -> Failure {
    let message =
        "the platform has not taken the given key: it is older, and may have drawn one of its own";
    Failure::new(Exit::Failed, message).remedy("see `towpath rekey --status`, and update it")
}

fn is_done(state: &SealedBy) -> bool {
    let is_over = |change: &KeyChange| change.done;
    state.remaining == 0 && state.former.is_empty() && state.change.as_ref().is_none_or(is_over)
}

fn text(state: &SealedBy) -> String {
    let former: Vec<_> = state.former.iter().map(ToString::to_string).collect();
    let mut all = vec![
        ("Key", state.current.to_string()),
        ("Also needed", former.join(", ")),
        ("Secrets", state.secrets.to_string()),
        ("Sealed by others", state.remaining.to_string()),
    ];
    if let Some(change) = &state.change {
        all.push(("Change", told(change)));
        all.push(("Waits for", waits_for(change)));
    }
    fields(&all)
}

fn told(change: &KeyChange) -> String {
    let KeyChange { key, former, .. } = change;
    if change.done {
        format!(
            "to {key}, which has sealed everything.\nThe store keeps it sealed by {former}, too, until every replica was \
             started with it.\nSet it where their next start finds it, and start them anew; if one of them is no more,\n\
             `towpath rekey --forget-former` ends the change."
        )
    } else if change.in_use {
        format!("to {key}, which seals from now on; what {former} has sealed is sealed again")
    } else {
        format!("to {key}, which seals when every replica has it")
    }
}

/// The replicas that a change does not go on without, and why, one a line.
fn waits_for(change: &KeyChange) -> String {
    let waited = change.replicas.iter().filter(|replica| {
        if change.in_use {
            !replica.keeps
        } else {
            replica.alive && !replica.ready
        }
    });
    let lines: Vec<_> = waited
        .map(|replica| {
            let gone = if replica.alive { "" } else { " (is gone)" };
            match &replica.reason {
                Some(reason) => format!("{}{gone}: {reason}", replica.name),
                None => format!("{}{gone}", replica.name),
            }
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use kernel::store::KeyHolder;

    use super::*;

    fn state(in_use: bool, done: bool) -> SealedBy {
        let sealer = kernel::Sealer::generate().expect("a key");
        let other = kernel::Sealer::generate().expect("a key");
        let holder = |name: &str, alive, ready| KeyHolder {
            name: name.into(),
            alive,
            ready,
            keeps: false,
            reason: None,
        };
        SealedBy {
            current: sealer.current(),
            former: vec![],
            secrets: 3,
            remaining: 0,
            change: Some(KeyChange {
                key: sealer.current(),
                former: other.current(),
                since: jiff::Timestamp::UNIX_EPOCH,
                in_use,
                done,
                replicas: vec![holder("one/1", true, false), holder("two/2", false, true)],
            }),
        }
    }

    #[test]
    fn a_change_is_waited_for_until_all_is_sealed_by_the_new_key() {
        let announced = state(false, false);
        assert!(!is_done(&announced), "nothing seals by it yet");
        let said = text(&announced);
        assert!(said.contains("one/1") && !said.contains("two/2"), "{said}");
        assert!(!is_done(&state(true, false)));

        let done = state(true, true);
        assert!(is_done(&done));
        let said = text(&done);
        assert!(said.contains("two/2 (is gone)"), "{said}");
        assert!(said.contains("--forget-former"), "{said}");
        let forgotten = SealedBy {
            change: None,
            ..done
        };
        assert!(is_done(&forgotten));
        assert!(!text(&forgotten).contains("--forget-former"));
    }
}
