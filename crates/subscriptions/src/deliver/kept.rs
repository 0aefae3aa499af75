//! Events that several are about to be sent, kept as they are sent.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use super::locked;
use crate::service::send::Message;

/// So many at the most.
const EVENTS: usize = 1000;
/// So many bytes of them at the most.
const BYTES: usize = 32 * 1024 * 1024;

/// The events that were put here last, within the bounds.
#[derive(Default)]
pub(super) struct Kept(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    by_seq: HashMap<i64, Arc<Message>>,
    /// As they came.
    order: VecDeque<i64>,
    bytes: usize,
}

impl Kept {
    pub(super) fn put(&self, message: Message) {
        let mut inner = locked(&self.0);
        if inner.by_seq.contains_key(&message.seq) {
            return;
        }
        inner.bytes += message.len();
        inner.order.push_back(message.seq);
        inner.by_seq.insert(message.seq, Arc::new(message));
        while inner.order.len() > EVENTS || inner.bytes > BYTES {
            let Some(oldest) = inner.order.pop_front() else {
                return;
            };
            if let Some(gone) = inner.by_seq.remove(&oldest) {
                inner.bytes -= gone.len();
            }
        }
    }

    pub(super) fn get(&self, seq: i64) -> Option<Arc<Message>> {
        locked(&self.0).by_seq.get(&seq).cloned()
    }
}
