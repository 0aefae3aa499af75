//! How far a log file has been read: from its end backwards to find the last lines, and forwards in
//! pieces. Never whole.

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::Path,
};

use delivery::engine::LogLine;
use tokio::sync::mpsc;

use super::Source;
use crate::blocking::blocking;

/// A line that is longer is cut into pieces of this many bytes.
const LONGEST_LINE: u64 = 64 * 1024;
/// So much of a file is held at once: some lines of the longest, or many of the usual.
const PIECE: usize = 1024 * 1024;
/// Bytes that are read at once on the way backwards.
const BLOCK: usize = 64 * 1024;

/// How far a file has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    offset: u64,
}

/// Nobody listens any more.
#[derive(Debug)]
pub(super) struct Closed;

impl Place {
    /// Goes to the beginning of the file's last `most` lines, and says how many there are.
    pub(super) fn before_last(&mut self, path: &Path, most: usize) -> io::Result<usize> {
        let file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        let mut block = vec![0; BLOCK];
        let mut found = 0;
        let mut end = length;
        self.offset = length;
        while end > 0 && found < most {
            let start = end.saturating_sub(BLOCK as u64);
            let block = &mut block[..(end - start) as usize];
            file.read_exact_at(block, start)?;
            // A line begins behind the end of another, and where the file does.
            let ends = (block.iter().enumerate().rev()).filter(|(_, byte)| **byte == b'\n');
            let begins = ends.map(|(at, _)| start + at as u64 + 1);
            let first = (start == 0).then_some(0);
            for begin in begins.chain(first).filter(|begin| *begin < length) {
                self.offset = begin;
                found += 1;
                if found == most {
                    break;
                }
            }
            end = start;
        }
        Ok(found)
    }

    /// Sends what the file holds beyond this place. A line without an end waits for it where more
    /// may come (`follow`).
    pub(super) async fn send(
        &mut self,
        source: &Source,
        follow: bool,
        lines: &mpsc::Sender<LogLine>,
    ) -> Result<(), Closed> {
        loop {
            let (mut place, path) = (*self, source.path.clone());
            let read = blocking(move || {
                let piece = place.read(&path, follow)?;
                Ok((place, piece))
            });
            let piece = match read.await {
                Ok((place, piece)) => {
                    *self = place;
                    piece
                }
                Err(error) => {
                    tracing::warn!(path = %source.path.display(), %error, "cannot read a log");
                    return Ok(());
                }
            };
            if piece.is_empty() {
                return Ok(());
            }
            for line in piece {
                lines.send(source.line(line)).await.map_err(|_| Closed)?;
            }
        }
    }

    /// The next lines: a piece of them, or none.
    fn read(&mut self, path: &Path, follow: bool) -> io::Result<Vec<String>> {
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
        let mut lines = Vec::new();
        let mut held = 0;
        let mut line = Vec::new();
        while held < PIECE {
            line.clear();
            let read = reader
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)?;
            let whole = line.ends_with(b"\n") || read as u64 == LONGEST_LINE;
            if read == 0 || (!whole && follow) {
                break;
            }
            self.offset += read as u64;
            // What a line costs beside its bytes.
            held += read + size_of::<String>();
            if line.ends_with(b"\n") {
                line.pop();
            }
            if line.ends_with(b"\r") {
                line.pop();
            }
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_found_across_blocks_with_or_without_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let long = "x".repeat(BLOCK - 3);
        for end in ["", "\n"] {
            for text in [
                "",
                "a",
                "\n\n",
                "a\n\nb",
                &format!("a\n{long}\nb\n{long}\n{long}"),
            ] {
                let text = format!("{text}{end}");
                fs::write(&path, &text).unwrap();
                let all: Vec<&str> = text.lines().collect();
                for most in 0..=all.len() + 1 {
                    let mut place = Place::default();
                    let found = place.before_last(&path, most).unwrap();
                    assert_eq!(found, most.min(all.len()), "{most} of {} bytes", text.len());
                    let read = place.read(&path, false).unwrap();
                    assert_eq!(read, all[all.len() - found..]);
                }
            }
        }
    }

    #[test]
    fn a_large_file_is_read_in_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let line = "x".repeat(999);
        fs::write(&path, format!("{line}\n").repeat(5000)).unwrap();
        let mut place = Place::default();
        let mut pieces = Vec::new();
        loop {
            let piece = place.read(&path, true).unwrap();
            if piece.is_empty() {
                break;
            }
            assert!(piece.iter().map(String::len).sum::<usize>() <= PIECE);
            pieces.push(piece.len());
        }
        assert_eq!(pieces.iter().sum::<usize>(), 5000);
        assert!(pieces.len() >= 5, "{pieces:?}");
    }
}
