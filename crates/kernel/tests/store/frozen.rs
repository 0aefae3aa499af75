//! A network that passes nothing on, and tells nobody.

use std::{future::pending, time::Duration};

use futures::future::join_all;
use kernel::{ErrorKind, Store};
use testkit::PATIENCE;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use url::Url;

use crate::support::Database;

/// More than the store has connections.
const MANY: usize = 24;
/// Long enough for a query to be on its way, and for a connection to be back where it is taken from.
const MOMENT: Duration = Duration::from_millis(200);
/// More than a store that answers takes, and less than it waits for one that does not.
const SOON: Duration = Duration::from_secs(5);

/// What lies between a store and its database.
struct Wire {
    url: String,
    /// Connections that were made before are frozen.
    frozen: watch::Sender<u64>,
}

impl Wire {
    async fn to(database: &str) -> Self {
        let mut url: Url = database.parse().unwrap();
        let server = (
            url.host_str().unwrap().to_owned(),
            url.port().unwrap_or(5432),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port()))
            .unwrap();
        let frozen = watch::Sender::new(0);
        let freezing = frozen.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server.clone()).await.unwrap();
                tokio::spawn(pass(client, server, freezing.clone()));
            }
        });
        Self {
            url: url.into(),
            frozen,
        }
    }

    fn freeze(&self) {
        self.frozen.send_modify(|times| *times += 1);
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, mut freezing: watch::Receiver<u64>) {
    let freezes = async {
        let made = *freezing.borrow_and_update();
        let _ = freezing.wait_for(|times| *times > made).await;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        () = freezes => {}
    }
    // Both ends stay open.
    pending::<()>().await;
}

/// A store with as many connections as it has, in no use, and what lies between it and its database.
async fn busy(database: &Database) -> (Store, Wire) {
    let wire = Wire::to(&database.url).await;
    let store = Store::open(&wire.url, database.sealer.clone())
        .await
        .unwrap();
    for read in join_all((0..MANY).map(|_| store.head())).await {
        read.unwrap();
    }
    sleep(MOMENT).await;
    (store, wire)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_connections_hang_reads_by_new_ones() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (store, wire) = busy(&database).await;
    wire.freeze();
    let ready = async {
        let asked = Instant::now();
        let error = store.ready().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    };
    let reads = join_all((0..MANY).map(|_| store.head()));
    let (reads, ()) = tokio::join!(timeout(PATIENCE, reads), ready);
    let failed = reads.unwrap().into_iter().filter_map(Result::err);
    let failed: Vec<_> = failed.map(|error| error.kind).collect();
    assert!(!failed.is_empty());
    assert!(failed.iter().all(|kind| *kind == ErrorKind::Unavailable));
    let reads = join_all((0..MANY).map(|_| store.head()));
    for read in timeout(SOON, reads).await.unwrap() {
        read.unwrap();
    }
    store.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_a_read_that_hangs_leaves_its_place_to_others() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (store, wire) = busy(&database).await;
    wire.freeze();
    let reads = join_all((0..MANY).map(|_| store.head()));
    assert!(timeout(MOMENT, reads).await.is_err());
    let reads = join_all((0..MANY).map(|_| store.head()));
    for read in timeout(SOON, reads).await.unwrap() {
        read.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_hang_while_nobody_uses_them_are_found_out() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (store, wire) = busy(&database).await;
    wire.freeze();
    // They are tried before they are used once they have rested for a second.
    sleep(Duration::from_millis(1_200)).await;
    timeout(SOON, store.head()).await.unwrap().unwrap();
}
