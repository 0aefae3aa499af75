//! Who may do what with subscriptions, and what a subscription may see.

use kernel::{Action, Caller, CallerKind, Event, Guard, Kind, Result, Target, http::Sight};
use uuid::Uuid;

use crate::{
    model::{DeadLetter, Subscription},
    port::Customers,
};

/// To see a subscription and its dead letters.
pub(crate) const READ: Action = Action::see("subscription.read");
/// To make, change and remove one, and to have its secret drawn.
pub(crate) const CHANGE: Action = Action::act("subscription.change");
/// To have a dead letter sent again.
pub(crate) const REPLAY: Action = Action::act("subscription.replay");

/// A team's subscription of this name; the platform's where the team is empty.
pub(crate) fn target<'a>(team: &'a str, name: &'a str) -> Target<'a> {
    Target {
        kind: Subscription::KIND,
        scope: team,
        name,
        team,
        environment: None,
    }
}

/// Who a team's subscriptions are, to policy: its automation. Those of the platform are the operators',
/// who alone can make one.
fn subscriber(team: &str) -> Caller {
    let caller = Caller::local_admin();
    if team.is_empty() {
        return Caller {
            subject: "subscription".into(),
            ..caller
        };
    }
    Caller {
        subject: format!("subscription:{team}"),
        kind: CallerKind::ServiceAccount,
        teams: vec![team.into()],
        admin: false,
        correlation: Uuid::nil(),
        ..caller
    }
}

/// Whether a subscription of `team` is still somebody's: of the platform, or of the very team that it was
/// made for, as long as that is a customer. One that does not say whose it is was made before any did.
pub(crate) fn is_owned(customers: &dyn Customers, team: &str, owner: Option<Uuid>) -> bool {
    if team.is_empty() {
        return true;
    }
    let present = customers.team(team);
    present.is_some_and(|present| owner.is_none_or(|owner| owner == present))
}

/// Whether the subscriptions of `team` may see `event`: the same as whoever follows the log is asked.
/// Dead letters are for those who look at them: they are no news. An error where that could not be decided.
pub(crate) fn sees(guard: &Guard, team: &str, event: &Event) -> Result<bool> {
    let is_letter = event
        .subject_key()
        .is_some_and(|key| key.kind == DeadLetter::KIND);
    Ok(!is_letter && Sight::allows(guard, &subscriber(team), event)?)
}
