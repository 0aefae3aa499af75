//! Guessing is made slow: failed attempts are counted for the account and for the address, in the
//! store, so that it does not help to ask another replica. Those who share one of the two are looked at one
//! after another, so that nobody is refused because others are at it, and a thousand guesses at once are not one:
//! whoever guesses has as many tries at once as there are replicas, and no more.

use std::{collections::BTreeSet, future::ready, time::Duration};

use jiff::Timestamp;
use kernel::{Change, Error, Means, NewEvent, Outcome, Record, Store, Turn, anew};
use serde_json::json;

use super::{Identity, as_themselves};
use crate::{
    clock::{Clock, after},
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

    pub(super) fn code_gates(subject: &str, address: &str) -> Vec<Gate> {
        vec![
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
        let gates = vec![Gate::new(
            "client secrets from your address",
            "secret-address",
            address,
            30,
            false,
        )];
        let none_passes = ready(Ok::<Option<()>, Refusal>(None));
        let held_up = self.attempt(gates, none_passes).await;
        held_up.err().unwrap_or(refusal)
    }

    /// An attempt at `gates`: refused while one of them is shut, and else what `check` finds. That it finds nothing
    /// is counted before anybody else has a try there; that it cannot tell is not.
    pub(super) async fn attempt<T, E>(
        &self,
        gates: Vec<Gate>,
        check: impl Future<Output = Result<Option<T>, E>> + Send + 'static,
    ) -> Result<Option<T>, Refusal>
    where
        T: Send + 'static,
        E: Send + 'static,
        Refusal: From<E>,
    {
        let turns = self.attempts_in_turn(&gates).await;
        let failures = Failures {
            store: self.store.clone(),
            clock: self.clock.clone(),
        };
        for gate in &gates {
            failures.is_open(gate).await?;
        }
        // In a task of its own: whoever hangs up has tried all the same, and the next does not begin before what
        // they have us work at is over.
        let attempt = tokio::spawn(async move {
            let _turns = turns;
            let found = check.await?;
            // Another replica may count at the same gates.
            if found.is_some() {
                anew(|| failures.forgive(&gates)).await?;
            } else {
                anew(|| failures.count(&gates)).await?;
            }
            Ok::<_, Refusal>(found)
        });
        match attempt.await {
            Ok(found) => found,
            Err(error) => Err(Error::internal("an attempt was not looked at", error).into()),
        }
    }

    /// Those who share a gate, as everybody in an office does who comes from one address, have it one after another.
    async fn attempts_in_turn(&self, gates: &[Gate]) -> Vec<Turn> {
        // In one order for all, so that no two wait for each other.
        let names: BTreeSet<_> = gates.iter().map(|gate| &gate.name).collect();
        let mut turns = Vec::with_capacity(names.len());
        for name in names {
            turns.push(self.attempts.of(name).await);
        }
        turns
    }
}

/// What has failed at gates.
struct Failures {
    store: Store,
    clock: Clock,
}

impl Failures {
    async fn of(&self, gate: &Gate) -> Result<Record<Attempts>, Refusal> {
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

    /// Refuses while a gate is shut.
    async fn is_open(&self, gate: &Gate) -> Result<(), Refusal> {
        let next = self.of(gate).await?.value.next;
        let now = self.clock.now();
        if next <= now {
            return Ok(());
        }
        let left = Duration::try_from(next.duration_since(now)).unwrap_or_default();
        Err(Refusal::wait(gate.what, left))
    }

    /// Counts a failed attempt.
    async fn count(&self, gates: &[Gate]) -> Result<(), Refusal> {
        let now = self.clock.now();
        let mut change = Change::new();
        for gate in gates {
            let mut record = self.of(gate).await?;
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

    /// Forgives what failed before, where a success does that.
    async fn forgive(&self, gates: &[Gate]) -> Result<(), Refusal> {
        let mut failed = Vec::new();
        for gate in gates.iter().filter(|gate| gate.forgiving) {
            let record = self.of(gate).await?;
            if record.value.failed > 0 {
                failed.push(record);
            }
        }
        // Whoever knows their password, as a rule: nothing is written for them.
        if failed.is_empty() {
            return Ok(());
        }
        let mut change = Change::new();
        for record in &failed {
            change.take(record);
        }
        self.store.commit(change).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::{Guard, Sealer};
    use policy::{Bundle, RegoAuthorizer};
    use testkit::Database;
    use tokio::sync::oneshot;

    use super::*;
    use crate::Settings;

    #[tokio::test]
    async fn whoever_hangs_up_has_tried_all_the_same() {
        let database = Database::of_test().await;
        let store = Store::open(&database.url(), Sealer::generate().unwrap())
            .await
            .unwrap();
        let authorizer = Arc::new(RegoAuthorizer::new(&Bundle::default()).unwrap());
        let guard = Guard::new(store.clone(), authorizer);
        let settings = Settings::new("http://127.0.0.1:7070");
        let clock = Clock::manual(Timestamp::now());
        let identity = Identity::start(store, guard, settings, clock)
            .await
            .unwrap();
        // Each at another account, and all from one address.
        let gates = |account: &str| Identity::password_gates(account, "192.0.2.1", &Place::New);
        for number in 0..31 {
            let (begins, begun) = oneshot::channel();
            let (ends, end) = oneshot::channel();
            let check = async move {
                begins.send(()).unwrap();
                end.await.unwrap();
                Ok::<Option<()>, Refusal>(None)
            };
            tokio::select! {
                _ = identity.attempt(gates(&format!("user-{number}")), check) => panic!("it is over"),
                begun = begun => begun.unwrap(),
            }
            ends.send(()).expect("it goes on");
        }
        let passes = ready(Ok::<_, Refusal>(Some(())));
        let refusal = identity.attempt(gates("ada"), passes).await.unwrap_err();
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(1)));
    }

    #[test]
    fn waits_double_up_to_five_minutes() {
        let waits: Vec<_> = (4..9).map(|failed| wait(failed, 5).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4]);
        assert_eq!(wait(14, 5).as_secs(), 256);
        assert_eq!(wait(u32::MAX, 5), LONGEST);
    }
}
