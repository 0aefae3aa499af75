//! Guessing is made slow: failed attempts are counted for the account and for the address, in the
//! store, so that it does not help to ask another replica.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use kernel::{Change, Means, NewEvent, Outcome, Record, Turn, anew};
use serde_json::json;

use super::{Identity, as_themselves};
use crate::{
    clock::after,
    refusal::Refusal,
    state::{Attempts, KnownPlace, digest, random_token},
};

/// How long a failed attempt is remembered.
const REMEMBERED: Duration = Duration::from_hours(1);
/// The longest wait: who has forgotten a password is not kept out for a day by somebody who guesses.
const LONGEST: Duration = Duration::from_mins(5);

/// What attempts are counted for.
pub(super) struct Gate {
    /// For the message: `this account`.
    what: &'static str,
    name: String,
    /// Attempts that may fail before the first wait.
    free: u32,
    /// Whether a success forgives all that failed before: it does for an account, and does not for an
    /// address, from which somebody could log in to their own account in between.
    forgiving: bool,
}

impl Gate {
    fn new(what: &'static str, kind: &str, of: &str, free: u32, forgiving: bool) -> Self {
        let name = digest(format!("{kind}\n{of}"));
        Self {
            what,
            name,
            free,
            forgiving,
        }
    }
}

/// One second after the first attempt too many, twice as long after each further one.
fn wait(failed: u32, free: u32) -> Duration {
    match failed.checked_sub(free) {
        None | Some(0) => Duration::ZERO,
        Some(over) => Duration::from_secs(1)
            .saturating_mul(2u32.saturating_pow(over - 1))
            .min(LONGEST),
    }
}

/// Where somebody enters a password, as far as they have entered the right one there before.
pub(super) enum Place<'a> {
    /// The browser with this cookie.
    Device(&'a str),
    /// The address.
    Address,
    /// Neither.
    New,
}

/// How long a place is known after the last login there.
const KNOWN: Duration = Duration::from_hours(90 * 24);

fn device_place(account: &str, device: &str) -> String {
    digest(format!("device\n{account}\n{device}"))
}

fn address_place(account: &str, address: &str) -> String {
    digest(format!("address\n{account}\n{address}"))
}

impl Identity {
    /// Wrong passwords hold up their own address first. By the name alone, which is no secret, an account
    /// is held up only after so many that somebody guesses from everywhere; and not for whoever comes from
    /// where its owner has logged in before. A browser of the owner's is held up by what is tried in it, and
    /// nothing else.
    pub(super) fn password_gates(account: &str, address: &str, place: &Place<'_>) -> Vec<Gate> {
        let from_here = format!("{account}\n{address}");
        let here = || Gate::new("this account", "password-here", &from_here, 5, true);
        let everywhere = || Gate::new("this account", "password", account, 200, true);
        let what = "passwords from your address";
        let of_address = || Gate::new(what, "password-address", address, 30, false);
        match place {
            Place::Device(device) => {
                let of_device = format!("{account}\n{device}");
                vec![Gate::new(
                    "this account",
                    "password-device",
                    &of_device,
                    5,
                    true,
                )]
            }
            Place::Address => vec![here(), of_address()],
            Place::New => vec![here(), everywhere(), of_address()],
        }
    }

    /// What is known of where a password for `account` is entered.
    pub(super) async fn place<'a>(
        &self,
        account: &str,
        address: &str,
        device: Option<&'a str>,
    ) -> Result<Place<'a>, Refusal> {
        if let Some(device) = device
            && self.is_known(&device_place(account, device)).await?
        {
            return Ok(Place::Device(device));
        }
        Ok(if self.is_known(&address_place(account, address)).await? {
            Place::Address
        } else {
            Place::New
        })
    }

    async fn is_known(&self, place: &str) -> Result<bool, Refusal> {
        let known = self.store.record::<KnownPlace>(place).await?;
        Ok(known.is_some_and(|known| known.expires > self.clock.now()))
    }

    /// Knows from now on where the owner of `account` has logged in; gives what tells the browser.
    pub(super) async fn place_remember(
        &self,
        account: &str,
        address: &str,
        place: &Place<'_>,
    ) -> Result<String, Refusal> {
        let device = match place {
            Place::Device(device) => (*device).to_owned(),
            // What a browser brings that is not known may be somebody else's, too.
            Place::Address | Place::New => random_token()?,
        };
        let places = [
            device_place(account, &device),
            address_place(account, address),
        ];
        anew(|| async {
            let expires = after(self.clock.now(), KNOWN);
            let mut change = Change::new();
            for place in &places {
                let known = self.store.record::<KnownPlace>(place).await?;
                change.keep(&match known {
                    Some(known) => Record { expires, ..known },
                    None => Record::new(place, expires, KnownPlace {}),
                })?;
            }
            self.store.commit(change).await?;
            Ok::<_, Refusal>(())
        })
        .await?;
        Ok(device)
    }

    pub(super) fn code_gates(subject: &str, address: &str) -> [Gate; 2] {
        [
            Gate::new("device codes", "user-code", subject, 5, true),
            Gate::new(
                "device codes from your address",
                "user-code-address",
                address,
                30,
                false,
            ),
        ]
    }

    /// A secret of ours has 256 bits, and a signed token cannot be made: neither is guessed. So a right
    /// one always passes, and wrong ones are counted for their address alone: by the name of a client,
    /// which is no secret, anybody could hold up its owner.
    pub(super) async fn secret_refused(&self, refusal: Refusal, address: &str) -> Refusal {
        let gates = [Gate::new(
            "client secrets from your address",
            "secret-address",
            address,
            30,
            false,
        )];
        let held_up = async {
            self.attempts_left(&gates).await?;
            self.attempt_failed(&gates).await
        };
        held_up.await.err().unwrap_or(refusal)
    }

    async fn attempts(&self, gate: &Gate) -> Result<Record<Attempts>, Refusal> {
        let now = self.clock.now();
        let fresh = Attempts {
            failed: 0,
            next: Timestamp::MIN,
        };
        Ok(match self.store.record::<Attempts>(&gate.name).await? {
            Some(record) if record.expires > now => record,
            // Its time is over: written over, and not beside.
            Some(record) => Record {
                value: fresh,
                ..record
            },
            None => Record::new(&gate.name, after(now, REMEMBERED), fresh),
        })
    }

    /// Refuses while one of the gates is shut. For secrets that are long enough never to be guessed:
    /// attempts under way at once are not counted against each other.
    pub(super) async fn attempts_left(&self, gates: &[Gate]) -> Result<(), Refusal> {
        for gate in gates {
            self.is_open(gate, &self.attempts(gate).await?)?;
        }
        Ok(())
    }

    fn is_open(&self, gate: &Gate, attempts: &Record<Attempts>) -> Result<(), Refusal> {
        let (now, next) = (self.clock.now(), attempts.value.next);
        if next <= now {
            return Ok(());
        }
        let left = Duration::try_from(next.duration_since(now)).unwrap_or_default();
        Err(Refusal::wait(gate.what, left))
    }

    /// Counts an attempt as failed before it is made, so that a thousand at once are not one; refuses
    /// while one of the gates is shut.
    pub(super) async fn attempt(&self, gates: &[Gate]) -> Result<(), Refusal> {
        let _turns = self.attempts_in_turn(gates).await;
        anew(|| self.count(gates, true)).await
    }

    /// Counts an attempt that failed.
    pub(super) async fn attempt_failed(&self, gates: &[Gate]) -> Result<(), Refusal> {
        let _turns = self.attempts_in_turn(gates).await;
        anew(|| self.count(gates, false)).await
    }

    /// Those who share a gate, as everybody in an office does who comes from one address, count one after another:
    /// at once they would overtake each other until one of them is refused for it.
    async fn attempts_in_turn(&self, gates: &[Gate]) -> Vec<Turn> {
        // In one order for all, so that no two wait for each other.
        let names: BTreeSet<_> = gates.iter().map(|gate| &gate.name).collect();
        let mut turns = Vec::with_capacity(names.len());
        for name in names {
            turns.push(self.attempts.of(name).await);
        }
        turns
    }

    /// Counts a failed attempt; with `only_open`, only where the gates are open as they are read.
    async fn count(&self, gates: &[Gate], only_open: bool) -> Result<(), Refusal> {
        let now = self.clock.now();
        let mut change = Change::new();
        for gate in gates {
            let mut record = self.attempts(gate).await?;
            if only_open {
                self.is_open(gate, &record)?;
            }
            record.value.failed = record.value.failed.saturating_add(1);
            record.value.next = after(now, wait(record.value.failed, gate.free));
            record.expires = after(now, REMEMBERED);
            change.keep(&record)?;
            if record.value.failed == gate.free + 1 {
                change.event(NewEvent::caused(
                    "login.held-up",
                    kernel::Key {
                        kind: "Attempts".into(),
                        scope: String::new(),
                        name: gate.name.clone(),
                    },
                    "",
                    &as_themselves("anonymous", Means::Nothing),
                    Some(Outcome::Fail),
                    json!({ "what": gate.what, "failed": record.value.failed }),
                ));
            }
        }
        self.store.commit(change).await?;
        Ok(())
    }

    /// Takes back the count of an attempt that succeeded.
    pub(super) async fn attempt_succeeded(&self, gates: &[Gate]) -> Result<(), Refusal> {
        let _turns = self.attempts_in_turn(gates).await;
        anew(|| async {
            let mut change = Change::new();
            for gate in gates {
                let mut record = self.attempts(gate).await?;
                if record.version == 0 {
                    continue;
                }
                if gate.forgiving || record.value.failed <= 1 {
                    change.take(&record);
                } else {
                    record.value.failed -= 1;
                    record.value.next = Timestamp::MIN;
                    change.keep(&record)?;
                }
            }
            self.store.commit(change).await?;
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<_> = (4..9).map(|failed| wait(failed, 5).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4]);
        assert_eq!(wait(14, 5).as_secs(), 256);
        assert_eq!(wait(u32::MAX, 5), LONGEST);
    }
}
