//! Logs of containers: the daemon's while the container exists, kept in files when it is removed.

use std::{collections::BTreeSet, io::Write as _, sync::Arc, time::Duration};

use bollard::{container::LogOutput, errors::Error, query_parameters::LogsOptionsBuilder};
use delivery::engine::{EngineError, LogLine, LogQuery};
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    daemon::{Daemon, failed, status},
    names::{self, Labels},
    runtime::output,
};
use crate::logs::Logs;

/// Everything that a container has written, from `since` on.
fn written(
    daemon: &Daemon,
    name: &str,
    tail: Option<usize>,
    follow: bool,
    since: i32,
) -> impl Stream<Item = Result<LogOutput, Error>> + use<> {
    let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(follow)
        .since(since)
        .tail(&tail)
        .build();
    daemon.api.logs(name, Some(options))
}

/// A line of the daemon's: the time, a space, the text.
fn line(labels: &Labels, written: LogOutput) -> Option<LogLine> {
    let (stream, bytes) = output(written)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    let (time, line) = text.split_once(' ').unwrap_or((text, ""));
    Some(LogLine {
        release: labels.release.release,
        container: labels.container.clone(),
        stream: stream.into(),
        time: time.parse().ok(),
        line: line.to_owned(),
    })
}

/// Keeps in files what a container has written: it is about to be removed.
pub(super) async fn keep(daemon: &Daemon, logs: &Logs, labels: &Labels) -> Result<(), EngineError> {
    let name = names::container(daemon.platform, &labels.release, &labels.container);
    let what = || format!("keep the log of container {name}");
    let wrong = |error: std::io::Error| EngineError {
        message: format!("cannot {}: {error}", what()),
        remedy: None,
        retry: true,
    };
    let open = |stream| {
        let file = logs.open(&labels.release, &labels.container, stream)?;
        // A removal that was cut short has written it already.
        file.set_len(0)?;
        Ok(std::io::BufWriter::new(file))
    };
    let (mut out, mut err) = (open("out").map_err(wrong)?, open("err").map_err(wrong)?);
    let mut lines = Box::pin(written(daemon, &name, None, false, 0));
    while let Some(next) = lines.next().await {
        let next = match next {
            Ok(next) => next,
            Err(error) if status(&error) == Some(404) => break,
            Err(error) => return Err(failed(what(), error)),
        };
        if let Some(line) = line(labels, next) {
            let file = if line.stream == "stderr" {
                &mut err
            } else {
                &mut out
            };
            writeln!(file, "{}", line.line).map_err(wrong)?;
        }
    }
    out.flush().and_then(|()| err.flush()).map_err(wrong)
}

/// Sends the lines that `query` asks for: those kept in files, then those of the containers there
/// are; following, those of containers to come.
pub(super) async fn send(
    daemon: Arc<Daemon>,
    logs: Logs,
    (environment, workload): (String, String),
    query: LogQuery,
    lines: mpsc::Sender<LogLine>,
) {
    let mut kept = Some(LogQuery {
        follow: false,
        ..query.clone()
    });
    let mut known = BTreeSet::new();
    let mut tasks = JoinSet::new();
    loop {
        let containers = match daemon.containers(Some((&environment, &workload))).await {
            Ok(containers) => containers,
            Err(error) => {
                return tracing::warn!(environment, workload, %error, "cannot list containers");
            }
        };
        let mut found: Vec<Labels> = (containers.iter())
            .filter_map(|container| Labels::read(container.labels.as_ref()?))
            .filter(|it| query.release.is_none_or(|only| only == it.release.release))
            .filter(|it| {
                query
                    .container
                    .as_ref()
                    .is_none_or(|only| *only == it.container)
            })
            .collect();
        found.sort_by(|a, b| (&a.release, &a.container).cmp(&(&b.release, &b.container)));
        let now = if query.follow {
            Vec::new()
        } else {
            once(&daemon, &found, query.tail).await
        };
        if let Some(mut kept) = kept.take() {
            // What runs is newer than what was kept of others: its lines are the last.
            let running = if query.follow && !found.is_empty() {
                usize::MAX
            } else {
                now.len()
            };
            kept.tail = kept.tail.map(|tail| tail.saturating_sub(running));
            let of = (environment.clone(), workload.clone());
            logs.clone().send(of.0, of.1, kept, lines.clone()).await;
        }
        if !query.follow {
            for line in now {
                if lines.send(line).await.is_err() {
                    return;
                }
            }
            return;
        }
        for labels in found {
            if known.insert((labels.release.clone(), labels.container.clone())) {
                tasks.spawn(follow(
                    Arc::clone(&daemon),
                    labels,
                    query.tail,
                    lines.clone(),
                ));
            }
        }
        tokio::select! {
            () = lines.closed() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// What the containers have written until now, by time.
async fn once(daemon: &Daemon, found: &[Labels], tail: Option<usize>) -> Vec<LogLine> {
    let mut all = Vec::new();
    for labels in found {
        let name = names::container(daemon.platform, &labels.release, &labels.container);
        let read = written(daemon, &name, tail, false, 0);
        let read: Vec<_> = read.collect().await;
        for next in read {
            match next {
                Ok(next) => all.extend(line(labels, next)),
                // Removed since it was listed.
                Err(error) if status(&error) == Some(404) => {}
                Err(error) => tracing::warn!(container = name, %error, "cannot read a log"),
            }
        }
    }
    all.sort_by_key(|line| line.time);
    let skipped = tail.map_or(0, |tail| all.len().saturating_sub(tail));
    all.split_off(skipped)
}

/// What one container writes, over its restarts, until it is removed.
async fn follow(
    daemon: Arc<Daemon>,
    labels: Labels,
    tail: Option<usize>,
    lines: mpsc::Sender<LogLine>,
) {
    let name = names::container(daemon.platform, &labels.release, &labels.container);
    let mut last: Option<Timestamp> = None;
    loop {
        let since = last.map_or(0, |last| last.as_second() as i32);
        let tail = tail.filter(|_| last.is_none());
        let mut next = Box::pin(written(&daemon, &name, tail, true, since));
        while let Some(next) = next.next().await {
            match next {
                Err(error) if status(&error) == Some(404) => return,
                Err(error) => {
                    tracing::debug!(container = name, %error, "the log was cut short");
                    break;
                }
                Ok(next) => {
                    let Some(line) = line(&labels, next) else {
                        continue;
                    };
                    // The daemon counts `since` in seconds, and repeats what falls within.
                    if line.time.is_some() && line.time <= last {
                        continue;
                    }
                    last = line.time.or(last);
                    if lines.send(line).await.is_err() {
                        return;
                    }
                }
            }
        }
        // Its end: it may be started again.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
