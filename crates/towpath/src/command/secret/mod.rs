//! `towpath secret`

mod render;

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand};
use client::{Client, every};
use kernel::{Secret, http::PageQuery};
use secrets::{
    api::{Encoded, PutSecret, RotatedSecrets, Rotation, SecretsQuery},
    model::{SecretInfo, SecretRef},
};

use super::{deploy::Wait, unreadable};
use crate::{
    context::{Context, unwritten},
    exit::Exit,
    failure::{Failure, Result},
    progress, prompt,
    render::quantity::parse_whole,
};

/// Keep a team's secrets: write, show, list, rotate, remove
///
/// A value is never an argument, because others on the machine could read it. It is shown only if you ask for it,
/// which is recorded.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    Set(Set),
    Get(Get),
    /// List a team's secrets, without their values
    List {
        /// Only this path, and what lies below it
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
        #[command(flatten)]
        team: TeamArg,
    },
    Rotate(Rotate),
    /// Remove a secret with all its versions
    Delete {
        #[command(flatten)]
        secret: Named,
    },
}

/// The team that a command is about.
#[derive(Debug, Args)]
pub(crate) struct TeamArg {
    /// The team
    #[arg(
        long,
        short,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "TEAM"
    )]
    team: Option<String>,
}

impl TeamArg {
    fn name(&self) -> Result<&str> {
        self.team.as_deref().ok_or_else(|| {
            Failure::usage("it is not said which team's secrets are meant")
                .remedy("name the team with --team, or in TOWPATH_TEAM")
        })
    }
}

/// The team whose is what operators make without naming one; nobody need have onboarded it.
const CATCH_ALL: &str = "default";

/// One secret.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The secret's name, such as stripe/api-key, or its reference, towpath://TEAM/NAME
    name: String,
    #[command(flatten)]
    team: TeamArg,
}

impl Named {
    fn secret(&self) -> Result<SecretRef> {
        if self.name.starts_with(SecretRef::SCHEME) {
            return Ok(self.name.parse()?);
        }
        Ok(SecretRef::new(self.team.name()?, &self.name)?)
    }
}

/// Write a new version of a secret
///
/// The value is read from standard input, whose last line break does not count, or from a file, byte by byte; at a
/// terminal you are prompted for it, and it is not shown. A value that is already the newest is not written again.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath secret set stripe/api-key --team payments < key.txt\n  towpath secret set tls/key --team payments --from-file key.pem\n  towpath secret set session-key --team payments --generate"
)]
pub(crate) struct Set {
    #[command(flatten)]
    secret: Named,
    /// Read the value from this file
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    from_file: Option<PathBuf>,
    /// Have the platform draw the value, with this many random bytes; `rotate` then draws another
    #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "32", value_parser = parse_whole::<usize>)]
    generate: Option<usize>,
    /// Say what it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Write only if this version is the newest; 0: only if there is none
    #[arg(long, value_name = "VERSION", value_parser = parse_whole::<u64>)]
    if_version: Option<u64>,
}

impl Set {
    async fn run(self, context: &Context) -> Result<()> {
        let secret = self.secret.secret()?;
        let value = match (self.generate, &self.from_file) {
            (Some(_), _) => None,
            (None, Some(file)) => {
                let read = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
                Some(Secret::new(read))
            }
            (None, None) => Some(prompt::hidden(&format!("value of {secret}")).await?),
        };
        let put = PutSecret {
            value: value.as_ref().map(Encoded::of),
            generate: self.generate,
            description: self.description,
        };
        let written = context
            .client()?
            .put_secret(&secret, &put, self.if_version)
            .await?;
        context.answer(&written, || {
            format!("{secret} is at version {}", written.version)
        })?;
        // Operators keep what a team finds when it is onboarded, and mistype its name.
        let team = secret.team.as_str();
        if written.version == 1
            && team != CATCH_ALL
            && let Err(error) = context.client()?.team(team).await
            && error.is_not_found()
        {
            context.say(&format!(
                "note: there is no team `{team}` yet, and only a platform engineer can onboard one for which something \
                 is kept; where it is called otherwise: `towpath secret delete {secret}`"
            ));
        }
        Ok(())
    }
}

/// Show a secret, and its value if you ask for it
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath secret get stripe/api-key --team payments\n  towpath secret get stripe/api-key --team payments --value"
)]
pub(crate) struct Get {
    #[command(flatten)]
    secret: Named,
    /// Write the value to standard output, byte by byte; recorded as an event
    #[arg(long)]
    value: bool,
    /// That of this version [default: the newest]
    #[arg(long, value_name = "VERSION", requires = "value", value_parser = parse_whole::<u64>)]
    version: Option<u64>,
}

impl Get {
    async fn run(self, context: &Context) -> Result<()> {
        let secret = self.secret.secret()?;
        let client = context.client()?;
        if !self.value {
            let info = client.secret(&secret).await?;
            return context.answer(&info, || render::info(&info));
        }
        let found = client.secret_value(&secret, self.version).await?;
        if !context.is_text() {
            return context.answer(&found, String::new);
        }
        let value = found.value.decode()?;
        let mut out = std::io::stdout().lock();
        let written = out.write_all(value.expose()).and_then(|()| {
            if std::io::IsTerminal::is_terminal(&out) {
                out.write_all(b"\n")?;
            }
            out.flush()
        });
        written.map_err(|error| unwritten(&error))
    }
}

/// Give secrets new values, if the platform draws them
///
/// Rotates the secrets that --generate has made, and the keys of deploy credentials. A secret that somebody wrote is
/// listed, and stays: its author writes the next one. What fails is listed with the reason; run again, the command
/// goes on with it, and rotates nothing twice.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath secret rotate session-key --team payments\n  towpath secret rotate --path deploy-credentials --team payments -o json"
)]
pub(crate) struct Rotate {
    /// The secret's name
    #[arg(required_unless_present = "path", conflicts_with = "path")]
    name: Option<String>,
    /// All secrets below this path
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    #[command(flatten)]
    team: TeamArg,
    #[command(flatten)]
    wait: Wait,
}

impl Rotate {
    async fn run(self, context: &Context) -> Result<()> {
        let one = self
            .name
            .map(|name| {
                let team = TeamArg {
                    team: self.team.team.clone(),
                };
                Named { name, team }.secret()
            })
            .transpose()?;
        let (team, path) = match &one {
            Some(secret) => (secret.team.as_str(), secret.name.as_str()),
            None => (self.team.name()?, self.path.as_deref().unwrap_or_default()),
        };
        let client = context.patient_client()?;
        let mut rotated = client.rotate_secrets(team, path).await?;
        let waited = if self.wait.no_wait() {
            Ok(())
        } else {
            wait_for_asked(&client, &self.wait, &mut rotated).await
        };
        // Whatever comes of the waiting, what became of each is said.
        context.answer(&rotated, || render::rotated(&rotated))?;
        let all = rotated.items.len();
        let are = |rotation| {
            let items = rotated.items.iter();
            items.filter(|item| item.rotation == rotation).count()
        };
        let failed = are(Rotation::Failed);
        if failed > 0 {
            return Err(Failure::new(
                Exit::Failed,
                format!("{failed} of {all} secrets were not rotated"),
            )
            .remedy("rotate again: it goes on with these, and rotates no other twice"));
        }
        waited?;
        if are(Rotation::Written) < all {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Conflict,
            "nothing was rotated: the platform did not draw these values",
        )
        .remedy("write the next value with `towpath secret set`"))
    }
}

/// Waits until what was asked for is there. Fails with the first that does not come.
async fn wait_for_asked(client: &Client, wait: &Wait, rotated: &mut RotatedSecrets) -> Result<()> {
    let asked = rotated
        .items
        .iter_mut()
        .filter(|item| item.rotation == Rotation::Asked);
    for item in asked {
        let secret = SecretRef::new(&item.secret.team, &item.secret.name)?;
        let before = item.secret.version;
        let task = format!("the rotation of {secret}");
        item.secret = progress::until(wait, &task, async || {
            let now = client.secret(&secret).await?;
            Ok((now.version > before).then_some(now))
        })
        .await?;
        item.rotation = Rotation::Rotated;
    }
    Ok(())
}

impl SecretCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Set(set) => set.run(context).await,
            Self::Get(get) => get.run(context).await,
            Self::List { path, team } => {
                let client = context.client()?;
                let team = team.name()?;
                let found: Vec<SecretInfo> = every(async |page: PageQuery| {
                    let query = SecretsQuery {
                        path: path.clone(),
                        after: page.after,
                        limit: None,
                    };
                    client.secrets(team, &query).await
                })
                .await?;
                context.answer(&serde_json::json!({ "items": found }), || {
                    render::list(&found)
                })
            }
            Self::Rotate(rotate) => rotate.run(context).await,
            Self::Delete { secret } => {
                let secret = secret.secret()?;
                context.client()?.delete_secret(&secret).await?;
                context.answer(&serde_json::json!({ "removal": "done" }), || {
                    format!("{secret} is gone")
                })
            }
        }
    }
}
