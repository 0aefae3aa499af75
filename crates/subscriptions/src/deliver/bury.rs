//! Dead letters: what is not tried any more until somebody says so.

use kernel::{Change, Kind as _, NewEvent, Outcome, Result};
use serde_json::json;
use uuid::Uuid;

use super::{hub::Hub, lane::Lane};
use crate::{
    model::{DeadLetter, DeadLetterSpec, Failure, Subscription, dead_letter},
    service::send::{Message, Refusal},
};

/// Makes a dead letter of an event. False where there are too many already: then it waits, and the
/// rest behind it, until somebody looks at them; the log keeps everything.
pub(super) async fn bury(
    hub: &Hub,
    lane: &Lane,
    message: &Message,
    attempts: u32,
    refusal: &Refusal,
) -> Result<bool> {
    let store = hub.service.store();
    let scope = lane.uid.to_string();
    let id = message.id.to_string();
    if store.get::<DeadLetter>(&scope, &id).await?.is_some() {
        // Killed before the cursor was noted.
        return Ok(true);
    }
    let letters = store.keys(DeadLetter::KIND, Some(&scope)).await?;
    if letters.len() >= hub.service.settings().dead_letters {
        return Ok(false);
    }
    let subscription = store.expect::<Subscription>(&lane.team, &lane.name).await?;
    let spec = DeadLetterSpec {
        seq: message.seq,
        kind: message.kind.clone(),
        subject: message.subject.clone(),
    };
    let mut letter = dead_letter(&subscription, message.id, spec);
    letter.status.attempts = attempts;
    letter.status.last = Some(Failure {
        at: hub.service.now(),
        event: message.id,
        reason: refusal.reason.clone(),
    });
    let caller = kernel::Caller::system("subscriptions", Uuid::now_v7());
    let mut change = Change::new().fenced(hub.fence.clone()).by(&caller);
    // It may be removed at this moment, with all dead letters that it has.
    change.require(&subscription)?;
    change.create(&letter)?;
    change.event(NewEvent::caused(
        "subscription.dead-lettered",
        subscription.key(),
        &lane.team,
        &caller,
        Some(Outcome::Fail),
        json!({
            "event": message.id,
            "type": message.kind,
            "attempts": attempts,
            "reason": refusal.reason,
        }),
    ));
    store.commit(change).await?;
    Ok(true)
}
