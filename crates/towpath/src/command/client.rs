//! `towpath client`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::every;
use kernel::{Document, Secret};
use serde_json::{Value, json};

use crate::{
    cli::Confirm,
    context::Context,
    failure::Result,
    render::table::table,
    retry_on_conflict::{found, retry_on_conflict},
    secret_file::SecretFile,
};

/// Define which programs may log people in: OAuth clients
///
/// A program's name is its `client_id`. For operators.
#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// List the programs
    List,
    Set(Set),
    /// Draw a program's secret, which replaces the one before
    ///
    /// The secret is written to standard output, this once, or with --out to a file that only its owner can read
    /// (mode 0600). For confidential programs.
    Secret {
        /// The program
        name: String,
        /// Write it to this file, replacing what was there
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Remove a program: its sessions end at their next renewal
    Delete {
        /// The program
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Add a program, or change what you name
///
/// The addresses that you name replace all previous ones.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath client set portal --confidential true --redirect-uri https://portal.example.com/callback\n  towpath client set laptop-tool --device-grant true"
)]
pub(crate) struct Set {
    /// The program
    name: String,
    /// A description for people, shown where they approve a login
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The exact address that people return to after a login. May be given again
    #[arg(long = "redirect-uri", value_name = "URL")]
    redirect_uris: Vec<String>,
    /// The exact address that people return to after a logout. May be given again
    #[arg(long = "post-logout-redirect-uri", value_name = "URL")]
    post_logout_redirect_uris: Vec<String>,
    /// Whether it may log people in with a code that they approve in a browser
    #[arg(long, value_name = "true|false")]
    device_grant: Option<bool>,
    /// Whether it keeps a secret, as a program on a server does
    #[arg(long, value_name = "true|false")]
    confidential: Option<bool>,
}

impl Set {
    async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let read = async || found(client.oidc_client(&self.name).await);
        let write = async |before: Option<Document>, revision: Option<i64>| -> Result<Document> {
            let mut spec = before.map_or_else(|| json!({}), |found| found.spec);
            self.fill(&mut spec);
            let written = client.put_oidc_client(&self.name, &spec, revision);
            Ok(written.await?)
        };
        let written = retry_on_conflict(read, write).await?;
        context.answer(&written, || {
            let needs = written.spec["confidential"] == true && written.status["hasSecret"] != true;
            let name = &self.name;
            if needs {
                format!("program {name} has no secret yet: `towpath client secret {name}`")
            } else {
                format!("program {name} may log people in")
            }
        })
    }

    /// Writes what is named into `spec`.
    fn fill(&self, spec: &mut Value) {
        if let Some(description) = &self.description {
            spec["description"] = json!(description);
        }
        let uris = [
            ("redirectUris", &self.redirect_uris),
            ("postLogoutRedirectUris", &self.post_logout_redirect_uris),
        ];
        for (field, uris) in uris {
            if !uris.is_empty() {
                spec[field] = json!(uris);
            }
        }
        let switches = [
            ("deviceGrant", self.device_grant),
            ("confidential", self.confidential),
        ];
        for (field, value) in switches {
            if let Some(value) = value {
                spec[field] = json!(value);
            }
        }
    }
}

impl Client {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List => {
                let client = context.client()?;
                let all = every(async |page| client.oidc_clients(&page).await).await?;
                context.answer(&json!({ "items": all }), || list(&all))
            }
            Self::Set(set) => set.run(context).await,
            Self::Secret { name, out } => secret(context, &name, out).await,
            Self::Delete { name, confirm } => {
                confirm.check(&name, &format!("program {name} and of its sessions"))?;
                context.client()?.delete_oidc_client(&name).await?;
                context.answer(&json!({ "deleted": name }), || {
                    format!("program {name} is gone: its sessions end at their next renewal")
                })
            }
        }
    }
}

async fn secret(context: &Context, name: &str, out: Option<PathBuf>) -> Result<()> {
    let client = context.client()?;
    // A secret that cannot be written down would have ended the present one for nothing.
    let file = out.as_deref().map(SecretFile::begin).transpose()?;
    let drawn = client.draw_client_secret(name).await?;
    let (Some(file), Some(out)) = (file, out) else {
        context.say(&format!("the secret of program {name}, shown this once:"));
        return context.answer(&drawn, || drawn.client_secret.clone());
    };
    file.finish(&Secret::from(drawn.client_secret.as_str()))?;
    let out = out.display().to_string();
    context.answer(&json!({ "clientId": drawn.client_id, "file": out }), || {
        format!("the secret of program {name} is in {out}")
    })
}

fn list(all: &[Document]) -> String {
    let texts = |value: &Value| {
        let items = value.as_array().into_iter().flatten();
        let texts: Vec<_> = items.filter_map(Value::as_str).collect();
        texts.join(" ")
    };
    let row = |one: &Document| {
        let secret = match (
            one.spec["confidential"] == true,
            one.status["hasSecret"] == true,
        ) {
            (false, _) => "public",
            (true, true) => "has a secret",
            (true, false) => "has no secret yet",
        };
        let device = if one.spec["deviceGrant"] == true {
            "yes"
        } else {
            "no"
        };
        [
            one.meta.name.clone(),
            secret.to_owned(),
            device.to_owned(),
            texts(&one.spec["redirectUris"]),
            one.spec["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        ]
    };
    let head = [
        "name",
        "secret",
        "device grant",
        "redirect uris",
        "description",
    ];
    table(
        head,
        all.iter().map(row).collect(),
        "There are no programs.",
    )
}
