//! `towpath upstream`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::{UpstreamSecrets, every};
use kernel::{Document, Secret};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    cli::Confirm,
    context::Context,
    failure::{Failure, Result},
    render::table::table,
    retry_on_conflict::{found, retry_on_conflict},
    secret_file,
};

/// Define where people log in: the organization's own OpenID provider, or GitHub
///
/// For operators.
#[derive(Debug, Subcommand)]
pub(crate) enum Upstream {
    /// List where people log in
    List,
    Set(Box<Set>),
    /// Remove one: its people's sessions end at their next renewal or recheck, and nobody can log in through it
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Make one, or change what you name
///
/// Register ISSUER/login/NAME/callback there as the redirect URI, and at an OpenID provider
/// ISSUER/login/NAME/backchannel-logout as the back-channel logout URI, so that people who are logged out there are
/// logged out here. The upstream's name is the first part of its people's names (`NAME:ID`). Secrets are read from
/// files, or from standard input if the file is `-`, where a terminal prompts for them; what is not given stays.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath upstream set acme --title Acme --client-id towpath --issuer https://login.acme.example --secret-file secret.txt\n  towpath upstream set github --title GitHub --client-id Ov23liAbc --github-org acme --secret-file -"
)]
pub(crate) struct Set {
    /// Its name
    name: String,
    /// What the login page offers
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The platform's `client_id` there
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The file with the platform's secret there; `-` is standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The issuer of an OpenID provider
    #[arg(long, value_name = "URL", group = "provider")]
    issuer: Option<String>,
    /// The claim that lists a person's groups, of an OpenID provider [default: groups]
    #[arg(long, value_name = "CLAIM", conflicts_with = "github_org")]
    groups_claim: Option<String>,
    /// A scope to ask an OpenID provider for besides openid, profile, email and offline_access. May be given again
    #[arg(long = "scope", value_name = "SCOPE", conflicts_with = "github_org")]
    scopes: Vec<String>,
    /// The GitHub organization whose teams are people's groups
    #[arg(long, value_name = "ORG", group = "provider")]
    github_org: Option<String>,
    /// Where GitHub is [default: https://github.com]
    #[arg(long, value_name = "URL", conflicts_with = "issuer")]
    github_url: Option<String>,
    /// Where its API is [default: https://api.github.com]
    #[arg(long, value_name = "URL", conflicts_with = "issuer")]
    github_api_url: Option<String>,
    /// The file with a token that lists GitHub's teams and their members; `-` is standard input
    #[arg(long, value_name = "FILE")]
    directory_token_file: Option<PathBuf>,
    /// Forget that token
    #[arg(long, conflicts_with = "directory_token_file")]
    no_directory_token: bool,
}

impl Set {
    async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        // Asked for once it is known that what is named goes together.
        let secrets: OnceCell<UpstreamSecrets> = OnceCell::new();
        let read = async || found(client.upstream(&self.name).await);
        let write = async |before: Option<Document>, revision: Option<i64>| -> Result<Document> {
            let mut spec = before.map_or_else(|| json!({ "title": self.name }), |found| found.spec);
            self.fill(&mut spec)?;
            let secrets = secrets.get_or_try_init(|| self.secrets()).await?;
            let written = client.put_upstream(&self.name, &spec, secrets, revision);
            Ok(written.await?)
        };
        let written = retry_on_conflict(read, write).await?;
        context.answer(&written, || {
            let name = &self.name;
            let mut said = format!(
                "people log in by {}: the redirect URI to register there ends in /login/{name}/callback",
                written.spec["title"]
            );
            if written.spec["provider"]["type"] == "oidc" {
                said += &format!(
                    ", the back-channel logout URI in /login/{name}/backchannel-logout"
                );
            }
            said
        })
    }

    /// Writes what is named into `spec`.
    fn fill(&self, spec: &mut Value) -> Result<()> {
        let named = [("title", &self.title), ("clientId", &self.client_id)];
        for (field, value) in named {
            if let Some(value) = value {
                spec[field] = json!(value);
            }
        }
        // A provider of another sort is another provider, with nothing of the one before.
        let is = |sort: &str, spec: &Value| spec["provider"]["type"] == sort;
        if let Some(issuer) = &self.issuer {
            if !is("oidc", spec) {
                spec["provider"] = json!({ "type": "oidc" });
            }
            spec["provider"]["issuer"] = json!(issuer);
        }
        if let Some(org) = &self.github_org {
            if !is("github", spec) {
                spec["provider"] = json!({ "type": "github" });
            }
            spec["provider"]["org"] = json!(org);
        }
        if spec["provider"].is_null() {
            return Err(Failure::usage("it is not said what it is")
                .remedy("name an OpenID provider by --issuer URL, or GitHub by --github-org ORG"));
        }
        if spec["clientId"].is_null() {
            return Err(
                Failure::usage("it is not said as what the platform is known there")
                    .remedy("name it by --client-id, as it was registered there"),
            );
        }
        let scopes = (!self.scopes.is_empty()).then(|| json!(self.scopes));
        let of_sort = [
            (
                "oidc",
                "groupsClaim",
                self.groups_claim.as_ref().map(|v| json!(v)),
            ),
            ("oidc", "scopes", scopes),
            ("github", "url", self.github_url.as_ref().map(|v| json!(v))),
            (
                "github",
                "apiUrl",
                self.github_api_url.as_ref().map(|v| json!(v)),
            ),
        ];
        for (sort, field, value) in of_sort {
            let Some(value) = value else { continue };
            if !is(sort, spec) {
                return Err(Failure::usage(format!(
                    "`{field}` is of providers of type {sort}, and {} is of another",
                    self.name
                )));
            }
            spec["provider"][field] = value;
        }
        Ok(())
    }

    async fn secrets(&self) -> Result<UpstreamSecrets> {
        let stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        if stdin(&self.secret_file) && stdin(&self.directory_token_file) {
            return Err(
                Failure::usage("standard input holds one secret, and not two")
                    .remedy("name a file for one of them"),
            );
        }
        let mut secrets = UpstreamSecrets::default();
        if let Some(file) = &self.secret_file {
            let what = format!("the platform's secret at {}", self.name);
            secrets.secret = Some(secret_file::read(file, &what).await?);
        }
        if let Some(file) = &self.directory_token_file {
            let what = format!("the token that lists the groups of {}", self.name);
            secrets.directory_token = Some(secret_file::read(file, &what).await?);
        } else if self.no_directory_token {
            secrets.directory_token = Some(Secret::from(""));
        }
        Ok(secrets)
    }
}

impl Upstream {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List => {
                let client = context.client()?;
                let all = every(async |page| client.upstreams(&page).await).await?;
                context.answer(&json!({ "items": all }), || list(&all))
            }
            Self::Set(set) => set.run(context).await,
            Self::Delete { name, confirm } => {
                let what = format!("upstream {name} and of the sessions of its people");
                confirm.check(&name, &what)?;
                context.client()?.delete_upstream(&name).await?;
                context.answer(&json!({ "deleted": name }), || {
                    format!(
                        "nobody logs in by upstream {name} any more: its people's sessions end at their \
                         next renewal, or when they are next asked for"
                    )
                })
            }
        }
    }
}

fn list(all: &[Document]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |one: &Document| {
        let provider = &one.spec["provider"];
        let place = match provider["type"].as_str() {
            Some("github") => format!("{} at {}", text(&provider["org"]), text(&provider["url"])),
            _ => text(&provider["issuer"]),
        };
        [
            one.meta.name.clone(),
            text(&one.spec["title"]),
            text(&provider["type"]),
            place,
            text(&one.spec["clientId"]),
        ]
    };
    table(
        ["name", "title", "type", "place", "client id"],
        all.iter().map(row).collect(),
        "People log in with users of the platform's own alone.",
    )
}
