//! `towpath integration set`, `enable`, `disable`, `adopt` and `delete`

use std::path::{Path, PathBuf};

use clap::Args;
use kernel::{Kind as _, Problem, Resource};
use serde_json::{Value, json};
use teams::{
    api::NewIntegration,
    model::{self, IntegrationSpec},
};

use crate::{
    cli::Confirm,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    input,
    retry_on_conflict::retry_on_conflict,
    secret_file,
};

/// Make an integration, or change one
///
/// The file describes the integration: `type`, `config`, and optionally `teams`, `enabled` and `description`, as YAML
/// or JSON; or it is a document of kind Integration, as `towpath apply` takes it and
/// `towpath integration show -o yaml` gives it. The credential is never in it, nor on the command line: it is read
/// from a file, or from standard input, and sealed; without it, the existing one stays.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath integration set github -f github.yaml --credential-file token\n  vault read -field=token kv/github | towpath integration set github -f github.yaml --credential-file -\n  towpath integration set github --credential-file new-token"
)]
pub(crate) struct Set {
    /// The integration
    name: String,
    /// The file that describes the integration; `-` is standard input [default: it stays as it is]
    #[arg(
        long = "file",
        short = 'f',
        value_name = "FILE",
        required_unless_present = "credential_file"
    )]
    file: Option<PathBuf>,
    /// The file with the credential for the tool, without its last line break; `-` is standard input
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
}

impl Set {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let stdin = |file: &Option<PathBuf>| file.as_deref() == Some(Path::new("-"));
        if stdin(&self.file) && stdin(&self.credential_file) {
            return Err(Failure::usage(
                "standard input cannot be both the file and the credential",
            )
            .remedy("name a file for one of them"));
        }
        let client = context.client()?;
        let (mut new, revision) = if let Some(file) = &self.file {
            (described(file, &self.name)?, None)
        } else {
            let held = client.integration(&self.name).await?;
            (as_it_is(held.spec), Some(held.meta.revision))
        };
        if let Some(file) = &self.credential_file {
            let what = format!("the credential of integration {}", self.name);
            let secret = secret_file::read(file, &what).await?;
            let text = secret.expose_str().filter(|text| !text.is_empty());
            let text =
                text.ok_or_else(|| Failure::usage("the credential is empty, or not text"))?;
            new.credential = Some(text.to_owned());
        }
        let with = new.credential.is_some();
        let written = client.put_integration(&self.name, &new, revision).await?;
        told(context, &written, || {
            let sealed = if with { ", with its credential" } else { "" };
            format!("integration {} is written{sealed}", self.name)
        })
    }
}

/// What a file says that an integration should be.
fn described(file: &Path, name: &str) -> Result<NewIntegration> {
    let shown = file.display();
    let mut found = input::values(file)?;
    let wrong = |rule: &str, path: String, message: String, remedy: &str| {
        let problem = Problem::new(rule, path, message).remedy(remedy);
        Failure::new(Exit::Invalid, format!("{shown} describes no integration"))
            .problems(vec![problem])
    };
    let Some(value) = found.pop().filter(|_| found.is_empty()) else {
        return Err(wrong(
            "integration/one",
            shown.to_string(),
            "it does not hold one document".into(),
            "keep one integration in it, or use `towpath apply`",
        ));
    };
    let value = match value.get("kind").and_then(Value::as_str) {
        None => value,
        Some(model::Integration::KIND) => {
            let named = &value["metadata"]["name"];
            if *named != json!(name) {
                return Err(wrong(
                    "integration/name",
                    "metadata.name".into(),
                    format!("it is of {named}, and not of `{name}`"),
                    "name the same integration in both places",
                ));
            }
            value["spec"].clone()
        }
        Some(kind) => {
            return Err(wrong(
                "integration/kind",
                "kind".into(),
                format!("it is of kind `{kind}`"),
                "give a document of kind Integration, or what its `spec` holds",
            ));
        }
    };
    if value.get("credential").is_some() {
        return Err(wrong(
            "integration/credential",
            "credential".into(),
            "a file that is kept with others holds no credential".into(),
            "leave it out, and give it by --credential-file FILE",
        ));
    }
    serde_json::from_value(value).map_err(|error| {
        wrong(
            "integration/shape",
            shown.to_string(),
            error.to_string(),
            "say `type` and `config`, and as far as wanted `teams`, `enabled` and `description`",
        )
    })
}

/// What an integration is, to be changed in part.
fn as_it_is(spec: IntegrationSpec) -> NewIntegration {
    NewIntegration {
        description: spec.description,
        tool: spec.tool,
        config: spec.config,
        teams: spec.teams,
        enabled: spec.enabled,
        credential: None,
    }
}

/// Has the tool kept in step, or left as it is.
pub(super) async fn enable(context: &Context, name: &str, enabled: bool) -> Result<()> {
    let written = changed(context, name, |new| {
        new.enabled = enabled;
        Ok(())
    })
    .await?;
    told(context, &written, || {
        if enabled {
            format!("integration {name} keeps its tool in step")
        } else {
            format!("integration {name} is disabled: its tool stays as it is")
        }
    })
}

/// Has what the tool has already of these teams taken over.
pub(super) async fn adopt(context: &Context, name: &str, teams: &[String]) -> Result<()> {
    let written = changed(context, name, |new| {
        let tool = new.tool.clone();
        let nothing = || {
            Failure::usage(format!("an integration of type `{tool}` adopts nothing"))
                .remedy("it asks whether a thing is there, whoever has made it")
        };
        // What is described by data has no place for it.
        if tool == "http" {
            return Err(nothing());
        }
        let config = new.config.as_object_mut().ok_or_else(nothing)?;
        let adopted = config.entry("adopt").or_insert_with(|| json!([]));
        let adopted = adopted.as_array_mut().ok_or_else(nothing)?;
        for team in teams {
            let team = json!(team);
            if !adopted.contains(&team) {
                adopted.push(team);
            }
        }
        Ok(())
    })
    .await?;
    told(context, &written, || {
        format!(
            "integration {name} takes over what its tool has of {}",
            teams.join(", ")
        )
    })
}

/// Writes an integration anew with what `with` changes, and what others change meanwhile.
async fn changed(
    context: &Context,
    name: &str,
    with: impl Fn(&mut NewIntegration) -> Result<()>,
) -> Result<Resource<model::Integration>> {
    type Held = Resource<model::Integration>;
    let client = context.client()?;
    let read = async || -> Result<Held> { Ok(client.integration(name).await?) };
    let write = async |held: Held, revision: Option<i64>| -> Result<Held> {
        let mut new = as_it_is(held.spec);
        with(&mut new)?;
        Ok(client.put_integration(name, &new, revision).await?)
    };
    retry_on_conflict(read, write).await
}

/// Removes an integration once that is confirmed.
pub(super) async fn delete(context: &Context, name: &str, confirm: &Confirm) -> Result<()> {
    confirm.check(name, &format!("integration {name}"))?;
    context.client()?.delete_integration(name).await?;
    context.answer(&json!({ "removal": "done" }), || {
        format!("integration {name} is gone: its tool stays as it is")
    })
}

fn told(
    context: &Context,
    written: &Resource<model::Integration>,
    words: impl FnOnce() -> String,
) -> Result<()> {
    context.answer(&written.document()?, words)
}
