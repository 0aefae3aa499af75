//! A value from standard input, unseen.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use kernel::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use crate::failure::{Failure, Result};

/// `what`: all of standard input without its last line break, or what somebody types.
pub(crate) async fn hidden(what: &str) -> Result<Secret> {
    let failed = |error: io::Error| Failure::io("standard input cannot be read", &error);
    let mut bytes = if io::stdin().is_terminal() {
        typed(what).await.map_err(failed)?
    } else {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map_err(failed)?;
        bytes
    };
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    Ok(Secret::new(bytes))
}

/// A line that a person types, which the terminal does not show.
async fn typed(what: &str) -> io::Result<Vec<u8>> {
    // Nobody reads a question that cannot be asked; the answer is taken all the same.
    let _ = write!(io::stderr(), "{what} (not shown): ");
    let silence = Silence::begin()?;
    let (send, line) = oneshot::channel();
    // A thread of its own: it may wait for ever, and the program does not wait for it.
    std::thread::spawn(move || {
        let mut line = Vec::new();
        let read = io::stdin().lock().read_until(b'\n', &mut line);
        // Whoever was interrupted does not wait any more.
        let _ = send.send(read.map(|_| line));
    });
    let answer = tokio::select! {
        line = line => line.map_err(io::Error::other)?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(io::Error::from(io::ErrorKind::Interrupted))
        }
    };
    drop(silence);
    let _ = writeln!(io::stderr());
    answer
}

/// The terminal does not show what is typed, for as long as this lives.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
