//! `towpath context`

use clap::Subcommand;
use jiff::Timestamp;
use serde_json::json;

use super::logout::forget;
use crate::{
    context::{Chosen, Context},
    exit::Exit,
    failure::{Failure, Result},
    logins::{LOCAL, LoginFile, Platform},
    render,
};

/// List the platforms where you have logged in, choose one, forget one
#[derive(Debug, Subcommand)]
pub(crate) enum Contexts {
    /// List the platforms where you have logged in
    ///
    /// The one that commands use is marked: the one that --context, TOWPATH_CONTEXT, --server or TOWPATH_SERVER
    /// names, else the one that you chose.
    List {},
    /// Make commands that name no platform use this one
    #[command(
        after_long_help = "Examples:\n  towpath context use sbx\n  towpath context use local"
    )]
    Use {
        /// Its context; `local` is the platform in the data directory
        name: String,
    },
    /// Log out of a platform, and forget where it is
    Remove {
        /// Its context
        name: String,
    },
}

impl Contexts {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let file = LoginFile::required()?;
        match self {
            Self::List {} => list(context, &file),
            Self::Use { name } => choose(context, &file, &name).await,
            Self::Remove { name } => remove(context, &file, &name).await,
        }
    }
}

fn list(context: &Context, file: &LoginFile) -> Result<()> {
    let known = file.read()?.contexts;
    let current = match context.chosen()? {
        Chosen::Login { context, .. } => Some(context),
        Chosen::Here => Some(LOCAL.to_owned()),
        Chosen::Server(server) => known
            .iter()
            .find(|(_, platform)| platform.server == server)
            .map(|(name, _)| name.clone()),
    };
    let is_current = |name: &str| current.as_deref() == Some(name);
    let items: Vec<_> = known
        .iter()
        .map(|(name, platform)| {
            json!({
                "name": name,
                "current": is_current(name),
                "server": platform.server,
                "user": platform.user,
                "loggedIn": may_go_on(platform),
            })
        })
        .collect();
    context.answer(&json!({ "items": items }), || {
        let mark = |name: &str| if is_current(name) { "*" } else { "" }.to_owned();
        let mut rows: Vec<[String; 5]> = known
            .iter()
            .map(|(name, platform)| {
                let state = if may_go_on(platform) {
                    "logged in"
                } else {
                    "login needed"
                };
                [
                    mark(name),
                    name.clone(),
                    platform.server.clone(),
                    platform.user.clone().unwrap_or_default(),
                    state.to_owned(),
                ]
            })
            .collect();
        if let Ok(server) = context.local_server() {
            let admin = "local-admin".to_owned();
            rows.push([mark(LOCAL), LOCAL.into(), server, admin, String::new()]);
        }
        render::table::table(
            ["current", "name", "platform", "user", "state"],
            rows,
            "You are logged in nowhere: `towpath login --server URL`.",
        )
    })
}

/// Whether the login is not known to be over: the platform may have ended it.
fn may_go_on(platform: &Platform) -> bool {
    let by_tokens = platform
        .tokens
        .as_ref()
        .is_some_and(|tokens| tokens.refresh.is_some() || Timestamp::now() < tokens.expires);
    by_tokens || platform.machine.is_some()
}

fn unknown(name: &str) -> Failure {
    Failure::new(
        Exit::NotFound,
        format!("there is no context `{}`", name.escape_debug()),
    )
    .remedy("see which there are with `towpath context list`")
}

async fn choose(context: &Context, file: &LoginFile, name: &str) -> Result<()> {
    let lock = file.lock().await?;
    let mut logins = lock.read()?;
    if name != LOCAL && !logins.contexts.contains_key(name) {
        return Err(unknown(name));
    }
    logins.current = (name != LOCAL).then(|| name.to_owned());
    lock.write(&logins)?;
    context.answer(&json!({ "current": name }), || {
        match logins.contexts.get(name) {
            Some(platform) => format!("Commands are about {} from now on.", platform.server),
            None => "Commands are about the platform in the data directory from now on.".into(),
        }
    })
}

async fn remove(context: &Context, file: &LoginFile, name: &str) -> Result<()> {
    if !file.read()?.contexts.contains_key(name) {
        return Err(unknown(name));
    }
    let ended = forget(file, name).await?;
    let lock = file.lock().await?;
    let mut logins = lock.read()?;
    logins.contexts.remove(name);
    if logins.current.as_deref() == Some(name) {
        logins.current = None;
    }
    lock.write(&logins)?;
    drop(lock);
    if let Some(failure) = ended.and_then(|ended| ended.outcome.err()) {
        context.say(&format!(
            "warning: the platform could not be told that the session is over ({}); it ends by itself",
            failure.message
        ));
    }
    context.answer(&json!({ "removed": name }), || {
        format!("The context `{name}` is forgotten.")
    })
}
