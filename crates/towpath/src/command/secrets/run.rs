//! `towpath secrets run`

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::PathBuf,
    process::Command,
};

use clap::Args;
use kernel::{Problem, Secret};
use secrets::{env_file, model::SecretRef};

use super::resolve::resolve;
use crate::{
    command::unreadable,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Run a program with secrets in its environment
///
/// References are read from the environment and from env files (NAME=VALUE lines): files override the environment,
/// and later files earlier ones. This program becomes the other one: exit code, signals and streams are the other's
/// own, and no other process has the values. Its output is not searched for them.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath secrets run --env-file app.env -- ./migrate --all\n  STRIPE_KEY=towpath://payments/stripe/api-key towpath secrets run -- ./app"
)]
pub(crate) struct Run {
    /// Read variables from this file too
    #[arg(long = "env-file", value_name = "FILE")]
    env_files: Vec<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let variables = self.variables()?;
        let references = variables
            .values()
            .filter_map(|value| match value {
                Value::Reference(reference) => Some(reference.clone()),
                Value::Plain(_) => None,
            })
            .collect::<BTreeSet<_>>();
        let values = if references.is_empty() {
            BTreeMap::new()
        } else {
            resolve(&context.client()?, references).await?
        };
        refuse_nul(&variables, &values)?;
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Failure::usage("there is no program to run"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in &variables {
            let value = match value {
                Value::Plain(text) => text.as_os_str(),
                Value::Reference(reference) => values
                    .get(reference)
                    .map_or(OsStr::new(""), |value| OsStr::from_bytes(value.expose())),
            };
            command.env(name, value);
        }
        let error = command.exec();
        let doing = format!("{} cannot be run", program.to_string_lossy());
        let mut failure = Failure::io(&doing, &error);
        if error.kind() == std::io::ErrorKind::NotFound {
            failure.exit = Exit::NotFound;
        }
        Err(failure)
    }

    /// What is to be set: references of the environment, and all of the files.
    fn variables(&self) -> Result<BTreeMap<OsString, Value>> {
        let (mut variables, mut problems) = (BTreeMap::new(), Vec::new());
        let scheme = SecretRef::SCHEME.as_bytes();
        for (name, value) in std::env::vars_os() {
            if value.as_bytes().starts_with(scheme) {
                let of = name.to_string_lossy().into_owned();
                match Value::of(value, &of) {
                    Ok(value) => drop(variables.insert(name, value)),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        let mut sources = BTreeMap::new();
        for path in &self.env_files {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
            match env_file::parse(&file, &text) {
                Err(wrong) => problems.extend(wrong),
                Ok(read) => {
                    for variable in read {
                        let of = format!("{file}, line {}: {}", variable.line, variable.name);
                        match Value::of(variable.value.into(), &of) {
                            Ok(value) => drop(variables.insert(variable.name.into(), value)),
                            Err(problem) => problems.push(problem),
                        }
                    }
                }
            }
            sources.insert(file, text);
        }
        if problems.is_empty() {
            return Ok(variables);
        }
        Err(Failure::new(
            Exit::Invalid,
            "the variables cannot be used: nothing was run",
        )
        .problems(problems)
        .sources(sources))
    }
}

/// What a variable is to hold.
enum Value {
    Plain(OsString),
    Reference(SecretRef),
}

impl Value {
    /// `of` names it in problems.
    fn of(value: OsString, of: &str) -> Result<Self, Problem> {
        let Some(text) = value
            .to_str()
            .filter(|text| text.starts_with(SecretRef::SCHEME))
        else {
            return Ok(Self::Plain(value));
        };
        text.parse().map(Self::Reference).map_err(|error| {
            let problem = Problem::new("secrets/reference", "", format!("{of}: {}", error.message));
            match error.remedy {
                Some(remedy) => problem.remedy(remedy),
                None => problem,
            }
        })
    }
}

/// An environment holds no NUL: what has one would be cut off, or not start at all.
fn refuse_nul(
    variables: &BTreeMap<OsString, Value>,
    values: &BTreeMap<SecretRef, Secret>,
) -> Result<()> {
    let bad = variables.values().find_map(|value| match value {
        Value::Reference(reference) => values
            .get(reference)
            .filter(|value| value.expose().contains(&0))
            .map(|_| reference),
        Value::Plain(_) => None,
    });
    match bad {
        None => Ok(()),
        Some(reference) => Err(Failure::new(
            Exit::Invalid,
            format!("{reference} contains a NUL byte, which no environment variable can hold"),
        )
        .remedy("write it to a file with `towpath secrets inject`")),
    }
}
