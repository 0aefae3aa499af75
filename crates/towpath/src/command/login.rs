//! `towpath login`

mod machine;

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use clap::Args;
use client::{DeviceCode, DeviceState, Provider, WhoAmI};
use jiff::Timestamp;
use serde_json::json;

use self::machine::ByItself;
use crate::{
    cli::Source,
    context::{Chosen, Context, platform_variable},
    exit::Exit,
    failure::{Failure, Result},
    logins::{self, CLIENT, LoginFile, Machine, Platform, Session, Tokens},
};

/// By how much to slow down where the platform says so, or does not answer (RFC 8628, section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// Log in to a platform
///
/// Prints an address and a code, and opens the address if there is a browser: log in there, compare the code, and
/// approve. The login is kept in ~/.config/towpath/config.yaml, readable only by you, and renewed as you go; it lasts
/// for days. Commands that name no platform then use this one.
///
/// With --service-account a pipeline, a program or an agent logs in by itself: with a key, in --key-file or in the
/// variable TOWPATH_KEY, or, in a job of a CI system that the team trusts, with the job's own token, in
/// --workload-token-file. Files are read again at each renewal. A key that came from a variable or from standard
/// input is kept with the login, to renew it; a job's token is not, so the login ends with the token.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath login --server https://towpath.example.com\n  towpath login --server https://towpath.sbx.example.com --context sbx\n  towpath login --context sbx\n  ssh build towpath login --no-browser\n  towpath login --server https://towpath.example.com --service-account payments/ci --key-file ci.key\n  towpath login --server https://towpath.example.com --service-account payments/ci --workload-token-file job.jwt"
)]
pub(crate) struct Login {
    /// Open no browser; the address is always printed
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    machine: ByItself,
}

impl Login {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let file = LoginFile::required()?;
        // Refused before anybody logs in: where it cannot be kept, a login is of no use.
        let known = file.read()?;
        let server = server(context)?;
        let provider = Provider::discover(&server, CLIENT).await?;
        let issuer = provider.issuer().to_owned();
        if issuer != server {
            context.say(&format!(
                "{server} is reached at {issuer}: logging in there"
            ));
        }
        let name = match named(context) {
            Some(name) => name,
            // As it was called before, where it was.
            None => known
                .contexts
                .iter()
                .find(|(_, platform)| platform.server == issuer)
                .map_or_else(|| logins::name_of(&issuer), |(name, _)| name.clone()),
        };
        check_name(&name)?;
        if let Some(other) = known.contexts.get(&name)
            && other.server != issuer
        {
            return Err(another(&name, &other.server));
        }
        let (given, machine) = match self.machine.tokens(&provider).await? {
            Some(login) => login,
            None => (self.by_person(&provider).await?, None),
        };
        let tokens = Tokens::new(&given, Timestamp::now())?;
        let who = keep(&file, &name, &issuer, tokens, machine).await?;
        let answer = json!({
            "context": name, "server": issuer, "subject": who.subject, "teams": who.teams,
        });
        context.answer(&answer, || {
            let teams = match who.teams.as_slice() {
                [] => String::new(),
                teams => format!(", of {}", teams.join(", ")),
            };
            let elsewhere = platform_variable().filter(|(variable, value)| match *variable {
                "TOWPATH_SERVER" => value.trim_end_matches('/') != issuer.trim_end_matches('/'),
                "TOWPATH_CONTEXT" => *value != name,
                _ => true,
            });
            let from_now_on = match elsewhere {
                None => format!("Commands are about it from now on (context `{name}`)."),
                Some((variable, _)) => format!(
                    "But {variable} is set, and goes first: unset it, or say --context {name}."
                ),
            };
            format!(
                "You are logged in to {issuer} as {}{teams}. {from_now_on}",
                who.subject
            )
        })
    }
}

impl Login {
    /// Has somebody approve the login in a browser.
    async fn by_person(&self, provider: &Provider) -> Result<client::Tokens> {
        let code = provider.device_start().await?;
        tell(&code);
        if !self.no_browser {
            logins::open(
                code.verification_uri_complete
                    .as_ref()
                    .unwrap_or(&code.verification_uri),
            );
        }
        approved(provider, &code).await
    }
}

/// The context that was named, where that is for this login and not for another platform.
fn named(context: &Context) -> Option<String> {
    let given = context.global.given;
    let overruled =
        given.server == Some(Source::Flag) && given.context == Some(Source::Environment);
    context.global.context.clone().filter(|_| !overruled)
}

/// Where to log in.
fn server(context: &Context) -> Result<String> {
    let file = LoginFile::required()?;
    let known = match named(context) {
        Some(name) => file.read()?.contexts.remove(&name),
        None => None,
    };
    let given = &context.global.server;
    match (known, given) {
        // A variable names a server, a flag a context of another: that one.
        (Some(platform), Some(_)) if context.global.given.server == Some(Source::Environment) => {
            Ok(platform.server)
        }
        (_, Some(server)) => Ok(server.trim_end_matches('/').to_owned()),
        (Some(platform), None) => Ok(platform.server),
        (None, None) => match named(context) {
            Some(name) if name != logins::LOCAL => context.local_server().map_err(|_| {
                Failure::new(Exit::NotFound, format!("there is no context `{name}` yet")).remedy(
                    format!(
                        "say where its platform is: `towpath login --server URL --context {name}`"
                    ),
                )
            }),
            Some(_) => context.local_server(),
            None => match context.chosen()? {
                Chosen::Login { server, .. } | Chosen::Server(server) => Ok(server),
                Chosen::Here => context.local_server(),
            },
        },
    }
}

fn check_name(name: &str) -> Result<()> {
    if logins::is_name(name) {
        return Ok(());
    }
    let why = if name == logins::LOCAL {
        "`local` is the platform in the data directory, and needs no login".to_owned()
    } else {
        format!(
            "a context cannot be called `{}`: letters, digits, `.`, `_` and `-`",
            name.escape_debug()
        )
    };
    Err(Failure::new(Exit::Invalid, why).remedy("choose another name with --context"))
}

fn another(name: &str, server: &str) -> Failure {
    Failure::new(
        Exit::Conflict,
        format!("the context `{name}` is that of {server}"),
    )
    .remedy(format!(
        "choose another name with --context, or `towpath context remove {name}` first"
    ))
}

/// Says where to go, to people: on standard error, in whichever form the answer is.
fn tell(code: &DeviceCode) {
    let address = code
        .verification_uri_complete
        .as_ref()
        .unwrap_or(&code.verification_uri);
    // Where standard error is closed, nobody can be told.
    let _ = writeln!(
        std::io::stderr(),
        "To log in, open this page, and approve if it shows the code {}:\n\n  {}\n",
        code.user_code.escape_debug(),
        address.escape_debug(),
    );
}

/// Waits until somebody has decided.
async fn approved(provider: &Provider, code: &DeviceCode) -> Result<client::Tokens> {
    let begun = Instant::now();
    let mut interval = code.interval;
    loop {
        tokio::time::sleep(interval).await;
        if begun.elapsed() > code.expires_in {
            return Err(Failure::new(
                Exit::Timeout,
                "nobody approved the login before its code ended",
            )
            .remedy("begin again: `towpath login`"));
        }
        match provider.device_poll(&code.device_code).await {
            Ok(DeviceState::Approved(tokens)) => return Ok(tokens),
            Ok(DeviceState::Pending) => {}
            Ok(DeviceState::SlowDown) => interval += SLOWER,
            Err(client::Error::Grant { code, .. }) if code == "access_denied" => {
                return Err(
                    Failure::new(Exit::Refused, "the login was denied in the browser")
                        .remedy("if that was a mistake, begin again: `towpath login`"),
                );
            }
            Err(client::Error::Grant { code, .. }) if code == "expired_token" => {
                return Err(Failure::new(
                    Exit::Timeout,
                    "nobody approved the login before its code ended",
                )
                .remedy("begin again: `towpath login`"));
            }
            // The platform restarts, or the line is down: the code is good for a while yet.
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "the platform is asked again");
                interval += SLOWER;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Keeps the login; ends the one before it. Says who it is.
async fn keep(
    file: &LoginFile,
    name: &str,
    issuer: &str,
    tokens: Tokens,
    machine: Option<Machine>,
) -> Result<WhoAmI> {
    let lock = file.lock().await?;
    let mut known = lock.read()?;
    let before = known.contexts.remove(name);
    if let Some(other) = before.as_ref().filter(|before| before.server != issuer) {
        return Err(another(name, &other.server));
    }
    known.contexts.insert(
        name.into(),
        Platform {
            server: issuer.into(),
            user: None,
            tokens: Some(tokens),
            machine,
        },
    );
    known.current = Some(name.into());
    lock.write(&known)?;
    drop(lock);
    if let Some(before) = before
        && let Err(error) = super::logout::end(&before).await
    {
        // It ends by itself when it is not used.
        tracing::debug!(message = error.message, "the login before was not ended");
    }
    let session = Session::new(file.clone(), name, issuer);
    let client = client::Client::with_tokens(issuer, std::sync::Arc::new(session))?;
    let who = client.whoami().await?;
    let lock = file.lock().await?;
    let mut known = lock.read()?;
    if let Some(platform) = known.contexts.get_mut(name) {
        platform.user = Some(who.subject.clone());
    }
    lock.write(&known)?;
    Ok(who)
}
