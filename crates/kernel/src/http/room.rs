//! Room in memory for large bodies: so many bytes altogether, and a share of them for each who sends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use axum::http::Extensions;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
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

/// So many bodies are read at once.
const READ_AT_ONCE: usize = 2;

/// The room that a platform has for large bodies. Put into all its routes as `Extension(Rooms)`; where it is not,
/// they take none.
#[derive(Debug, Clone, Default)]
pub struct Rooms(Arc<Left>);

/// What is left of it.
#[derive(Debug)]
struct Left {
    all: Arc<Semaphore>,
    for_operators: Arc<Semaphore>,
    /// By who has something of their share, or waits for that.
    shares: Mutex<BTreeMap<String, Weak<Semaphore>>>,
    reading: Arc<Semaphore>,
}

impl Default for Left {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL - KEPT)),
            for_operators: Arc::new(Semaphore::new(KEPT)),
            shares: Mutex::default(),
            reading: Arc::new(Semaphore::new(READ_AT_ONCE)),
        }
    }
}

impl Rooms {
    /// Those of a request with these extensions.
    pub(super) fn of(extensions: &Extensions) -> Result<&Self> {
        (extensions.get::<Self>()).ok_or_else(|| {
            Error::internal("a route has no room for large bodies", "not configured")
        })
    }

    fn share_of(&self, sender: &str) -> Arc<Semaphore> {
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(sender).and_then(Weak::upgrade) {
            return share;
        }
        // Here, where one is added, those go that are whole again.
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(SHARE));
        shares.insert(sender.to_owned(), Arc::downgrade(&share));
        share
    }
}

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
    rooms: Rooms,
    share: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl Room {
    /// Waits until there is room for `bytes`, a share at the most. `Unavailable` where there is none in time.
    pub(super) async fn of(rooms: &Rooms, sender: Option<&Sender>, bytes: usize) -> Result<Self> {
        let bytes = u32::try_from(bytes.min(SHARE)).unwrap_or(u32::MAX);
        let share = rooms.share_of(sender.map_or("", |sender| sender.share.as_str()));
        let (all, for_operators) = (rooms.0.all.clone(), rooms.0.for_operators.clone());
        let operates = sender.is_some_and(|sender| sender.operates);
        let taking = async {
            // The share first: whoever has all of theirs stands in nobody's way.
            let share = share.acquire_many_owned(bytes).await?;
            let all = if operates {
                tokio::select! {
                    biased;
                    all = all.acquire_many_owned(bytes) => all,
                    kept = for_operators.acquire_many_owned(bytes) => kept,
                }
            } else {
                all.acquire_many_owned(bytes).await
            }?;
            Ok::<_, AcquireError>((share, all))
        };
        match timeout(WAIT, taking).await {
            Ok(taken) => {
                let (share, all) =
                    taken.map_err(|error| Error::internal("bodies are taken in no more", error))?;
                Ok(Self {
                    rooms: rooms.clone(),
                    share,
                    all,
                })
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

    /// Waits for the body's turn to be read, which it has until the answer is dropped.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = self.rooms.0.reading.clone().acquire_owned().await;
        turn.map_err(|error| Error::internal("bodies are read no more", error))
    }
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
        let rooms = Rooms::default();
        let mut taken = Vec::new();
        for (subject, bytes) in [
            ("ada", SHARE),
            ("ben", SHARE),
            ("cleo", SHARE),
            ("dan", ALL - KEPT - 3 * SHARE),
        ] {
            taken.push(
                Room::of(&rooms, Some(&by(subject, false)), bytes)
                    .await
                    .unwrap(),
            );
        }
        let refused = Room::of(&rooms, Some(&by("eve", false)), 1)
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        let theirs = Room::of(&rooms, Some(&by("olga", true)), 1 << 20).await;
        assert!(theirs.is_ok(), "{theirs:?}");
        let elsewhere = Room::of(&Rooms::default(), Some(&by("eve", false)), SHARE).await;
        assert!(elsewhere.is_ok(), "{elsewhere:?}");
    }
}
