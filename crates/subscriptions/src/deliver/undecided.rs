//! Events of which policy could not say who may see them: a rule that fails on them, or took too long.
//!
//! It may be over in a moment, so it is asked again, with back-off, for the lanes alone whose next event it is.
//! What stays undecided is a dead letter after as many tries as one that is not taken: nothing is sent, nothing
//! is lost, and what comes after it has its turn.

use kernel::{Event, Result};
use tokio::time::sleep;

use super::{
    STORE_AWAY,
    bury::bury,
    hub::Hub,
    lane::{Lane, pause},
};
use crate::service::send::{Message, Refusal};

/// Asks until it is decided whether `lane` may see what is at `seq` in the log. False: it may not, or that is
/// a dead letter by now.
pub(super) async fn may_see(hub: &Hub, lane: &Lane, seq: i64) -> bool {
    let settings = hub.service.settings();
    let refusal = Refusal::undecided();
    // Whoever read the log has asked already.
    let mut tries = 1;
    let mut known = hub.asked.number();
    loop {
        let (event, message) = match read(hub, seq).await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    "an event could not be read for a decision"
                );
                sleep(STORE_AWAY).await;
                continue;
            }
        };
        if !lane.is_owned(hub) {
            return false;
        }
        lane.doubts(tries, &message, &refusal, hub.service.now());
        if tries >= settings.attempts {
            match bury(hub, lane, &message, tries, &refusal).await {
                Ok(true) => return false,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = error.chain(), "a dead letter was not written");
                }
            }
        }
        pause(settings.backoff.after(tries)).await;
        let guard = hub.service.guard();
        let answer = hub.asked.sees(guard, &lane.team, event, known).await;
        if let Some(sees) = answer.sees {
            return sees;
        }
        known = answer.number;
        tries = tries.saturating_add(1);
    }
}

/// The event, and what may be said of it meanwhile: not what it is about, which may be what the rules hide.
async fn read(hub: &Hub, seq: i64) -> Result<(Event, Message)> {
    let event = hub.event(seq).await?;
    let mut message = Message::new(&event)?;
    message.subject.clear();
    Ok((event, message))
}
