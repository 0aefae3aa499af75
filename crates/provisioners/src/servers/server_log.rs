//! The log of a server that Towpath runs: what it writes to standard output and error, in one file
//! that stays short.

use std::{
    convert::Infallible,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};

/// Its name, in the server's directory.
pub(super) const NAME: &str = "server.log";
/// A log that is larger is set aside; one that is set aside is kept.
const MOST: u64 = 10 * 1024 * 1024;
/// Between two looks. Servers say little; one in trouble repeats itself.
const LOOK: Duration = Duration::from_secs(30);

/// Sets the log aside whenever it has grown too large.
pub(super) async fn keep_short(log: PathBuf) -> Infallible {
    loop {
        let path = log.clone();
        let outcome = match spawn_blocking(move || set_aside(&path, MOST)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = outcome {
            tracing::warn!(log = %log.display(), %error, "cannot set a server's log aside");
        }
        sleep(LOOK).await;
    }
}

/// Copies the last of a log that has more than `most` bytes to `server.log.1`, and empties it: the
/// server keeps it open. What it writes between the two is lost.
fn set_aside(log: &Path, most: u64) -> io::Result<()> {
    let mut from = match File::open(log) {
        Ok(file) => file,
        // A server that was adopted may write elsewhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = from.metadata()?.len();
    if length <= most {
        return Ok(());
    }
    from.seek(SeekFrom::Start(length.saturating_sub(2 * most)))?;
    let mut aside = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(log.with_extension("log.1"))?;
    io::copy(&mut from, &mut aside)?;
    OpenOptions::new().write(true).open(log)?.set_len(0)
}

/// The last lines of a log, for an error that a person reads.
pub(super) fn last_words(log: &Path) -> String {
    const LINES: usize = 5;
    let Ok(text) = end_of(log) else {
        return "(it left no log)".to_owned();
    };
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join(" | ")
}

fn end_of(log: &Path) -> io::Result<String> {
    const BYTES: u64 = 16 * 1024;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_log_that_grows_is_set_aside_while_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join(NAME);
        set_aside(&log, 8).unwrap();
        let mut server = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        server.write_all(b"started\n").unwrap();
        set_aside(&log, 8).unwrap();
        assert_eq!(last_words(&log), "started");
        server.write_all(b"a much longer text follows\n").unwrap();
        set_aside(&log, 8).unwrap();
        let aside = std::fs::read_to_string(directory.path().join("server.log.1")).unwrap();
        assert_eq!(aside, "er text follows\n");
        server.write_all(b"on\n").unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "on\n");
    }

    #[test]
    fn of_a_long_log_the_last_lines_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join(NAME);
        assert_eq!(last_words(&log), "(it left no log)");
        let text: String = (0..10_000).map(|n| format!("line {n}\n\n")).collect();
        std::fs::write(&log, text).unwrap();
        let last = "line 9995 | line 9996 | line 9997 | line 9998 | line 9999";
        assert_eq!(last_words(&log), last);
    }
}
