//! What measuring costs, and that it forgets nothing, however often it begins.

use std::sync::{Arc, Mutex, atomic::Ordering::Relaxed};

use async_trait::async_trait;
use kernel::{
    Caller, Driver, DriverHandle, Event, Key, NewEvent, Next, Reconciler, Result,
    reconciler::Context,
};
use serde_json::{Value, json};
use teams::reconcile::{Measuring, Onboarding};
use testkit::eventually;
use uuid::Uuid;

use crate::{
    measured::{deploys, happen, key, logs_in, of, told},
    reconciled::{LONG, team},
    support::Site,
};

on_both!(
    who_logs_in_between_two_terms_has_logged_in,
    sources_are_asked_where_people_change_and_not_where_they_deploy,
);

/// What a test writes into the log to know how far it was heard.
const MARK: &str = "Mark";

/// What measures, and how far it has come.
struct Watched {
    measuring: Measuring,
    /// The last mark that came through its queue.
    heard: Mutex<Option<Key>>,
    /// When the team is to be looked at again, as the last look at it said; none after one that failed.
    next: Mutex<Option<Next>>,
}

impl Watched {
    async fn new(site: &Site) -> Arc<Self> {
        Arc::new(Self {
            measuring: Measuring::start(site.teams.clone()).await.unwrap(),
            heard: Mutex::default(),
            next: Mutex::default(),
        })
    }

    /// A term of the lease with what has measured before.
    fn term(self: &Arc<Self>, site: &Site) -> DriverHandle {
        Driver::new(site.store.clone(), "test".into())
            .with(self.clone())
            .start()
    }

    /// Until it has looked at all that was told so far, and nothing more is due.
    async fn rests(&self, site: &Site, driver: &DriverHandle) {
        // It is behind all that was told before, in the log as in the queue.
        let mark = key(MARK, "", &Uuid::now_v7().simple().to_string());
        let caller = Caller::system("test", Uuid::now_v7());
        let event = NewEvent::caused("test.marked", mark.clone(), "", &caller, None, json!({}));
        happen(&site.store, event).await;
        eventually("nothing is looked at", LONG, || async {
            let is_heard = self.heard.lock().unwrap().as_ref() == Some(&mark);
            let is_done = *self.next.lock().unwrap() == Some(Next::Idle);
            let stats = driver.stats().remove(0);
            (is_heard && is_done && stats.waiting + stats.running == 0).then_some(())
        })
        .await;
    }
}

#[async_trait]
impl Reconciler for Watched {
    fn name(&self) -> &'static str {
        self.measuring.name()
    }

    fn kind(&self) -> &'static str {
        self.measuring.kind()
    }

    fn concerns(&self, event: &Event) -> Vec<Key> {
        match event.subject_key() {
            Some(mark) if mark.kind == MARK => vec![mark],
            _ => self.measuring.concerns(event),
        }
    }

    fn concurrency(&self) -> usize {
        self.measuring.concurrency()
    }

    fn lane(&self, key: &Key) -> String {
        self.measuring.lane(key)
    }

    async fn survey(&self, context: &Context) -> Result<()> {
        self.measuring.survey(context).await
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        if key.kind == MARK {
            *self.heard.lock().unwrap() = Some(key.clone());
            return Ok(Next::Idle);
        }
        let next = self.measuring.reconcile(context, key).await;
        *self.next.lock().unwrap() = next.as_ref().ok().copied();
        next
    }
}

/// Has a team of ada's and bob's looked at by all, which is over when this comes back.
async fn onboarded(site: &Site) {
    site.outside.group("payments", &["ada", "bob"]);
    let driver = Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(Onboarding(site.teams.clone())))
        .start();
    site.onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    eventually("it is onboarded", LONG, || async {
        team(&site.store, "payments").await?.status.onboarded
    })
    .await;
    driver.shutdown().await;
}

async fn who_logs_in_between_two_terms_has_logged_in(site: Site) {
    let measuring = Watched::new(&site).await;
    onboarded(&site).await;
    let first = measuring.term(&site);
    told(&site, "both are waited for", |found| {
        found["people"]["login"]["waiting"] == 2
    })
    .await;
    measuring.rests(&site, &first).await;
    first.shutdown().await;
    // Another replica leads, or none does.
    logs_in(&site, "local:ada").await;
    let second = measuring.term(&site);
    let found = told(&site, "ada has logged in", |found| {
        of(found, "local:ada")["login"].is_object()
    })
    .await;
    assert_eq!(of(&found, "local:bob")["login"], Value::Null);
    // What happens in this term is heard as before.
    logs_in(&site, "local:bob").await;
    told(&site, "bob has logged in", |found| {
        of(found, "local:bob")["login"].is_object()
    })
    .await;
    second.shutdown().await;
}

async fn sources_are_asked_where_people_change_and_not_where_they_deploy(site: Site) {
    let asked = || site.outside.asked.load(Relaxed);
    let measuring = Watched::new(&site).await;
    onboarded(&site).await;
    site.outside.upstream(&[("payments", "1", &[])]);
    let driver = measuring.term(&site);
    told(&site, "both are there", |found| {
        found["people"]["count"] == 2
    })
    .await;
    measuring.rests(&site, &driver).await;
    let before = asked();
    for nth in 1..=5 {
        deploys(&site, "local:ada", "dev").await;
        let counted = |found: &Value| of(found, "local:ada")["deployment"].is_object();
        told(&site, &format!("deployment {nth} is counted"), counted).await;
    }
    logs_in(&site, "local:ada").await;
    let logged_in = |found: &Value| of(found, "local:ada")["login"].is_object();
    told(&site, "ada has logged in", logged_in).await;
    measuring.rests(&site, &driver).await;
    assert_eq!(asked(), before, "the log says all of it");
    // Told of by whoever wants it, and where somebody comes, both are asked: the local source and the other.
    let path = "/v1/platforms/teams/payments/sync";
    site.outside.group("payments", &["ada", "bob", "cyd"]);
    assert_eq!(site.ask("admin", "POST", path, Value::Null).await.0, 202);
    told(&site, "cyd is there", |found| found["people"]["count"] == 3).await;
    measuring.rests(&site, &driver).await;
    assert_eq!(asked(), before + 2);
    driver.shutdown().await;
}
