//! Work that somebody else may have overtaken.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Backoff, Error, ErrorKind, Key,
    turns::{Line, Turn},
};

/// How long work is done anew because something changed beneath it: what waits longer than that waits for a
/// store that is swamped.
const LONGEST: Duration = Duration::from_secs(10);

/// The longest pause before work is done anew, where those who met are not in one line: those who meet once do not
/// go on meeting.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(8), Duration::from_millis(128));

/// When whoever was overtaken all the time may try again.
const AFTER: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// This task has its turn in a line.
    static IN_TURN: ();
}

/// An error that may say that somebody else has written in between.
pub trait Contended: Sized {
    /// Whether it says so: read again, the same work may succeed. Not every conflict does: that something
    /// is used, or not at the revision that the caller named, is so however often it is read.
    fn is_overtaken(&self) -> bool;

    /// Where those of this process stand who were overtaken at the same thing.
    fn line(&self) -> Option<Line>;

    /// What the caller is told where the work was overtaken `times` in a row, and is not done anew.
    #[must_use]
    fn given_up(self, times: u32) -> Self;
}

impl Contended for Error {
    fn is_overtaken(&self) -> bool {
        Self::is_overtaken(self)
    }

    fn line(&self) -> Option<Line> {
        Self::line(self).cloned()
    }

    fn given_up(self, times: u32) -> Self {
        let Some(contest) = self.contest() else {
            let mut error = self.decided().after(AFTER);
            error.kind = ErrorKind::Unavailable;
            return error;
        };
        let what = contest.called();
        let message = match times {
            0 | 1 => format!("too many changes to {what} are made at the same moment"),
            _ => format!(
                "another change to {what} was made at the same moment, {times} times in a row"
            ),
        };
        Self::unavailable(message)
            .remedy("try again")
            .after(AFTER)
            .caused_by(self)
    }
}

/// What two have written at the same moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Contest {
    /// A resource.
    Resource(Key),
    /// A record, or a line of decisions.
    Record {
        kind: &'static str,
        name: String,
        called: String,
    },
    /// What there is of a kind, whichever.
    Kind(&'static str),
}

impl Contest {
    /// What people call it.
    fn called(&self) -> String {
        match self {
            Self::Resource(key) => key.called(),
            Self::Record { called, .. } => called.clone(),
            Self::Kind(kind) => format!("resources of kind {kind}"),
        }
    }
}

/// Does `work`, which reads, decides and writes, anew where somebody has written in between: as a rule
/// a reconciler or another replica, of which the caller need not know.
///
/// Those of this process who were overtaken at the same thing do it one after the other, first come, first
/// served: among thirty who begin at once none is refused. Between replicas it is left to random pauses.
pub async fn anew<T, E, F>(work: impl Fn() -> F) -> Result<T, E>
where
    E: Contended,
    F: Future<Output = Result<T, E>>,
{
    anew_counted(move |_| work()).await
}

/// The same for work that goes about it otherwise the second time: it is told how often it was overtaken.
pub async fn anew_counted<T, E, F>(work: impl Fn(u32) -> F) -> Result<T, E>
where
    E: Contended,
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + LONGEST;
    // Of work within work that has its turn: who waits in two lines at once may wait for each other.
    let within = IN_TURN.try_with(|()| ()).is_ok();
    let mut held: Option<(Line, Turn)> = None;
    let mut overtaken = 0;
    let mut in_line = 0;
    loop {
        let trying = Box::pin(work(overtaken));
        let done = if held.is_some() {
            IN_TURN.scope((), trying).await
        } else {
            trying.await
        };
        let error = match done {
            Err(error) if error.is_overtaken() => error,
            done => return done,
        };
        overtaken += 1;
        if overtaken > 1 && Instant::now() >= end {
            return Err(error.given_up(overtaken));
        }
        let is_here = |line: &Line| held.as_ref().is_some_and(|(at, _)| at.is(line));
        let elsewhere = error.line().filter(|line| !within && !is_here(line));
        if let Some(line) = elsewhere {
            drop(held.take());
            // Whose turn does not come in time tries once more without one.
            let turn = timeout_at(end, line.turn()).await.ok();
            held = turn.map(|turn| (line, turn));
            in_line = 0;
        } else {
            in_line += 1;
            let pause = PAUSES.after(in_line).mul_f64(rand::random());
            sleep_until(end.min(Instant::now() + pause)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
    };

    use tokio::{
        task::{LocalSet, yield_now},
        time::sleep,
    };

    use super::*;
    use crate::Turns;

    /// A number that several count up, as in a row of the store.
    #[derive(Default)]
    struct Row {
        lines: Turns<&'static str>,
        value: Cell<u32>,
        tries: Cell<u32>,
        overtaken: RefCell<Vec<u32>>,
        done: RefCell<Vec<u32>>,
    }

    impl Row {
        fn overtaken(&self) -> Error {
            let error = Error::conflict("it has moved on")
                .overtaken_at(Contest::Resource(Key::of::<Thing>("", "a")));
            error.in_line(|_| self.lines.line(&"a"))
        }

        /// Adds one, where nobody else has meanwhile.
        async fn add(&self, number: u32) -> Result<(), Error> {
            self.tries.set(self.tries.get() + 1);
            let read = self.value.get();
            sleep(Duration::from_millis(5)).await;
            if self.value.get() != read {
                self.overtaken.borrow_mut().push(number);
                return Err(self.overtaken());
            }
            self.value.set(read + 1);
            self.done.borrow_mut().push(number);
            Ok(())
        }
    }

    struct Thing;

    impl crate::Kind for Thing {
        const KIND: &'static str = "Thing";
        type Spec = ();
        type Status = ();
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_meet_go_on_one_after_the_other_in_their_order() {
        let row = Rc::new(Row::default());
        let all = LocalSet::new();
        for number in 0..40 {
            let row = row.clone();
            all.spawn_local(async move { anew(|| row.add(number)).await.unwrap() });
        }
        all.await;
        assert_eq!(row.value.get(), 40);
        // One wins the first time; of the others each is overtaken then, and never again.
        assert_eq!(row.tries.get(), 40 + 39);
        assert_eq!(row.done.borrow()[1..], row.overtaken.borrow()[..]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_overtaken_all_the_time_is_told_by_what_and_for_how_long() {
        let begun = Instant::now();
        let row = Row::default();
        let times = Cell::new(0);
        let error = anew(|| async {
            times.set(times.get() + 1);
            Err::<(), _>(row.overtaken())
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(!error.is_overtaken());
        assert_eq!(
            error.message,
            format!(
                "another change to thing `a` was made at the same moment, {} times in a row",
                times.get()
            )
        );
        assert_eq!(error.remedy.as_deref(), Some("try again"));
        assert_eq!(error.retry_after(), Some(AFTER));
        assert!(times.get() > 50, "{times:?}");
        assert!((LONGEST..LONGEST * 2).contains(&begun.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overtaken_by_nothing_that_has_a_name_says_by_what_itself() {
        let taken = || Error::conflict("`/shop` was just taken").remedy("choose another path");
        let work = || async { Err::<(), _>(taken().overtaken()) };
        let error = anew(work).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(!error.is_overtaken());
        assert_eq!(error.message, taken().message);
        assert_eq!(error.remedy, taken().remedy);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_turn_waits_for_no_other() {
        let rows = Rc::new([Row::default(), Row::default()]);
        // Both are in a line when they come to the work of the other, which is overtaken there.
        let both = LocalSet::new();
        let begun = Instant::now();
        for (own, other) in [(0, 1), (1, 0)] {
            let rows = rows.clone();
            both.spawn_local(async move {
                anew_counted(|times| {
                    let rows = rows.clone();
                    async move {
                        if times == 0 {
                            return Err(rows[own].overtaken());
                        }
                        yield_now().await;
                        anew_counted(|times| {
                            let rows = rows.clone();
                            async move {
                                match times {
                                    0 => Err(rows[other].overtaken()),
                                    _ => Ok::<_, Error>(()),
                                }
                            }
                        })
                        .await
                    }
                })
                .await
                .unwrap();
            });
        }
        both.await;
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
