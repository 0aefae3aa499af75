//! Asking how far the log goes, on Postgres, where other replicas append to it as well.
//!
//! What [`super::feed`] hears comes a little after the commit, and seconds after it where a notification is lost.
//! Whoever must not miss what another replica has answered for asks the database first, and then waits for its own
//! memory to come that far: a read index, as in Raft. One query serves all who came before it began. It has a
//! connection of its own: the pool's may all be busy with long reads.

use std::{pin::pin, time::Duration};

use async_trait::async_trait;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{feed, sql::Connection};

/// Those who wait at the most; more wait at the door.
const QUEUE: usize = 1024;
/// The pace of queries while there is a crowd of those who ask: however many they are, the database is asked five
/// hundred times in a second.
const PACE: Duration = Duration::from_millis(2);
/// So many at one query are a crowd. Fewer wait for the query alone: each of them has its own call to do between two.
const CROWD: usize = 8;
/// How long a query may take, a new connection included. Who asked goes on with what is known.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after a query in vain the next is tried. Nobody waits for that one.
const PAUSE: Duration = Duration::from_secs(1);

/// The log, as far as its length is concerned.
#[async_trait]
trait Log: Send + 'static {
    /// The newest event's place in it. May be dropped half-way.
    async fn head(&mut self) -> sqlx::Result<i64>;

    /// Nobody asks any more.
    async fn close(&mut self) {}
}

/// The way to the task that asks.
pub(super) struct ReadIndex {
    asked: mpsc::Sender<oneshot::Sender<()>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl ReadIndex {
    /// Starts the task, which raises `head`. It ends, and closes its connection, with the value.
    pub(super) fn start(options: PgConnectOptions, head: watch::Sender<i64>) -> Self {
        let server = Server {
            options,
            connection: None,
        };
        Self::of(server, head)
    }

    fn of(log: impl Log, head: watch::Sender<i64>) -> Self {
        let (asked, waiting) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(serve(log, waiting, head, stop.clone()));
        tasks.close();
        Self { asked, stop, tasks }
    }

    /// Waits until the head is no less than it is in the database now, or cannot be asked for. Once it could not be
    /// asked for, nobody waits until it can again: each would wait for nothing, and so would each of their calls.
    pub(super) async fn ask(&self) {
        let (answer, answered) = oneshot::channel();
        if self.asked.send(answer).await.is_ok() {
            // Without an answer the store is closed.
            let _ = answered.await;
        }
    }

    /// Waits until the connection is closed.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

async fn serve(
    mut log: impl Log,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    head: watch::Sender<i64>,
    stop: CancellationToken,
) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting = Vec::new();
    let mut crowd = false;
    loop {
        let come = tokio::select! {
            come = asked.recv_many(&mut waiting, QUEUE) => come,
            () = stop.cancelled() => 0,
        };
        if come == 0 {
            break;
        }
        if crowd {
            pace.tick().await;
            while let Ok(one) = asked.try_recv() {
                waiting.push(one);
            }
        }
        crowd = waiting.len() >= CROWD;
        let mut newest = in_time(&mut log).await;
        if newest.is_none() {
            answer(&mut waiting);
            newest = tokio::select! {
                newest = back(&mut log, &mut asked) => newest,
                () = stop.cancelled() => None,
            };
        }
        let Some(newest) = newest else {
            break;
        };
        feed::raise(&head, newest);
        answer(&mut waiting);
    }
    log.close().await;
}

/// Tries until the database answers; whoever asks meanwhile goes on at once with what is known. None where nobody can
/// ask any more.
async fn back(log: &mut impl Log, asked: &mut mpsc::Receiver<oneshot::Sender<()>>) -> Option<i64> {
    let mut answered = pin!(async {
        loop {
            sleep(PAUSE).await;
            if let Some(newest) = in_time(log).await {
                return newest;
            }
        }
    });
    loop {
        tokio::select! {
            newest = &mut answered => return Some(newest),
            one = asked.recv() => answer(&mut vec![one?]),
        }
    }
}

/// The newest event's place, where the database tells it in time.
async fn in_time(log: &mut impl Log) -> Option<i64> {
    match timeout(PATIENCE, log.head()).await {
        Ok(Ok(newest)) => return Some(newest),
        Ok(Err(error)) => tracing::debug!(%error, "how far the log goes could not be read"),
        Err(_) => tracing::debug!("how far the log goes was not answered in time"),
    }
    None
}

fn answer(waiting: &mut Vec<oneshot::Sender<()>>) {
    for one in waiting.drain(..) {
        // Whoever asked may have gone.
        let _ = one.send(());
    }
}

struct Server {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

#[async_trait]
impl Log for Server {
    async fn head(&mut self) -> sqlx::Result<i64> {
        // Taken: one whose answer was not waited for is of no use any more.
        if let Some(mut connection) = self.connection.take()
            && let Ok(head) = newest(&mut connection).await
        {
            self.connection = Some(connection);
            return Ok(head);
        }
        // It was cut since it was last used, perhaps: that is noticed only now.
        let mut connection = self.options.connect().await?;
        let head = newest(&mut connection).await?;
        self.connection = Some(connection);
        Ok(head)
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            Connection::Postgres(connection).close().await;
        }
    }
}

async fn newest(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM event")
        .fetch_one(connection)
        .await
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };

    use futures::future::join_all;
    use tokio::time::Instant;

    use super::*;

    /// Longer by one at each query, which takes so long.
    struct Growing(Arc<AtomicI64>, Duration);

    #[async_trait]
    impl Log for Growing {
        async fn head(&mut self) -> sqlx::Result<i64> {
            let head = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(self.1).await;
            Ok(head)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_who_ask_at_once_cost_two_queries_at_the_most() {
        let queries = Arc::new(AtomicI64::new(0));
        let (head, known) = watch::channel(0);
        let index = ReadIndex::of(Growing(queries.clone(), PACE), head);
        join_all((0..100).map(|_| index.ask())).await;
        let queries = queries.load(Ordering::SeqCst);
        assert!((1..=2).contains(&queries), "{queries}");
        assert_eq!(*known.borrow(), queries);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_during_a_query_is_answered_by_the_next() {
        let (head, known) = watch::channel(0);
        let index = ReadIndex::of(Growing(Arc::default(), PACE * 20), head);
        let late = async {
            sleep(PACE * 10).await;
            index.ask().await;
            assert_eq!(*known.borrow(), 2);
        };
        tokio::join!(index.ask(), late);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_queries_keep_their_pace() {
        let queries = Arc::new(AtomicI64::new(0));
        let (head, _known) = watch::channel(0);
        let index = ReadIndex::of(Growing(queries.clone(), Duration::ZERO), head);
        let begun = Instant::now();
        let callers = (0..50).map(|_| async {
            while begun.elapsed() < PACE * 100 {
                index.ask().await;
            }
        });
        join_all(callers).await;
        let queries = queries.load(Ordering::SeqCst);
        assert!((10..=110).contains(&queries), "{queries}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_wait_for_the_query_alone() {
        let (head, known) = watch::channel(0);
        let index = ReadIndex::of(Growing(Arc::default(), Duration::ZERO), head);
        let begun = Instant::now();
        for _ in 0..100 {
            join_all((1..CROWD).map(|_| index.ask())).await;
        }
        assert!(*known.borrow() >= 100);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    /// What becomes of each query, in their order; the last of it of all later ones.
    enum Fate {
        Fails,
        Hangs,
        Answers(i64),
    }

    struct Fated(Vec<Fate>);

    #[async_trait]
    impl Log for Fated {
        async fn head(&mut self) -> sqlx::Result<i64> {
            let fate = match self.0.as_slice() {
                [Fate::Answers(head)] => return Ok(*head),
                [Fate::Hangs] => return pending().await,
                _ => self.0.remove(0),
            };
            match fate {
                Fate::Fails => Err(sqlx::Error::WorkerCrashed),
                Fate::Hangs => pending().await,
                Fate::Answers(head) => Ok(head),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_database_is_away_what_is_known_stands() {
        let (head, known) = watch::channel(7);
        let index = ReadIndex::of(Fated(vec![Fate::Fails, Fate::Hangs]), head);
        let begun = Instant::now();
        index.ask().await;
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(*known.borrow(), 7);
        index.close().await;
        index.ask().await;
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_database_hangs_nobody_waits_for_it_twice() {
        let (head, known) = watch::channel(7);
        let index = ReadIndex::of(Fated(vec![Fate::Hangs]), head);
        let begun = Instant::now();
        let late = async {
            sleep(PATIENCE / 2).await;
            index.ask().await;
        };
        tokio::join!(index.ask(), late);
        // Who came during the query does not wait for another one.
        assert!(
            begun.elapsed() < PATIENCE + PACE * 2,
            "{:?}",
            begun.elapsed()
        );
        for _ in 0..20 {
            // During a try, and between two.
            sleep(PAUSE / 2).await;
            let asked = Instant::now();
            index.ask().await;
            assert!(asked.elapsed() < PACE, "{:?}", asked.elapsed());
        }
        assert_eq!(*known.borrow(), 7);
        index.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_database_answers_again_it_is_asked_again() {
        let (head, mut known) = watch::channel(7);
        let fates = vec![Fate::Hangs, Fate::Fails, Fate::Answers(8), Fate::Answers(9)];
        let index = ReadIndex::of(Fated(fates), head);
        let begun = Instant::now();
        index.ask().await;
        assert_eq!(*known.borrow(), 7);
        // Though nobody asks.
        known.wait_for(|head| *head == 8).await.unwrap();
        assert!(
            begun.elapsed() < PATIENCE + PAUSE * 3,
            "{:?}",
            begun.elapsed()
        );
        index.ask().await;
        assert_eq!(*known.borrow(), 9);
    }
}
