//! What only time makes: a token whose lifetime is over, and events that nobody would take. While the
//! platform is stopped they are written by what it is made of, as it would have written them.

use std::sync::Arc;

use identity::{Clock, Identity, Settings, service::ClientCredentials};
use jiff::{SignedDuration, Timestamp};
use kernel::{
    Caller, Change, EventFilter, Guard, Query, Sealer, Secret, Store, sealer::PlatformKey,
};
use policy::{Bundle, RegoAuthorizer};
use subscriptions::model::{DeadLetterSpec, Subscription, dead_letter};

use crate::world::World;

/// More than are sent again or given up.
const LETTERS: usize = 20;

impl World {
    /// The caller `expired` has the token that the platform would have given for the key `secret` of the
    /// service account `id` two hours ago; and every subscription has dead letters.
    pub(crate) async fn past(&mut self, id: &str, secret: &str) {
        self.running.stop();
        let store = self.store().await;
        dead_letters(&store).await;
        let past = Timestamp::now() - SignedDuration::from_hours(2);
        let settings = Settings::new(self.site.server());
        let authorizer = Arc::new(RegoAuthorizer::new(&Bundle::default()).unwrap());
        let guard = Guard::new(store.clone(), authorizer);
        let identity = Identity::start(store, guard, settings, Clock::manual(past));
        let credentials = ClientCredentials {
            id: id.into(),
            secret: Some(Secret::from(secret)),
        };
        let identity = identity.await.unwrap();
        let answer = identity.client_credentials(&credentials, "127.0.0.1").await;
        self.tokens.insert("expired", answer.unwrap().access_token);
        drop(identity);
        self.running = self.site.start().await;
    }

    async fn store(&self) -> Store {
        let key = self.site.data.join("platform.key");
        let key = PlatformKey::from_existing(&key, None).await.unwrap();
        let url = format!("sqlite://{}", self.site.data.join("towpath.db").display());
        Store::open(&url, Sealer::new(key)).await.unwrap()
    }
}

async fn dead_letters(store: &Store) {
    let filter = EventFilter {
        team: Some("payments".into()),
        ..EventFilter::default()
    };
    let events = store.events(&filter, 0, LETTERS).await.unwrap();
    let subscriptions = store.list_all::<Subscription>(&Query::default()).await;
    let mut change = Change::new().by(&Caller::local_admin());
    for subscription in subscriptions.unwrap() {
        for event in &events {
            let spec = DeadLetterSpec {
                seq: event.seq,
                kind: event.kind.clone(),
                subject: event.subject.clone(),
            };
            let letter = dead_letter(&subscription, event.entry(), spec);
            change.create(&letter).unwrap();
        }
    }
    store.commit(change).await.unwrap();
}
