//! The keys that sign tokens: published before use, kept until the last token ends.

use std::time::Duration;

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};

use crate::{
    clock::after,
    settings::{Lifetimes, SKEW},
};

/// The platform's signing keys, all in one resource, so that a rotation is one write. The private
/// keys are sealed beside it.
#[derive(Debug)]
pub enum KeyRing {}

impl Kind for KeyRing {
    const KIND: &'static str = "KeyRing";
    type Spec = ();
    type Status = KeyRingStatus;
}

/// Where a key is in its life: next, active, retired, gone. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPhase {
    /// Published, so that verifiers know it when it begins to sign.
    Next,
    /// Signs.
    Active,
    /// Signs no more; what it signed is verified until the last of it has ended.
    Retired,
}

/// A key's public half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedKey {
    /// Names the key in tokens.
    pub kid: String,
    /// Modulus, in base64url.
    pub n: String,
    /// Exponent, in base64url.
    pub e: String,
    /// Where it is in its life.
    pub phase: KeyPhase,
    /// The name of its private half among the ring's secrets; free again once it is retired.
    pub slot: u8,
    /// Since when it is in this phase.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When the last token that it signed has ended, once it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// All keys: one that is active and one that is next, and the retired ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRingStatus {
    /// The keys.
    #[serde(default)]
    pub keys: Vec<PublishedKey>,
}

impl KeyRingStatus {
    /// The one in this phase.
    pub fn in_phase(&self, phase: KeyPhase) -> Option<&PublishedKey> {
        self.keys.iter().find(|key| key.phase == phase)
    }

    /// The slot that no signing or coming key uses.
    pub fn free_slot(&self) -> u8 {
        let used = |slot| {
            self.keys
                .iter()
                .any(|key| key.slot == slot && key.phase != KeyPhase::Retired)
        };
        (0..u8::MAX).find(|slot| !used(*slot)).unwrap_or(u8::MAX)
    }

    /// How long until the active key is to be replaced; zero where it is time. Never before the next
    /// key has been published long enough.
    pub fn until_rotation(&self, now: Timestamp, lifetimes: &Lifetimes) -> Duration {
        let (Some(active), Some(next)) = (
            self.in_phase(KeyPhase::Active),
            self.in_phase(KeyPhase::Next),
        ) else {
            return Duration::ZERO;
        };
        let due =
            after(active.since, lifetimes.key).max(after(next.since, lifetimes.key_published));
        Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
    }

    /// The next key becomes active, the active one retires, and `new` (in the free slot) is next.
    /// Where there is no next key yet, `new` is.
    pub fn rotate(&mut self, new: PublishedKey, now: Timestamp, lifetimes: &Lifetimes) {
        let until = after(now, lifetimes.longest_token() + SKEW);
        let has_next = self.in_phase(KeyPhase::Next).is_some();
        for key in &mut self.keys {
            let (phase, until) = match key.phase {
                KeyPhase::Active if has_next => (KeyPhase::Retired, Some(until)),
                KeyPhase::Next => (KeyPhase::Active, None),
                _ => continue,
            };
            key.phase = phase;
            key.until = until;
            key.since = now;
        }
        self.keys.push(new);
        self.forget(now);
    }

    /// Whether a retired key's last token has ended.
    pub fn has_outlived(&self, now: Timestamp) -> bool {
        self.keys
            .iter()
            .any(|key| key.until.is_some_and(|until| until <= now))
    }

    /// Drops the retired keys whose last token has ended.
    pub fn forget(&mut self, now: Timestamp) {
        self.keys
            .retain(|key| key.until.is_none_or(|until| until > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, slot: u8, since: Timestamp) -> PublishedKey {
        PublishedKey {
            kid: kid.into(),
            n: String::new(),
            e: String::new(),
            phase: KeyPhase::Next,
            slot,
            since,
            until: None,
        }
    }

    #[test]
    fn a_key_signs_only_after_it_was_published() {
        let lifetimes = Lifetimes::default();
        let start = Timestamp::UNIX_EPOCH;
        let mut ring = KeyRingStatus::default();
        for kid in ["a", "b"] {
            ring.rotate(key(kid, ring.free_slot(), start), start, &lifetimes);
        }
        assert_eq!(ring.in_phase(KeyPhase::Active).unwrap().kid, "a");
        assert_eq!(ring.until_rotation(start, &lifetimes), lifetimes.key);
        // Replaced by hand just before its time: the one that came after it waits for its hour.
        let late = after(start, lifetimes.key.saturating_sub(Duration::from_secs(1)));
        ring.rotate(key("c", 0, late), late, &lifetimes);
        assert_eq!(ring.in_phase(KeyPhase::Active).unwrap().kid, "b");
        let short = Lifetimes {
            key: Duration::from_secs(1),
            ..lifetimes.clone()
        };
        assert_eq!(ring.until_rotation(late, &short), lifetimes.key_published);
        assert_eq!(
            ring.until_rotation(after(late, lifetimes.key_published), &short),
            Duration::ZERO
        );
    }

    #[test]
    fn a_retired_key_stays_until_its_last_token_has_ended() {
        let lifetimes = Lifetimes::default();
        let start = Timestamp::UNIX_EPOCH;
        let mut ring = KeyRingStatus::default();
        for kid in ["a", "b", "c"] {
            ring.rotate(key(kid, 0, start), start, &lifetimes);
        }
        let last_token_ends = after(start, lifetimes.access_token);
        ring.forget(last_token_ends);
        assert!(ring.keys.iter().any(|key| key.kid == "a"));
        let late = after(last_token_ends, 3 * SKEW);
        assert!(ring.has_outlived(late));
        ring.forget(late);
        assert_eq!(ring.keys.len(), 2);
    }
}
