//! One replica: what runs, when, and how often.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kernel::{
    Caller, Change, Driver, Error, ErrorKind, Event, Guard, Key, Kind as _, NewEvent, Next,
    Reconciler, Resource, Result, reconciler::Context,
};
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};

use crate::support::{PATIENCE, Scripted, Thing, create, create_in, sqlite};

fn host() -> String {
    "test".into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_and_what_comes_is_looked_at() {
    let (store, _directory) = sqlite().await;
    create(&store, "before").await;
    let scripted = Scripted::new(|_, _, _| async { Ok(Next::Idle) });
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    scripted.ran("before", 1).await;
    assert!(driver.is_leader());
    for name in ["a", "b", "c"] {
        create(&store, name).await;
        scripted.ran(name, 1).await;
    }
    driver.shutdown().await;
    assert_eq!(store.held_for("reconcile").await.unwrap(), Duration::ZERO);
    create(&store, "after").await;
    assert_eq!(scripted.runs("after"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_sets_nothing_to_work() {
    let (store, _directory) = sqlite().await;
    let scripted = Scripted::new(|_, _, _| async { Ok(Next::Idle) });
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    create(&store, "first").await;
    scripted.ran("first", 1).await;
    let mut change = Change::new();
    let asked = Resource::<Thing>::new("", "not-there", 1).key();
    let what = Guard::REFUSED.strip_prefix(NewEvent::PREFIX).unwrap();
    let caller = Caller::local_admin();
    change.event(NewEvent::caused(what, asked, "", &caller, None, json!({})));
    store.commit(change).await.unwrap();
    create(&store, "last").await;
    scripted.ran("last", 1).await;
    assert_eq!(scripted.runs("not-there"), 0);
    driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_team_has_waiting_holds_up_no_other() {
    let (store, _directory) = sqlite().await;
    for n in 0..50 {
        create_in(&store, "crowd", &format!("crowd-{n}")).await;
    }
    // Whatever the crowd begins does not end.
    let (begun, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counts, ends) = (begun.clone(), counted.clone());
    let scripted = Scripted::new(move |_, key, _| {
        let (counts, ends) = (counts.clone(), ends.clone());
        async move {
            if key.scope == "crowd" {
                counts.fetch_add(1, Ordering::SeqCst);
                ends.acquire().await.unwrap().forget();
            }
            Ok(Next::Idle)
        }
    });
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    testkit::eventually("the crowd has begun", PATIENCE, || async {
        (begun.load(Ordering::SeqCst) == 3).then_some(())
    })
    .await;
    for name in ["first", "second"] {
        create_in(&store, "lone", name).await;
        scripted.ran(name, 1).await;
    }
    assert_eq!(begun.load(Ordering::SeqCst), 3, "of four places");
    let stats = &driver.stats()[0];
    assert_eq!((stats.running, stats.waiting), (3, 47));
    counted.add_permits(50);
    testkit::eventually("the crowd is through", PATIENCE, || async {
        (begun.load(Ordering::SeqCst) == 50).then_some(())
    })
    .await;
    driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_is_reconciled_long_before_all_is_looked_at_again() {
    let (store, _directory) = sqlite().await;
    let scripted = Scripted::new(|_, _, _| async { Ok(Next::Idle) });
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    create(&store, "first").await;
    scripted.ran("first", 1).await;
    // Each comes while the driver rests: a signal that is missed is made good after minutes alone.
    for n in 0..50 {
        let name = n.to_string();
        create(&store, &name).await;
        scripted.ran(&name, 1).await;
    }
    driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_never_runs_beside_itself_and_never_misses_the_last_change() {
    const CHANGES: u32 = 40;
    let (store, _directory) = sqlite().await;
    create(&store, "a").await;
    let running = Arc::new(AtomicUsize::new(0));
    let worst = Arc::new(AtomicUsize::new(0));
    let (now, most) = (running.clone(), worst.clone());
    let scripted = Scripted::new(move |context, key, _| {
        let (running, worst) = (now.clone(), most.clone());
        async move {
            worst.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let mut thing = context.store.expect::<Thing>("", &key.name).await?;
            tokio::time::sleep(Duration::from_millis(3)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            thing.status = thing.spec;
            let mut change = Change::new().fenced(context.fence);
            change.status(&thing)?;
            context.store.commit(change).await?;
            Ok(Next::Idle)
        }
    });
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    for spec in 2..=CHANGES {
        loop {
            let mut thing = store.expect::<Thing>("", "a").await.unwrap();
            thing.spec = spec;
            let mut change = Change::new();
            change.spec(&thing).unwrap();
            // The reconciler writes too, and may have been first.
            if store.commit(change).await.is_ok() {
                break;
            }
        }
    }
    testkit::eventually("the status follows the spec", PATIENCE, || async {
        let thing = store.expect::<Thing>("", "a").await.unwrap();
        (thing.status == CHANGES).then_some(())
    })
    .await;
    assert_eq!(worst.load(Ordering::SeqCst), 1);
    driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_panics_are_tried_again_and_hold_nobody_up() {
    let (store, _directory) = sqlite().await;
    let scripted = Scripted::new(|_, key, before| async move {
        match (key.name.as_str(), before) {
            ("fails", 0..2) => Err(Error::unavailable("away")),
            ("panics", 0) => panic!("on purpose"),
            ("again", 0) => Ok(Next::After(Duration::from_millis(20))),
            _ => Ok(Next::Idle),
        }
    });
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    for name in ["fails", "panics", "again", "works"] {
        create(&store, name).await;
    }
    scripted.ran("works", 1).await;
    scripted.ran("again", 2).await;
    scripted.ran("panics", 2).await;
    scripted.ran("fails", 3).await;
    let stats = &driver.stats()[0];
    assert_eq!((stats.reconciler, stats.errors), ("scripted", 3));
    assert!(stats.runs >= 8, "{stats:?}");
    driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconciler_wakes_another_key() {
    let (store, _directory) = sqlite().await;
    let scripted = Scripted::new(|context, mut key, before| async move {
        if key.name == "a" && before > 0 {
            key.name = "b".into();
            context.nudge(key);
        }
        Ok(Next::Idle)
    });
    create(&store, "a").await;
    create(&store, "b").await;
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    scripted.ran("a", 1).await;
    scripted.ran("b", 1).await;
    let thing = store.expect::<Thing>("", "a").await.unwrap();
    let mut change = Change::new();
    change.delete(&thing).unwrap();
    store.commit(change).await.unwrap();
    scripted.ran("b", 2).await;
    driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_for_what_runs_and_lets_it_commit() {
    let (store, _directory) = sqlite().await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = gate.clone();
    let scripted = Scripted::new(move |context, key, _| {
        let opened = opened.clone();
        async move {
            context.stop.cancelled().await;
            let _permit = opened.acquire().await;
            let mut thing = context.store.expect::<Thing>("", &key.name).await?;
            thing.status = 7;
            let mut change = Change::new().fenced(context.fence);
            change.status(&thing)?;
            context.store.commit(change).await?;
            Ok(Next::Idle)
        }
    });
    create(&store, "a").await;
    let driver = Driver::new(store.clone(), host())
        .with(scripted.clone())
        .start();
    scripted.ran("a", 1).await;
    let shutdown = tokio::spawn(driver.shutdown());
    gate.add_permits(1);
    timeout(PATIENCE, shutdown).await.unwrap().unwrap();
    assert_eq!(store.expect::<Thing>("", "a").await.unwrap().status, 7);
}

/// Its kind is asked for by its worker alone, which panics the first time.
struct Fragile {
    inner: Arc<Scripted>,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Reconciler for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn kind(&self) -> &'static str {
        assert!(
            self.asked.fetch_add(1, Ordering::SeqCst) > 0,
            "the first time"
        );
        self.inner.kind()
    }

    fn concerns(&self, _: &Event) -> Vec<Key> {
        vec![]
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        self.inner.reconcile(context, key).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_panics_ends_the_term_and_the_next_one_does_the_work() {
    let (store, _directory) = sqlite().await;
    create(&store, "a").await;
    let scripted = Scripted::new(|_, _, _| async { Ok(Next::Idle) });
    let fragile = Arc::new(Fragile {
        inner: scripted.clone(),
        asked: AtomicUsize::new(0),
    });
    let driver = Driver::new(store.clone(), host())
        .with(fragile)
        .lease_ttl(Duration::from_secs(10))
        .start();
    scripted.ran("a", 1).await;
    assert!(driver.is_leader());
    driver.shutdown().await;
}

/// How many it works on at once is asked by the driver itself.
struct Broken;

#[async_trait::async_trait]
impl Reconciler for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn kind(&self) -> &'static str {
        Thing::KIND
    }

    fn concurrency(&self) -> usize {
        panic!("a canary");
    }

    async fn reconcile(&self, _: &Context, _: &Key) -> Result<Next> {
        Ok(Next::Idle)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_panics_says_so() {
    let (store, _directory) = sqlite().await;
    let mut driver = Driver::new(store, host()).with(Arc::new(Broken)).start();
    let error = timeout(PATIENCE, driver.failed()).await.unwrap();
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(error.chain().contains("a canary"), "{}", error.chain());
    driver.shutdown().await;
}
