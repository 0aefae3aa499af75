//! Logs in files: a process writes them itself, so that they outlive the platform; those of a
//! container are kept here when it is removed.
//! `<data>/logs/<environment>/<workload>/<release>/<container>.{out,err}`.

mod place;

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Seek as _, SeekFrom},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use delivery::engine::{LogLine, LogQuery, ReleaseRef};
use tokio::sync::mpsc;

use self::place::Place;
use crate::blocking::blocking;

/// A file that grew faster than it was looked at is set aside with its last part alone: so many
/// times what it may have.
const ASIDE: u64 = 2;

/// Where logs are, and how large they get.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    pub(crate) directory: PathBuf,
    /// A log file that grows beyond this many bytes is set aside.
    pub(crate) most_bytes: u64,
    /// So many set aside are kept.
    pub(crate) kept: u32,
}

/// A log file: of which release, container and stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    release: u64,
    container: String,
    stream: &'static str,
    path: PathBuf,
}

impl Source {
    /// A line of it.
    fn line(&self, line: String) -> LogLine {
        let stream = match self.stream {
            "out" => "stdout",
            _ => "stderr",
        };
        LogLine {
            release: self.release,
            container: self.container.clone(),
            stream: stream.into(),
            time: None,
            line,
        }
    }
}

impl Logs {
    fn workload(&self, environment: &str, workload: &str) -> PathBuf {
        self.directory.join(environment).join(workload)
    }

    /// Opens the log of a container's stream, `out` or `err`, for appending.
    pub(crate) fn open(
        &self,
        id: &ReleaseRef,
        container: &str,
        stream: &str,
    ) -> io::Result<fs::File> {
        let directory = self
            .workload(&id.environment, &id.workload)
            .join(id.release.to_string());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(directory.join(format!("{container}.{stream}")))
    }

    /// Removes the logs of a workload.
    pub(crate) fn remove(&self, environment: &str, workload: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.workload(environment, workload)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Not empty: other workloads have theirs in there.
        let _ = fs::remove_dir(self.directory.join(environment));
        Ok(())
    }

    /// Sets aside the logs of `id` that have grown too large: copied and truncated, since the
    /// program keeps its file open. What it writes between the two is lost.
    pub(crate) fn rotate(&self, id: &ReleaseRef) -> io::Result<()> {
        let query = LogQuery {
            release: Some(id.release),
            ..LogQuery::default()
        };
        for source in self.sources(&id.environment, &id.workload, &query)? {
            if fs::metadata(&source.path)?.len() <= self.most_bytes {
                continue;
            }
            let aside = |number: u32| {
                let mut name = source.path.clone().into_os_string();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            };
            for number in (1..self.kept).rev() {
                if aside(number).exists() {
                    fs::rename(aside(number), aside(number + 1))?;
                }
            }
            let mut from = fs::File::open(&source.path)?;
            let most = self.most_bytes.saturating_mul(ASIDE);
            from.seek(SeekFrom::Start(from.metadata()?.len().saturating_sub(most)))?;
            let mut to = fs::OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(aside(1))?;
            io::copy(&mut from, &mut to)?;
            fs::OpenOptions::new()
                .write(true)
                .open(&source.path)?
                .set_len(0)?;
        }
        Ok(())
    }

    /// Fails where the logs of a workload cannot be listed: what is sent of them would look like none.
    pub(crate) fn check(&self, environment: &str, workload: &str) -> io::Result<()> {
        entries(&self.workload(environment, workload)).map(drop)
    }

    /// Sends the lines that `query` asks for; ends when they are sent, or when nobody follows.
    pub(crate) async fn send(
        self,
        environment: String,
        workload: String,
        query: LogQuery,
        lines: mpsc::Sender<LogLine>,
    ) {
        let mut places = Places::new();
        let mut tail = query.tail;
        loop {
            let (logs, asked) = (self.clone(), query.clone());
            let of = (environment.clone(), workload.clone());
            let found = blocking(move || {
                let sources = logs.sources(&of.0, &of.1, &asked)?;
                if let Some(tail) = tail {
                    before_last(&sources, tail, &mut places)?;
                }
                Ok((sources, places))
            });
            let sources = match found.await {
                Ok((sources, found)) => {
                    places = found;
                    sources
                }
                Err(error) => {
                    return tracing::warn!(environment, workload, %error, "cannot list logs");
                }
            };
            tail = None;
            for source in sources {
                let mut place = places.remove(&source.path).unwrap_or_default();
                if place.send(&source, query.follow, &lines).await.is_err() {
                    return;
                }
                places.insert(source.path, place);
            }
            if !query.follow {
                return;
            }
            tokio::select! {
                () = lines.closed() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    /// The files that `query` asks for, oldest release first.
    fn sources(
        &self,
        environment: &str,
        workload: &str,
        query: &LogQuery,
    ) -> io::Result<Vec<Source>> {
        let mut sources = Vec::new();
        for release in entries(&self.workload(environment, workload))? {
            let number = release
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let Some(number) =
                number.filter(|number| query.release.is_none_or(|only| only == *number))
            else {
                continue;
            };
            for path in entries(&release)? {
                let stream = match path.extension().and_then(|extension| extension.to_str()) {
                    Some("out") => "out",
                    Some("err") => "err",
                    _ => continue,
                };
                let container = path
                    .file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned());
                let container = container.unwrap_or_default();
                if query
                    .container
                    .as_ref()
                    .is_none_or(|only| *only == container)
                {
                    sources.push(Source {
                        release: number,
                        container,
                        stream,
                        path,
                    });
                }
            }
        }
        sources.sort();
        Ok(sources)
    }
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// How far each file has been read.
type Places = BTreeMap<PathBuf, Place>;

/// Places each file such that `most` lines are left in all: those of the newest releases, and of one
/// release the last of each of its streams.
fn before_last(sources: &[Source], most: usize, places: &mut Places) -> io::Result<()> {
    let mut left = most;
    let same_release = |a: &Source, b: &Source| a.release == b.release;
    for release in sources.chunk_by(same_release).rev() {
        let mut counts = Vec::new();
        for source in release {
            counts.push(Place::default().before_last(&source.path, left)?);
        }
        for (source, share) in release.iter().zip(shares(&counts, left)) {
            let mut place = Place::default();
            left -= place.before_last(&source.path, share)?;
            places.insert(source.path.clone(), place);
        }
    }
    Ok(())
}

/// Shares `most` among those who have `counts`: who has little keeps all of it, the others share the
/// rest.
fn shares(counts: &[usize], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|at| counts[*at]);
    let mut shares = vec![0; counts.len()];
    let mut left = most;
    for (done, at) in order.into_iter().enumerate() {
        shares[at] = counts[at].min(left / (counts.len() - done));
        left -= shares[at];
    }
    shares
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn id() -> ReleaseRef {
        ReleaseRef {
            environment: "dev".into(),
            workload: "web".into(),
            release: 1,
        }
    }

    async fn lines(logs: &Logs, query: LogQuery) -> Vec<String> {
        let (sender, mut receiver) = mpsc::channel(1000);
        logs.clone()
            .send("dev".into(), "web".into(), query, sender)
            .await;
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line.line);
        }
        lines
    }

    #[tokio::test]
    async fn a_log_that_grows_is_set_aside_while_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs {
            directory: directory.path().to_owned(),
            most_bytes: 10,
            kept: 2,
        };
        let mut file = logs.open(&id(), "main", "out").unwrap();
        for text in [
            "first line\n",
            "second line\n",
            "third line\n",
            "fourth line\n",
        ] {
            file.write_all(text.as_bytes()).unwrap();
            logs.rotate(&id()).unwrap();
        }
        file.write_all(b"now\n").unwrap();
        assert_eq!(lines(&logs, LogQuery::default()).await, ["now"]);
        let aside = |number: u32| {
            let name = format!("dev/web/1/main.out.{number}");
            fs::read_to_string(directory.path().join(name)).ok()
        };
        assert_eq!(aside(1).as_deref(), Some("fourth line\n"));
        assert_eq!(aside(2).as_deref(), Some("third line\n"));
        assert_eq!(aside(3), None);
    }

    #[tokio::test]
    async fn reads_lines_of_any_bytes_and_the_last_of_them() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs {
            directory: directory.path().to_owned(),
            most_bytes: u64::MAX,
            kept: 0,
        };
        let mut file = logs.open(&id(), "main", "out").unwrap();
        file.write_all(b"one\r\n\xff\xfe\n\nno end").unwrap();
        assert_eq!(
            lines(&logs, LogQuery::default()).await,
            ["one", "\u{fffd}\u{fffd}", "", "no end"]
        );
        let tail = LogQuery {
            tail: Some(1),
            ..LogQuery::default()
        };
        assert_eq!(lines(&logs, tail).await, ["no end"]);
    }

    #[tokio::test]
    async fn the_last_lines_are_counted_over_streams_and_releases() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs {
            directory: directory.path().to_owned(),
            most_bytes: u64::MAX,
            kept: 0,
        };
        for release in [1, 2] {
            let id = ReleaseRef { release, ..id() };
            let mut out = logs.open(&id, "main", "out").unwrap();
            for n in 0..100 {
                writeln!(out, "out {release}.{n}").unwrap();
            }
            let mut err = logs.open(&id, "main", "err").unwrap();
            writeln!(err, "err {release}").unwrap();
        }
        let last = async |tail| {
            let query = LogQuery {
                tail: Some(tail),
                ..LogQuery::default()
            };
            lines(&logs, query).await
        };
        assert_eq!(last(3).await, ["err 2", "out 2.98", "out 2.99"]);
        assert_eq!(last(0).await, Vec::<String>::new());
        let most = last(103).await;
        assert_eq!(most.len(), 103);
        assert_eq!(most[..2], ["err 1", "out 1.99"]);
        assert_eq!(last(1000).await.len(), 202);
    }

    #[test]
    fn logs_that_cannot_be_listed_are_told_from_none() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs {
            directory: directory.path().to_owned(),
            most_bytes: u64::MAX,
            kept: 0,
        };
        assert!(logs.check("dev", "web").is_ok());
        fs::create_dir(directory.path().join("dev")).unwrap();
        fs::write(directory.path().join("dev/web"), "no directory").unwrap();
        assert!(logs.check("dev", "web").is_err());
    }

    #[test]
    fn who_has_little_keeps_all_of_it() {
        assert_eq!(shares(&[100, 1, 100], 11), [5, 1, 5]);
        assert_eq!(shares(&[2, 3], 10), [2, 3]);
        assert!(shares(&[], 10).is_empty());
    }

    #[test]
    fn a_log_that_grew_too_fast_is_set_aside_with_its_last_part() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs {
            directory: directory.path().to_owned(),
            most_bytes: 10,
            kept: 1,
        };
        let mut file = logs.open(&id(), "main", "out").unwrap();
        file.write_all(&[b'x'; 1000]).unwrap();
        file.write_all(b"the end of it").unwrap();
        logs.rotate(&id()).unwrap();
        let aside = fs::read_to_string(directory.path().join("dev/web/1/main.out.1")).unwrap();
        assert_eq!(aside, "xxxxxxxthe end of it");
    }
}
