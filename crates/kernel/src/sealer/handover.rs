//! Two keys that each seal the other: who has one of them has both.

use uuid::Uuid;

use super::{KeyId, Keys, PlatformKey, Sealer};
use crate::Result;

/// The place that the next key is sealed for.
const NEXT: &str = "next-platform-key";
/// And that of the former one.
const FORMER: &str = "former-platform-key";

impl Sealer {
    /// The key `id`, where it is one of those that this opens with.
    pub fn key(&self, id: &KeyId) -> Option<PlatformKey> {
        self.now().keys().find(|key| key.id() == *id).cloned()
    }

    /// Seals with the key `id` from now on; false where it is not known.
    pub(crate) fn turn_to_known(&self, id: &KeyId) -> bool {
        match self.key(id) {
            Some(key) => {
                self.turn_to(key);
                true
            }
            None => false,
        }
    }

    /// `next`, sealed by the current key; and that one, sealed by `next`.
    pub(crate) fn hand_over(&self, platform: Uuid, next: &PlatformKey) -> Result<[Vec<u8>; 2]> {
        let current = self.now().current.clone();
        let sealed = |by: &PlatformKey, name, key: &PlatformKey| {
            let by = Keys {
                current: by.clone(),
                former: Vec::new(),
            };
            by.seal(platform, name, key.secret())
        };
        Ok([
            sealed(&current, NEXT, next)?,
            sealed(next, FORMER, &current)?,
        ])
    }

    /// Opens from now on with both of the keys that [`Sealer::hand_over`] has sealed, where it does with one.
    pub(crate) fn take_over(&self, platform: Uuid, [next, former]: [&[u8]; 2]) {
        for (name, sealed) in [(NEXT, next), (FORMER, former)] {
            let Ok(secret) = self.now().opened(platform, name, sealed) else {
                continue;
            };
            let key = PlatformKey::new(secret);
            if self.key(&key.id()).is_none() {
                self.change(|keys| keys.former.push(key));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_one_of_two_keys_has_both_and_a_third_neither() {
        let [old, new, other] = [(); 3].map(|()| PlatformKey::generate().expect("a key"));
        let platform = Uuid::now_v7();
        let sealer = Sealer::new(old.clone());
        let [next, former] = sealer.hand_over(platform, &new).expect("sealed");
        for (given, both) in [(&old, true), (&new, true), (&other, false)] {
            let sealer = Sealer::new(given.clone());
            sealer.take_over(platform, [&next, &former]);
            sealer.take_over(platform, [&next, &former]);
            assert_eq!(sealer.current(), given.id(), "it goes on with its own");
            assert_eq!(sealer.known().len(), if both { 2 } else { 1 });
            assert_eq!(sealer.turn_to_known(&new.id()), both);
        }
        let elsewhere = Sealer::new(old);
        elsewhere.take_over(Uuid::now_v7(), [&next, &former]);
        assert_eq!(elsewhere.known().len(), 1, "of another platform");
    }
}
