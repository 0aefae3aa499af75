//! Several replicas: one works, and another takes over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kernel::{Change, Driver, DriverHandle, ErrorKind, Next, Sealer, Store, driver::LEASE};
use testkit::eventually;
use tokio::time::timeout;

use crate::support::{PATIENCE, Scripted, Thing, create, sqlite};

/// Longer than a busy machine keeps anybody from renewing.
const TTL: Duration = Duration::from_secs(10);

fn replica(store: &Store, scripted: &Arc<Scripted>) -> DriverHandle {
    replica_for(store, scripted, TTL)
}

fn replica_for(store: &Store, scripted: &Arc<Scripted>, ttl: Duration) -> DriverHandle {
    Driver::new(store.clone(), "replica".into())
        .with(scripted.clone())
        .lease_ttl(ttl)
        .start()
}

async fn leads(driver: &DriverHandle) {
    eventually("the replica leads", PATIENCE, || async {
        driver.is_leader().then_some(())
    })
    .await;
}

fn idle() -> Arc<Scripted> {
    Scripted::new(|_, _, _| async { Ok(Next::Idle) })
}

async fn the_second_takes_over_after_the_lease(one: Store, two: Store) {
    let (first, second) = (idle(), idle());
    let leader = replica(&one, &first);
    leads(&leader).await;
    let standby = replica(&two, &second);
    create(&one, "a").await;
    first.ran("a", 1).await;
    assert!(!standby.is_leader());
    assert_eq!(second.runs("a"), 0);

    // As a kill does it: nothing is given up.
    drop(leader);
    let killed = Instant::now();
    let left = one.held_for(LEASE).await.unwrap();
    create(&two, "b").await;
    second.ran("b", 1).await;
    let stalled = killed.elapsed();
    // The database's clock has whole milliseconds.
    assert!(
        stalled + Duration::from_millis(2) >= left,
        "after {stalled:?}, while it was held for {left:?}"
    );
    second.ran("a", 1).await;
    assert_eq!(first.runs("b"), 0);
    standby.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_on_sqlite() {
    let (store, _directory) = sqlite().await;
    the_second_takes_over_after_the_lease(store.clone(), store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_on_postgres() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let sealer = Sealer::generate().unwrap();
    let one = Store::open(&database.url, sealer.clone()).await.unwrap();
    let two = Store::open(&database.url, sealer).await.unwrap();
    the_second_takes_over_after_the_lease(one, two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_hands_over_without_waiting_for_the_lease() {
    let (store, _directory) = sqlite().await;
    let (first, second) = (idle(), idle());
    // A standby looks ten times in it.
    let ttl = Duration::from_secs(30);
    let leader = replica_for(&store, &first, ttl);
    leads(&leader).await;
    let standby = replica_for(&store, &second, ttl);
    let (asked, left) = (Instant::now(), store.held_for(LEASE).await.unwrap());
    leader.shutdown().await;
    leads(&standby).await;
    let took = asked.elapsed();
    assert!(took < left, "{took:?}, while it was held for {left:?}");
    standby.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_lease_stops_and_cannot_write() {
    let (store, directory) = sqlite().await;
    create(&store, "a").await;
    let (sender, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    let scripted = Scripted::new(move |context, key, _| {
        let sender = sender.clone();
        async move {
            let mut thing = context.store.expect::<Thing>("", &key.name).await?;
            thing.status = 13;
            let mut change = Change::new().fenced(context.fence);
            change.status(&thing)?;
            // Work that the driver cannot abort, as in a process that was frozen.
            tokio::spawn(async move {
                context.stop.cancelled().await;
                let _ = sender.send(context.store.commit(change).await);
            });
            Ok(Next::Idle)
        }
    });
    let driver = replica(&store, &scripted);
    scripted.ran("a", 1).await;
    // Somebody takes the lease, as after a long freeze of this process.
    steal(&directory.path().join("store.db")).await;
    let late = timeout(PATIENCE, outcomes.recv()).await.unwrap().unwrap();
    assert_eq!(late.unwrap_err().kind, ErrorKind::Conflict);
    eventually("the replica no longer leads", PATIENCE, || async {
        (!driver.is_leader()).then_some(())
    })
    .await;
    assert_eq!(store.expect::<Thing>("", "a").await.unwrap().status, 0);
    driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_lease_has_nothing_in_its_queues() {
    let (store, directory) = sqlite().await;
    for n in 0..10 {
        create(&store, &n.to_string()).await;
    }
    let scripted = Scripted::new(|_, _, _| std::future::pending());
    let driver = replica(&store, &scripted);
    eventually("the queue is full", PATIENCE, || async {
        let stats = &driver.stats()[0];
        (stats.running > 0 && stats.running + stats.waiting == 10).then_some(())
    })
    .await;
    steal(&directory.path().join("store.db")).await;
    eventually("the replica no longer leads", PATIENCE, || async {
        (!driver.is_leader()).then_some(())
    })
    .await;
    let stats = &driver.stats()[0];
    assert_eq!((stats.running, stats.waiting), (0, 0));
    driver.shutdown().await;
}

/// Says when it is dropped.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stops_works_no_longer_than_its_lease_lasts() {
    let ttl = Duration::from_secs(2);
    let (store, directory) = sqlite().await;
    create(&store, "a").await;
    let alive = Arc::new(AtomicBool::new(true));
    let works = alive.clone();
    let (told, mut stops) = tokio::sync::mpsc::unbounded_channel();
    let scripted = Scripted::new(move |context, _, _| {
        let alive = Alive(works.clone());
        let told = told.clone();
        async move {
            let _alive = alive;
            context.stop.cancelled().await;
            let _ = told.send(());
            std::future::pending().await
        }
    });
    let driver = replica_for(&store, &scripted, ttl);
    scripted.ran("a", 1).await;
    let stopping = tokio::spawn(driver.shutdown());
    // By then nothing renews the lease any more.
    timeout(PATIENCE, stops.recv()).await.unwrap().unwrap();
    // As the next replica sees it whose clock is behind: what is stopped has ended well before that one begins.
    held_on(&directory.path().join("store.db")).await;
    eventually("the lease is free", PATIENCE, || async {
        store.acquire(LEASE, "next", ttl).await.unwrap()
    })
    .await;
    assert!(
        !alive.load(Ordering::SeqCst),
        "two replicas work at one time"
    );
    stopping.await.unwrap();
}

/// Has the database hold the lease for another five seconds.
async fn held_on(path: &std::path::Path) {
    tampered(path, "UPDATE lease SET expires = expires + 5000").await;
}

async fn steal(path: &std::path::Path) {
    let sql = "UPDATE lease SET holder = 'thief', epoch = epoch + 1, expires = expires + 60000";
    tampered(path, sql).await;
}

async fn tampered(path: &std::path::Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
}
