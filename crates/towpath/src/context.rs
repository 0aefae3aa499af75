//! What every command works with: the platform's address and token, and where its words go.

use std::{
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use client::Client;
use kernel::Secret;
use serde::Serialize;

use crate::{
    cli::{DEFAULT_SERVER, Global},
    exit::Exit,
    failure::{Failure, Result},
    render,
};

/// In which form answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// JSON, as the API gives it.
    Json,
    /// The same as YAML.
    Yaml,
}

/// What the standard streams can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Whether progress may be drawn over itself on standard error.
    pub(crate) live: bool,
    /// Whether errors may be drawn with lines and boxes.
    pub(crate) fancy: bool,
    /// Whether colours are wanted.
    pub(crate) color: bool,
}

impl Terminal {
    /// Plain where standard error is not a terminal, under CI and on a dumb one; without colours
    /// where `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) fn detect() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let fancy = std::io::stderr().is_terminal() && !dumb && !set("CI");
        let color = fancy && !set("NO_COLOR");
        Self {
            live: color,
            fancy,
            color,
        }
    }
}

/// Where a platform writes its address, for the commands that use the same data directory.
pub(crate) fn address_file(data: &Path) -> PathBuf {
    data.join("api.address")
}

/// What every command works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) terminal: Terminal,
}

impl Context {
    /// The platform's data directory on this machine.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        data_directory(self.global.data.as_deref())
    }

    /// The platform's address: the one that was named, else that of the platform in the data
    /// directory, else the usual one.
    pub(crate) fn server(&self) -> Result<String> {
        if let Some(named) = &self.global.server {
            return Ok(named.clone());
        }
        let path = address_file(&self.data()?);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(DEFAULT_SERVER.into()),
            Err(error) => {
                let doing = format!(
                    "the platform's address cannot be read from {}",
                    path.display()
                );
                Err(Failure::io(&doing, &error).remedy("name the address with --server"))
            }
        }
    }

    /// The file of the token, wherever it is.
    fn token_file(&self) -> Result<PathBuf> {
        match &self.global.token_file {
            Some(file) => Ok(file.clone()),
            None => Ok(self.data()?.join("admin.token")),
        }
    }

    /// Whether there is a token to show: without one, no platform was ever started here.
    pub(crate) fn has_token(&self) -> Result<bool> {
        Ok(self.token_file()?.exists())
    }

    /// A client of the platform, with its token.
    pub(crate) fn client(&self) -> Result<Client> {
        let path = self.token_file()?;
        let token = match std::fs::read_to_string(&path) {
            Ok(text) => Some(Secret::from(text.trim())),
            // Where no file was named, the platform may never have been started here: its own
            // answer, or its absence, says more than a missing file.
            Err(error)
                if error.kind() == ErrorKind::NotFound && self.global.token_file.is_none() =>
            {
                None
            }
            Err(error) => {
                let doing = format!("the token cannot be read from {}", path.display());
                return Err(Failure::io(&doing, &error)
                    .remedy("name a file that you can read with --token-file"));
            }
        };
        Ok(Client::new(&self.server()?, token)?)
    }

    /// The same, which sits out a restart of the platform.
    pub(crate) fn patient_client(&self) -> Result<Client> {
        /// What a restart takes, a lease of a killed replica and a slow disk included.
        const PATIENCE: Duration = Duration::from_secs(30);
        Ok(self.client()?.patient(PATIENCE))
    }

    /// Whether answers are for people.
    pub(crate) fn is_text(&self) -> bool {
        self.global.output == Format::Text
    }

    /// Writes `text` for people, or `value` for programs.
    pub(crate) fn answer(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        match self.global.output {
            Format::Text => self.print(&text()),
            format => self.print(&render::document::text(format, value)),
        }
    }

    /// Writes one item of a stream: for JSON one line each.
    pub(crate) fn item(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        match self.global.output {
            Format::Text => self.print(&text()),
            Format::Json => self.print(&render::document::line(value)),
            Format::Yaml => self.print(&format!(
                "---\n{}",
                render::document::text(Format::Yaml, value)
            )),
        }
    }

    /// Writes to standard output. A reader that has seen enough ends the program quietly.
    #[allow(
        clippy::unused_self,
        reason = "all words of a command go through its context"
    )]
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::told(Exit::Success),
            _ => Failure::io("standard output cannot be written", &error),
        })
    }

    /// Says what is going on, on standard error; nothing where programs read.
    pub(crate) fn say(&self, text: &str) {
        if self.is_text() {
            // Where standard error is closed, nobody can be told.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// `--data`, else below the user's data directory (XDG Base Directory Specification).
pub(crate) fn data_directory(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return std::path::absolute(path)
            .map_err(|e| Failure::io("the data directory cannot be found", &e));
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/share")))
        .map(|base| base.join("towpath"))
        .ok_or_else(|| {
            Failure::usage("there is no home directory to keep data in")
                .remedy("name a directory with --data, or in TOWPATH_DATA")
        })
}
