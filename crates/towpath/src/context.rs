//! What every command works with: the platform's address and token, and where its words go.

use std::{
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use client::Client;
use kernel::Secret;
use serde::Serialize;

use crate::{
    cli::{Global, Source},
    exit::Exit,
    failure::{Failure, Result},
    logins::{LOCAL, LoginFile, Session},
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

/// Which platform a command is about, and as whom.
pub(crate) enum Chosen {
    /// The one in the data directory, as its local admin.
    Here,
    /// The one at this address.
    Server(String),
    /// One where somebody logged in, as they.
    Login {
        context: String,
        server: String,
        session: Session,
    },
}

/// What every command works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) terminal: Terminal,
}

/// `client`, which from now on sits out a restart of the platform.
pub(crate) fn patient(client: Client) -> Client {
    /// What a restart takes, a lease of a killed replica and a slow disk included.
    const PATIENCE: Duration = Duration::from_secs(30);
    client.patient(PATIENCE)
}

/// The variable, and its value, by which commands are about the platform that it names, whatever login is
/// chosen.
pub(crate) fn platform_variable() -> Option<(&'static str, String)> {
    ["TOWPATH_SERVER", "TOWPATH_CONTEXT", "TOWPATH_DATA"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned())))
        .find(|(_, value)| !value.is_empty())
}

impl Context {
    /// The platform's data directory on this machine.
    pub(crate) fn data(&self) -> Result<PathBuf> {
        data_directory(self.global.data.as_deref())
    }

    /// The same, for commands about the platform on this machine: a login elsewhere does not make them
    /// about another.
    pub(crate) fn here(&self) -> Self {
        let mut global = self.global.clone();
        if global.server.is_none() && global.context.is_none() {
            global.context = Some(LOCAL.into());
            global.given.context = Some(Source::Flag);
        }
        Self {
            global,
            terminal: self.terminal,
        }
    }

    /// Which platform this is about: what a flag names, else the environment, else the file of logins.
    pub(crate) fn chosen(&self) -> Result<Chosen> {
        let Global {
            server,
            context,
            given,
            ..
        } = &self.global;
        for source in [Source::Flag, Source::Environment] {
            let by = |one: Option<Source>| one == Some(source);
            match (server, context) {
                (Some(server), Some(context)) if by(given.server) && by(given.context) => {
                    return Err(Failure::usage(format!(
                        "two platforms are named: the context `{context}`, and {server}"
                    ))
                    .remedy("name one of them"));
                }
                (Some(server), _) if by(given.server) => {
                    return Ok(Chosen::Server(server.trim_end_matches('/').into()));
                }
                (_, Some(context)) if by(given.context) => return named(context),
                _ if by(given.data) => return Ok(Chosen::Here),
                _ => {}
            }
        }
        let logins = match LoginFile::find() {
            Some(file) => file.read()?,
            None => return Ok(Chosen::Here),
        };
        match logins.current {
            Some(current) => named(&current),
            None => Ok(Chosen::Here),
        }
    }

    /// The address of the platform in the data directory.
    pub(crate) fn local_server(&self) -> Result<String> {
        let data = self.data()?;
        let path = address_file(&data);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::new(
                Exit::Unreachable,
                format!("no platform runs in {}", data.display()),
            )
            .remedy(
                "start one with `towpath up`, name its data directory with --data, or log in to one \
                 elsewhere: `towpath login --server URL`",
            )),
            Err(error) => {
                let doing = format!(
                    "the platform's address cannot be read from {}",
                    path.display()
                );
                Err(Failure::io(&doing, &error).remedy("name the address with --server"))
            }
        }
    }

    /// The local admin's token, where a platform has left one.
    fn admin_token(&self) -> Result<Option<Secret>> {
        let path = self.data()?.join("admin.token");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::from(text.trim()))),
            // The platform may never have been started here: its own answer, or its absence, says
            // more than a missing file.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    /// The token of the file that was named. One that a variable names is for the platform that a variable
    /// names beside it, or a flag where no variable does; it goes to no other.
    fn named_token(&self) -> Result<Option<Secret>> {
        let Some(path) = &self.global.token_file else {
            return Ok(None);
        };
        if self.global.given.token_file == Some(Source::Environment) && !self.variable_counts()? {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        Ok(Some(Secret::from(text.trim())))
    }

    /// Whether the platform is the one that the variable with a token is for, as far as that is said. A
    /// flag that names another, or a login, says more than the variable; a platform that nobody has named is
    /// not guessed.
    fn variable_counts(&self) -> Result<bool> {
        let given = &self.global.given;
        let by = |source| [given.server, given.context, given.data].contains(&Some(source));
        if by(Source::Flag) {
            return Ok(given.context != Some(Source::Flag) && platform_variable().is_none());
        }
        if by(Source::Environment) {
            return Ok(true);
        }
        Err(
            Failure::usage("TOWPATH_TOKEN_FILE names a token, and nothing which platform it is for").remedy(
                "name the platform beside it, in TOWPATH_SERVER or by --server; or unset it, to call with \
                 your login",
            ),
        )
    }

    /// Whether there is a token to show: without one, no platform was ever started here.
    pub(crate) fn has_token(&self) -> Result<bool> {
        Ok(self.named_token()?.or(self.admin_token()?).is_some())
    }

    /// A client of the platform, with its token, which says why where that was said.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(self.chosen_client()?.because(self.global.reason.clone()))
    }

    fn chosen_client(&self) -> Result<Client> {
        match self.chosen()? {
            Chosen::Here => {
                let server = self.local_server()?;
                let token = self.named_token()?.or(self.admin_token()?);
                Ok(Client::new(&server, token)?)
            }
            Chosen::Login {
                session, server, ..
            } => match self.named_token()? {
                Some(token) => Ok(Client::new(&server, Some(token))?),
                None => Ok(Client::with_tokens(&server, Arc::new(session))?),
            },
            Chosen::Server(server) => self.client_of(&server),
        }
    }

    /// A client of the platform at an address: with the token that was named, the login there, or, of
    /// this machine, the local admin's. That goes to no other machine, unless its directory is named.
    fn client_of(&self, server: &str) -> Result<Client> {
        if let Some(token) = self.named_token()? {
            return Ok(Client::new(server, Some(token))?);
        }
        if let Some(file) = LoginFile::find() {
            let logins = file.read()?;
            // Of several logins there the one that was chosen.
            let login = logins
                .contexts
                .into_iter()
                .filter(|(_, platform)| platform.server == server && platform.is_logged_in())
                .min_by_key(|(name, _)| logins.current.as_ref() != Some(name));
            if let Some((context, _)) = login {
                let session = Session::new(file, &context, server);
                return Ok(Client::with_tokens(server, Arc::new(session))?);
            }
        }
        let own = client::is_local(server) || self.global.data.is_some();
        let token = if own { self.admin_token()? } else { None };
        Ok(Client::new(server, token)?)
    }

    /// The same, which sits out a restart of the platform.
    pub(crate) fn patient_client(&self) -> Result<Client> {
        Ok(patient(self.client()?))
    }

    /// Whether answers are for people.
    pub(crate) fn is_text(&self) -> bool {
        self.global.output == Format::Text
    }

    /// Writes `text` for people, or `value` for programs. People's holds what others wrote: a terminal is
    /// shown its control characters, and obeys none.
    pub(crate) fn answer(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        match self.global.output {
            Format::Text => self.print(&render::control::shown(&text())),
            format => self.print(&render::document::text(format, value)),
        }
    }

    /// Writes one item of a stream: for JSON one line each.
    pub(crate) fn item(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        match self.global.output {
            Format::Text => self.print(&render::control::shown(&text())),
            Format::Json => self.print(&render::document::line(value)),
            Format::Yaml => self.print(&format!(
                "---\n{}",
                render::document::text(Format::Yaml, value)
            )),
        }
    }

    /// Writes a line of a program's log: to a terminal with its colours and nothing else that a terminal
    /// obeys, elsewhere as it is.
    pub(crate) fn log_line(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        if !self.is_text() {
            return self.item(value, text);
        }
        if std::io::stdout().is_terminal() {
            self.print(&render::control::coloured(&text()))
        } else {
            self.print(&text())
        }
    }

    /// Writes to standard output.
    #[allow(
        clippy::unused_self,
        reason = "all words of a command go through its context"
    )]
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
        written.map_err(|error| unwritten(&error))
    }

    /// Says what is going on, on standard error; nothing where programs read.
    pub(crate) fn say(&self, text: &str) {
        if self.is_text() {
            // Where standard error is closed, nobody can be told.
            let _ = writeln!(std::io::stderr(), "{}", render::control::shown(text));
        }
    }
}

/// That standard output could not be written. A reader that has seen enough ends the program quietly.
pub(crate) fn unwritten(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::told(Exit::Success),
        _ => Failure::io("standard output cannot be written", error),
    }
}

/// The platform of a context.
fn named(context: &str) -> Result<Chosen> {
    if context == LOCAL {
        return Ok(Chosen::Here);
    }
    let file = LoginFile::required()?;
    let mut logins = file.read()?;
    let platform = logins.contexts.remove(context).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no context `{context}`")).remedy(
            "see which there are with `towpath context list`, or make it: `towpath login \
             --server URL --context NAME`",
        )
    })?;
    Ok(Chosen::Login {
        session: Session::new(file, context, &platform.server),
        context: context.into(),
        server: platform.server,
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::NotFound => Exit::NotFound,
        _ => Exit::Failed,
    };
    let message = format!("the token cannot be read from {}: {error}", path.display());
    Failure::new(exit, message).remedy("name a file that you can read with --token-file")
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
