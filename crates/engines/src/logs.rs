//! Logs in files: a process writes them itself, so that they outlive the platform; those of a
//! container are kept here when it is removed.
//! `<data>/logs/<environment>/<workload>/<release>/<container>.{out,err}`.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use delivery::engine::{LogLine, LogQuery, ReleaseRef};
use tokio::sync::mpsc;

/// A line that is longer is cut into pieces of this many bytes.
const LONGEST_LINE: u64 = 64 * 1024;

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
            fs::copy(&source.path, aside(1))?;
            fs::OpenOptions::new()
                .write(true)
                .open(&source.path)?
                .set_len(0)?;
        }
        Ok(())
    }

    /// Sends the lines that `query` asks for; ends when they are sent, or when nobody follows.
    pub(crate) async fn send(
        self,
        environment: String,
        workload: String,
        query: LogQuery,
        lines: mpsc::Sender<LogLine>,
    ) {
        let mut places: BTreeMap<PathBuf, Place> = BTreeMap::new();
        let mut first = true;
        loop {
            let sources = match self.sources(&environment, &workload, &query) {
                Ok(sources) => sources,
                Err(error) => {
                    return tracing::warn!(environment, workload, %error, "cannot list logs");
                }
            };
            for source in sources {
                let place = places.entry(source.path.clone()).or_default();
                let tail = query.tail.filter(|_| first);
                let read = match place.read(&source.path, tail, query.follow) {
                    Ok(read) => read,
                    Err(error) => {
                        tracing::warn!(path = %source.path.display(), %error, "cannot read a log");
                        continue;
                    }
                };
                for line in read {
                    let line = LogLine {
                        release: source.release,
                        container: source.container.clone(),
                        stream: if source.stream == "out" {
                            "stdout"
                        } else {
                            "stderr"
                        }
                        .into(),
                        time: None,
                        line,
                    };
                    if lines.send(line).await.is_err() {
                        return;
                    }
                }
            }
            first = false;
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

/// How far a file has been read.
#[derive(Debug, Default)]
struct Place {
    offset: u64,
}

impl Place {
    /// The lines since the last call, or the last `tail` of them. A line without an end waits for
    /// it where more may come (`follow`).
    fn read(&mut self, path: &Path, tail: Option<usize>, follow: bool) -> io::Result<Vec<String>> {
        /// So much is read at once, for a log that grows faster than it is read.
        const MOST: usize = 10_000;
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        if length < self.offset {
            // It was set aside: begins anew.
            self.offset = 0;
        }
        if length == self.offset {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let mut lines = VecDeque::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line)?;
            let whole = line.ends_with(b"\n") || read as u64 == LONGEST_LINE;
            if read == 0 || (!whole && follow) {
                break;
            }
            self.offset += read as u64;
            if line.ends_with(b"\n") {
                line.pop();
            }
            if line.ends_with(b"\r") {
                line.pop();
            }
            lines.push_back(String::from_utf8_lossy(&line).into_owned());
            match tail {
                Some(tail) if lines.len() > tail => drop(lines.pop_front()),
                None if follow && lines.len() >= MOST => break,
                _ => {}
            }
        }
        Ok(lines.into())
    }
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
}
