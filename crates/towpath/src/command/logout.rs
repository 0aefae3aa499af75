//! `towpath logout`

use clap::Args;
use client::Provider;
use serde_json::json;

use crate::{
    context::{Chosen, Context},
    exit::Exit,
    failure::{Failure, Result},
    logins::{CLIENT, LoginFile, Platform},
};

/// Log out of a platform
///
/// Forgets the tokens, and has the platform end the session. If the platform does not answer, the command still
/// forgets the tokens, and says what it could not do. For a service account's login it forgets the key too, if it was
/// kept here; `towpath service-account key revoke` ends the key. The context stays, for the next login.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath logout\n  towpath logout --context sbx\n  towpath logout --all"
)]
pub(crate) struct Logout {
    /// Log out of every platform
    #[arg(long)]
    all: bool,
}

impl Logout {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let file = LoginFile::required()?;
        let names: Vec<String> = if self.all {
            file.read()?.contexts.into_keys().collect()
        } else {
            vec![name(context, &file)?]
        };
        let mut answers = Vec::new();
        let mut said = Vec::new();
        for name in names {
            let Some(ended) = forget(&file, &name).await? else {
                said.push(format!("Nobody is logged in at `{name}`."));
                continue;
            };
            let why = ended.outcome.err();
            said.push(format!("You are logged out of {}.", ended.server));
            if let Some(account) = &ended.machine {
                context.say(&format!(
                    "note: what {account} logged in with goes on: `towpath service-account key revoke` ends a \
                     key, `towpath trust delete` a trust"
                ));
            }
            if let Some(failure) = &why {
                context.say(&format!(
                    "warning: {} could not be told ({}). The tokens are forgotten here. The session there \
                     ends by itself: after two days without use and seven days in all, unless the platform \
                     is set otherwise. Who has a copy of the tokens can use it until then",
                    ended.server, failure.message
                ));
            }
            answers.push(json!({
                "context": name,
                "server": ended.server,
                "revoked": why.is_none(),
                "reason": why.map(|failure| failure.message.clone()),
            }));
        }
        context.answer(&json!({ "items": answers }), || said.join("\n"))
    }
}

/// The context that is meant.
fn name(context: &Context, file: &LoginFile) -> Result<String> {
    let nobody = || {
        Failure::new(Exit::NotFound, "nobody is logged in here")
            .remedy("see the logins with `towpath context list`")
    };
    match context.chosen()? {
        Chosen::Login { context, .. } => Ok(context),
        Chosen::Server(server) => file
            .read()?
            .contexts
            .into_iter()
            .find(|(_, platform)| platform.server == server)
            .map(|(name, _)| name)
            .ok_or_else(nobody),
        Chosen::Here => Err(nobody()),
    }
}

/// A login that was ended here.
pub(super) struct Ended {
    pub(super) server: String,
    /// The service account that was logged in, where it was no person.
    pub(super) machine: Option<String>,
    /// Whether it was ended there.
    pub(super) outcome: Result<()>,
}

/// Forgets the tokens of a context, and has the platform end their session. None where there are none.
pub(super) async fn forget(file: &LoginFile, name: &str) -> Result<Option<Ended>> {
    let lock = file.lock().await?;
    let mut logins = lock.read()?;
    let Some(platform) = logins.contexts.get_mut(name) else {
        return Ok(None);
    };
    if !platform.is_logged_in() {
        return Ok(None);
    }
    let before = platform.clone();
    (platform.tokens, platform.machine) = (None, None);
    // Whatever becomes of it there.
    lock.write(&logins)?;
    drop(lock);
    let outcome = end(&before).await;
    Ok(Some(Ended {
        server: before.server,
        machine: before.machine.map(|machine| machine.service_account),
        outcome,
    }))
}

/// Has the platform end a login: a person's session, or the one token of a service account.
pub(super) async fn end(login: &Platform) -> Result<()> {
    let Some(tokens) = &login.tokens else {
        return Ok(());
    };
    let server = &login.server;
    let client = match &login.machine {
        Some(machine) => machine.service_account.as_str(),
        None => CLIENT,
    };
    let token = tokens.refresh.as_ref().unwrap_or(&tokens.access);
    let provider = Provider::discover(server, client).await?;
    if provider.issuer() != *server {
        let message = format!("it says that it is {}", provider.issuer());
        return Err(Failure::new(Exit::Conflict, message));
    }
    Ok(provider.revoke(&token.as_str().into()).await?)
}
