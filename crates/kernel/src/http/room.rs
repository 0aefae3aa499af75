//! Room in memory for large bodies: so many bytes altogether, and a share of them for each who sends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{Caller, Error, Result};

/// So many bytes of large bodies are in memory at once.
const ALL: usize = 128 << 20;
/// So many of them are for operators alone, who mend what others have overloaded. A body that is larger waits as
/// everybody's do.
const KEPT: usize = 16 << 20;
/// So many of them are one team's or one caller's: as many as the largest body has that a route takes. Those who
/// are not known have one share together.
pub(super) const SHARE: usize = 32 << 20;
/// How long one waits for room. Whoever sends has their own limits, and tries again.
const WAIT: Duration = Duration::from_secs(10);

static ROOM: Semaphore = Semaphore::const_new(ALL - KEPT);
static FOR_OPERATORS: Semaphore = Semaphore::const_new(KEPT);
/// What is left of their shares, by who has something of it or waits for that.
static SHARES: Mutex<BTreeMap<String, Weak<Semaphore>>> = Mutex::new(BTreeMap::new());

/// Who sends a request. Put into its extensions as soon as that is known.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// Whose share it takes of.
    share: String,
    operates: bool,
}

impl Sender {
    /// The sender that `caller` is. A team makes as many service accounts as it likes: those who are of one team
    /// alone have its share together.
    pub(super) fn of(caller: &Caller) -> Self {
        let share = match caller.teams.as_slice() {
            [team] if !caller.admin => format!("team {team}"),
            _ => format!("caller {}", caller.subject),
        };
        Self {
            share,
            operates: caller.admin,
        }
    }
}

/// What a body takes of the room, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    share: OwnedSemaphorePermit,
    all: SemaphorePermit<'static>,
}

impl Room {
    /// Waits until there is room for `bytes`, a share at the most. `Unavailable` where there is none in time.
    pub(super) async fn of(sender: Option<&Sender>, bytes: usize) -> Result<Self> {
        let bytes = u32::try_from(bytes.min(SHARE)).unwrap_or(u32::MAX);
        let share = share_of(sender.map_or("", |sender| sender.share.as_str()));
        let operates = sender.is_some_and(|sender| sender.operates);
        let taking = async {
            // The share first: whoever has all of theirs stands in nobody's way.
            let share = share.acquire_many_owned(bytes).await?;
            let all = if operates {
                tokio::select! {
                    biased;
                    all = ROOM.acquire_many(bytes) => all,
                    kept = FOR_OPERATORS.acquire_many(bytes) => kept,
                }
            } else {
                ROOM.acquire_many(bytes).await
            }?;
            Ok::<_, AcquireError>(Self { share, all })
        };
        match timeout(WAIT, taking).await {
            Ok(taken) => {
                taken.map_err(|error| Error::internal("bodies are taken in no more", error))
            }
            Err(_) => Err(Error::unavailable(
                "there is no room for the body now, beside the large ones that are under way",
            )
            .remedy("try again later; who sends several large ones sends one after the other")
            .after(WAIT)),
        }
    }

    /// Gives back what the body, which has `bytes`, does not need.
    pub(super) fn fit(&mut self, bytes: usize) {
        let rest = self.all.num_permits().saturating_sub(bytes);
        drop((self.share.split(rest), self.all.split(rest)));
    }
}

fn share_of(sender: &str) -> Arc<Semaphore> {
    let mut shares = SHARES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(share) = shares.get(sender).and_then(Weak::upgrade) {
        return share;
    }
    // Here, where one is added, those go that are whole again.
    shares.retain(|_, share| share.strong_count() > 0);
    let share = Arc::new(Semaphore::new(SHARE));
    shares.insert(sender.to_owned(), Arc::downgrade(&share));
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn by(subject: &str, admin: bool) -> Sender {
        Sender::of(&Caller {
            subject: subject.into(),
            admin,
            ..Caller::local_admin()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn operators_have_room_where_others_have_taken_theirs() {
        let mut taken = Vec::new();
        for (subject, bytes) in [
            ("ada", SHARE),
            ("ben", SHARE),
            ("cleo", SHARE),
            ("dan", ALL - KEPT - 3 * SHARE),
        ] {
            taken.push(Room::of(Some(&by(subject, false)), bytes).await.unwrap());
        }
        let refused = Room::of(Some(&by("eve", false)), 1).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        let theirs = Room::of(Some(&by("olga", true)), 1 << 20).await;
        assert!(theirs.is_ok(), "{theirs:?}");
    }
}
