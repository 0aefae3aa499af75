//! The events that delivery writes. Their types begin with `dev.towpath.`, their data is never a
//! secret, and the correlation id joins all that one request caused.

use kernel::{Caller, Change, Key, NewEvent, Outcome};
use serde_json::Value;
use uuid::Uuid;

/// A change that a reconciler makes, on behalf of the work `correlation`.
pub fn change(reconciler: &str, correlation: Uuid) -> Change {
    Change::new().by(&Caller::system(reconciler, correlation))
}

/// An event of delivery.
pub fn event(
    kind: &str,
    subject: Key,
    team: &str,
    caller: &Caller,
    outcome: Option<Outcome>,
    data: Value,
) -> NewEvent {
    NewEvent {
        kind: format!("dev.towpath.{kind}"),
        subject,
        team: team.into(),
        correlation: caller.correlation,
        actor: caller.subject.clone(),
        outcome,
        data,
    }
}
