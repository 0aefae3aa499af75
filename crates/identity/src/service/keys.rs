//! The signing keys: made at the first start, rotated in time.

use kernel::{Caller, Change, ErrorKind, NewEvent, Outcome, Resource, Result, Store, anew};
use serde_json::json;

use super::{Identity, access::of_platform};
use crate::{
    clock::Clock,
    jose::signing::{draw, secret_name},
    model::{KeyPhase, KeyRing, KeyRingStatus, PublishedKey},
    settings::Settings,
    view::RING,
};

/// Makes the ring with its first two keys, where there is none.
async fn ensure(store: &Store, settings: &Settings, clock: &Clock) -> Result<()> {
    if store.get::<KeyRing>("", RING).await?.is_some() {
        return Ok(());
    }
    let caller = Caller::system("identity", uuid::Uuid::now_v7());
    let mut ring = Resource::<KeyRing>::new("", RING, ());
    let mut change = Change::new().by(&caller);
    for _ in 0..2 {
        let now = clock.now();
        let (key, private) = draw(ring.status.free_slot(), now).await?;
        change.seal(ring.meta.uid, secret_name(key.slot), private);
        ring.status.rotate(key, now, &settings.lifetimes);
    }
    change.create(&ring)?;
    match store.commit(change).await {
        Ok(_) => Ok(()),
        // Another replica was first: its keys they are.
        Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

impl Identity {
    /// Waits until there are signing keys; of a new platform, draws them.
    pub(super) async fn keys_ready(&self) -> Result<()> {
        self.view.current().await?;
        if self.view.known().signing.is_some() {
            return Ok(());
        }
        ensure(&self.store, &self.settings, &self.clock).await?;
        self.view.current().await
    }

    /// The published keys, where each is in its life, and until when it is kept.
    pub async fn keys(&self, caller: &Caller) -> Result<Vec<PublishedKey>> {
        self.may_list(caller, &of_platform::<KeyRing>("")).await?;
        self.published_keys().await
    }

    /// The published keys, for whoever verifies tokens.
    pub(crate) async fn published_keys(&self) -> Result<Vec<PublishedKey>> {
        self.keys_ready().await?;
        Ok(self.view.known().published.clone())
    }

    /// Rotates the signing key now. `compromised`: the present key is not kept until its last token
    /// ends; all tokens end at once, and everybody's next refresh gives a new one.
    pub async fn keys_rotate(&self, caller: &Caller, compromised: bool) -> Result<KeyRingStatus> {
        self.may_change(caller, &of_platform::<KeyRing>("")).await?;
        anew(|| self.keys_rotate_once(caller, compromised)).await
    }

    async fn keys_rotate_once(&self, caller: &Caller, compromised: bool) -> Result<KeyRingStatus> {
        self.keys_ready().await?;
        let ring = self.store.expect::<KeyRing>("", RING).await?;
        let (rotated, change) = self.rotated(ring, caller, compromised).await?;
        self.store.commit(change).await?;
        self.view.current().await?;
        Ok(rotated.status)
    }

    /// The ring after a rotation, and the change that makes it so.
    pub(crate) async fn rotated(
        &self,
        mut ring: Resource<KeyRing>,
        caller: &Caller,
        compromised: bool,
    ) -> Result<(Resource<KeyRing>, Change)> {
        let now = self.clock.now();
        // The next key's slot is taken, the active one's is free as soon as it retires: there the new
        // private key goes, over the old one.
        let slot = ring
            .status
            .in_phase(KeyPhase::Active)
            .map_or_else(|| ring.status.free_slot(), |active| active.slot);
        let (key, private) = draw(slot, now).await?;
        let old = ring
            .status
            .in_phase(KeyPhase::Active)
            .map(|key| key.kid.clone());
        ring.status.rotate(key, now, &self.settings.lifetimes);
        if compromised {
            ring.status
                .keys
                .retain(|key| key.phase != KeyPhase::Retired);
        }
        let mut change = Change::new().by(caller);
        change.status(&ring)?;
        change.seal(ring.meta.uid, secret_name(slot), private);
        change.event(NewEvent::caused(
            "signing-key.rotated",
            ring.key(),
            "",
            caller,
            Some(Outcome::Pass),
            json!({
                "from": old,
                "to": ring.status.in_phase(KeyPhase::Active).map(|key| &key.kid),
                "compromised": compromised,
            }),
        ));
        Ok((ring, change))
    }
}
