//! How many forwarded connections there may be at once, and what of that one owner may have.

use std::{
    collections::HashMap,
    io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};

/// How long one that was accepted waits until another connection closes: then it is reset, so that it is seen.
const WAIT: Duration = Duration::from_secs(10);
/// How long to wait when the system has no descriptor or memory for another connection.
const BREATHER: Duration = Duration::from_millis(50);
/// How long a side may say nothing until the system asks it whether it is still there, how often it then asks
/// again, and how many questions in a row one that is there may leave without an answer.
const SILENCE: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_secs(10);
const QUESTIONS: u32 = 6;

/// How many connections are passed on at once, each of which takes two descriptors. More wait in the system's
/// accept queue.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Of all addresses together. Not for whoever passes connections on to them: such a connection would wait for
    /// itself.
    pub all: Arc<Semaphore>,
    /// Of all addresses of one owner: however many it has, they leave the others room.
    pub share: usize,
    /// Of one address: clients of one that never hang up leave its owner's others room.
    pub each: usize,
    /// Of those who have an address.
    shares: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Slots {
    /// So many in all, a quarter of them for one owner, and three quarters of those for one address.
    pub fn new(all: usize) -> Self {
        let share = all / 4;
        Self::sized(all, share, share * 3 / 4)
    }

    /// So many in all, so many for one owner, and so many for one address; of each at least one.
    pub fn sized(all: usize, share: usize, each: usize) -> Self {
        let possible = |slots: usize| slots.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(possible(all))),
            share: possible(share),
            each: possible(each),
            shares: Arc::default(),
        }
    }

    /// What the addresses of `owner` may have together: whoever asks for the same owner's shares it.
    pub fn of(&self, owner: &str) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let held = shares.get(owner).and_then(Weak::upgrade);
        let share = held.unwrap_or_else(|| {
            // Here, where one is added, those go out whose addresses are all closed.
            shares.retain(|_, share| share.strong_count() > 0);
            let share = Arc::new(Semaphore::new(self.share));
            shares.insert(owner.to_owned(), Arc::downgrade(&share));
            share
        });
        Share {
            owner: owner.to_owned(),
            all: self.all.clone(),
            own: share,
            each: self.each,
        }
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self::new(1000)
    }
}

/// What of the [`Slots`] one owner may have.
#[derive(Debug, Clone)]
pub struct Share {
    owner: String,
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    each: usize,
}

impl Share {
    /// One of the owner's and of all; else whose connections are all taken, and do not become free in time.
    async fn slot(&self) -> Result<[OwnedSemaphorePermit; 2], &'static str> {
        let end = Instant::now() + WAIT;
        // The owner's first: who waits for that takes nothing from the others.
        Ok([
            one_of(&self.own, end).await.ok_or("its owner has")?,
            one_of(&self.all, end).await.ok_or("all owners have")?,
        ])
    }
}

async fn one_of(slots: &Arc<Semaphore>, end: Instant) -> Option<OwnedSemaphorePermit> {
    let slot = slots.clone().acquire_owned();
    timeout_at(end, slot).await.ok()?.ok()
}

/// Held by a connection for as long as it is passed on.
#[derive(Debug)]
pub struct Slot {
    _address: OwnedSemaphorePermit,
    _shared: [OwnedSemaphorePermit; 2],
}

/// Lets in those who connect to one address, as many at once as its owner's [`Share`] has room for.
///
/// Beyond what one address may have, they wait in the system's accept queue; beyond what its owner or all may have,
/// one waits here, and is reset where nothing becomes free in ten seconds. Each is logged once until it eases.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    share: Share,
    /// What the log calls it.
    called: String,
    address: Arc<Semaphore>,
    full: bool,
    refuses: bool,
}

impl Door {
    /// At `listener`, with what `share` has room for; `called` is what the log names it by.
    pub fn new(listener: TcpListener, share: Share, called: String) -> Self {
        let address = Arc::new(Semaphore::new(share.each));
        Self {
            listener,
            share,
            called,
            address,
            full: false,
            refuses: false,
        }
    }

    /// The next that is let in, where it comes from, and what it holds for as long as it is passed on.
    ///
    /// Dropped midway, it has let in nobody.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr, Slot) {
        loop {
            self.tell_whether_full();
            let Ok(address) = self.address.clone().acquire_owned().await else {
                // Nobody closes it.
                return std::future::pending().await;
            };
            let (client, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(at = self.called, %error, "a connection could not be accepted");
                    sleep(BREATHER).await;
                    continue;
                }
            };
            match self.share.slot().await {
                Ok(shared) => {
                    self.refuses = false;
                    let slot = Slot {
                        _address: address,
                        _shared: shared,
                    };
                    return (client, peer, slot);
                }
                Err(whose) => {
                    if !mem::replace(&mut self.refuses, true) {
                        tracing::warn!(
                            at = self.called,
                            owner = self.share.owner,
                            "{whose} as many connections as are passed on at once: further ones are reset"
                        );
                    }
                    reset(&client);
                }
            }
        }
    }

    fn tell_whether_full(&mut self) {
        let (free, most) = (self.address.available_permits(), self.share.each);
        if free > most / 2 {
            self.full = false;
        } else if free == 0 && !mem::replace(&mut self.full, true) {
            tracing::warn!(
                at = self.called,
                most,
                "as many connections as one address may have are passed on: further ones wait"
            );
        }
    }
}

/// Has the client see a reset when its connection is dropped.
pub(crate) fn reset(client: &TcpStream) {
    if let Err(error) = client.set_zero_linger() {
        tracing::debug!(%error, "a connection that is not passed on closes without a reset");
    }
}

/// Has the system end a connection when its other side does not answer any more.
///
/// # Errors
/// Where the system does not take an option: then the connection goes on unwatched.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, SILENCE)?;
    sockopt::set_tcp_keepintvl(stream, AGAIN)?;
    sockopt::set_tcp_keepcnt(stream, QUESTIONS)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}
