//! How often something has happened that changes whose rights somebody has: whoever follows the log is asked again
//! then. Logins are not among it, of which there are many, nor are their ends, which every call heeds anyhow.

use std::sync::atomic::{AtomicU64, Ordering};

use kernel::{Event, Kind, NewEvent};

use crate::{
    model::{LocalGroup, LocalUser, ServiceAccount, WorkloadTrust},
    view::{MEMBER_WITHDRAWN, SESSION_REGROUPED},
};

/// Counts them.
#[derive(Default)]
pub(crate) struct Changes(AtomicU64);

impl Changes {
    /// Heeds these events, once what they tell of is taken in.
    pub(crate) fn hear(&self, events: &[Event]) {
        if events.iter().any(changes_rights) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How often there was something.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn changes_rights(event: &Event) -> bool {
    let kinds = [
        LocalUser::KIND,
        LocalGroup::KIND,
        ServiceAccount::KIND,
        WorkloadTrust::KIND,
    ];
    let what = event.kind.strip_prefix(NewEvent::PREFIX);
    let is_of_upstream = [MEMBER_WITHDRAWN, SESSION_REGROUPED]
        .iter()
        .any(|one| what == Some(*one));
    let subject = event.subject_key();
    is_of_upstream || subject.is_some_and(|key| kinds.contains(&key.kind.as_str()))
}
