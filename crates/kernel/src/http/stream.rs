//! The event log as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures::{Stream, StreamExt as _, stream};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::{Action, Caller, Event, EventFilter, Guard, Publication, Result, Store, Target};

/// How often a line is sent where nothing happens, so that no proxy takes the connection for dead; and
/// how often it is asked whether who follows still may, where nothing is sent to them.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What one caller may see of the log.
pub struct Sight {
    guard: Guard,
    session: Session,
}

impl Sight {
    /// To see an event: the one that the event is about is the action's target.
    pub const READ: Action = Action::see("event.read");

    /// What the caller of `session` may see.
    pub fn new(guard: Guard, session: Session) -> Self {
        Self { guard, session }
    }

    /// `filter`, and no team's events that the caller is no member of: they need not be read to be
    /// left out.
    pub(super) fn narrow(&self, filter: &EventFilter) -> EventFilter {
        let caller = &self.session.caller;
        EventFilter {
            teams: (!caller.admin).then(|| caller.teams.clone()),
            ..filter.clone()
        }
    }

    /// Whether anything of what `filter` asks for may be the caller's.
    fn reaches(&self, filter: &EventFilter) -> bool {
        let caller = &self.session.caller;
        let theirs = |team: &String| caller.admin || caller.teams.contains(team);
        filter.team.as_ref().is_none_or(theirs)
    }

    /// Whether the caller may see `event`; an error where that could not be decided.
    pub(super) fn sees(&self, event: &Event) -> Result<bool> {
        Self::allows(&self.guard, &self.session.caller, event)
    }

    /// Whether `caller` may see `event`; an error where that could not be decided.
    pub fn allows(guard: &Guard, caller: &Caller, event: &Event) -> Result<bool> {
        let subject = event.subject_key();
        let target = match &subject {
            Some(subject) => Target {
                kind: &subject.kind,
                scope: &subject.scope,
                name: &subject.name,
                team: &event.team,
                environment: None,
            },
            None if event.is_from_outside() => Publication::target_of(event),
            None => return Ok(false),
        };
        let began = guard.began(&event.team);
        let present = caller.admin || began.is_none_or(|began| began <= event.committed());
        Ok(present && guard.decides(caller, Self::READ, &target)?)
    }
}

/// The events after place `after` in the log that the caller may see, and then each as it is committed, without end.
///
/// Each is one CloudEvent in JSON, with its `seq` as the id: a client that reconnects with
/// `Last-Event-ID` misses none and gets none twice. Where the store is away, or policy cannot decide, the stream
/// ends, and the client reconnects; where the caller's credentials end, or they are taken out of the team that they
/// asked for, it ends as well. It ends with `stop`, too: an open stream must not hold up a shutdown.
pub fn event_stream(
    store: Store,
    filter: EventFilter,
    after: i64,
    sight: Sight,
    stop: CancellationToken,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>> + Send + 'static> {
    let reader = Reader {
        head: store.subscribe(),
        store,
        filter,
        sight,
        after,
        read: Arc::default(),
        at: 0,
    };
    let events = stream::unfold(reader, |mut reader| async {
        match reader.next().await {
            Ok(Some(event)) => Some((Ok(sent(&event)), reader)),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(error = error.chain(), "an event stream ended");
                None
            }
        }
    });
    let events = events.take_until(stop.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn sent(event: &Event) -> Sent {
    let line = Sent::default().id(event.seq.to_string());
    line.json_data(event).unwrap_or_else(|error| {
        // All its parts came from JSON.
        tracing::error!(%error, seq = event.seq, "an event could not be serialized");
        Sent::default().comment("an event could not be serialized")
    })
}

/// Reads on in the log, and waits at its end.
struct Reader {
    store: Store,
    head: watch::Receiver<i64>,
    filter: EventFilter,
    sight: Sight,
    after: i64,
    /// What was read, shared with others that follow.
    read: Arc<[Event]>,
    /// How far into it this one is.
    at: usize,
}

impl Reader {
    /// The next event; none when the store has closed, or nothing can be the caller's any more.
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            // Others' events are no reason to be silent for ever towards who may follow nothing; and one of them may
            // be that this reader was taken out of the team.
            let head = *self.head.borrow();
            self.sight.session.renew_at(head, KEEP_ALIVE).await?;
            if !self.sight.reaches(&self.filter) {
                return Ok(None);
            }
            while let Some(event) = self.read.get(self.at) {
                self.at += 1;
                if event.seq <= self.after {
                    continue;
                }
                self.after = event.seq;
                if !self.filter.matches(event) {
                    continue;
                }
                // What somebody followed as a member they do not follow afterwards.
                let session = &mut self.sight.session;
                session.renew_at(event.seq, Session::HOLDS).await?;
                if !self.sight.reaches(&self.filter) {
                    return Ok(None);
                }
                if self.sight.sees(event)? {
                    return Ok(Some(event.clone()));
                }
            }
            let head = *self.head.borrow_and_update();
            if head <= self.after {
                match timeout(KEEP_ALIVE, self.head.changed()).await {
                    Ok(Err(_)) => return Ok(None),
                    Ok(Ok(())) | Err(_) => continue,
                }
            }
            let filter = self.sight.narrow(&self.filter);
            self.read = self.store.follow(&filter, self.after, head).await?;
            self.at = 0;
            if self.read.is_empty() {
                // None of those up to the head was for us: they are not looked at again.
                self.after = head;
            }
        }
    }
}
