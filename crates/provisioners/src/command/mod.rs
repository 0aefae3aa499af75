//! `command`: a program of the platform engineer's own, which speaks JSON on stdin and stdout. Its
//! protocol is in `docs/provisioner-command.md`.

mod process;
mod protocol;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Problem, Secret};
use serde_json::{Map, Value};
use uuid::Uuid;

use self::{
    process::Program,
    protocol::{Action, Answer, Said},
};
use crate::params::{self, Param, Shape};

/// How long a program may take where the definition does not say.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// How long it may take, after that, until all that a run has started has ended.
const ENDING: Duration = Duration::from_secs(10);

/// Runs programs: those of one directory by their names, and any by its absolute path, since only
/// who may apply definitions can name one.
#[derive(Debug, Clone, Default)]
pub struct Command {
    directory: Option<PathBuf>,
}

impl Command {
    /// Programs by absolute path only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also the programs of `directory`, by name.
    #[must_use]
    pub fn with_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The file that `command` names; else what is wrong, and how to mend it.
    fn find(&self, command: &str) -> Result<PathBuf, (String, String)> {
        let named = Path::new(command);
        let path = if named.is_absolute() {
            named.to_owned()
        } else if let (Some(directory), [Component::Normal(name)]) = (
            &self.directory,
            named.components().collect::<Vec<_>>().as_slice(),
        ) {
            directory.join(name)
        } else {
            return Err((
                format!("`{command}` is no absolute path"),
                match &self.directory {
                    Some(directory) => format!(
                        "give an absolute path, or the name of a program in {}",
                        directory.display()
                    ),
                    None => "give an absolute path".into(),
                },
            ));
        };
        let metadata = std::fs::metadata(&path).map_err(|error| {
            (
                format!("cannot use the program {}: {error}", path.display()),
                "install it on the machine that runs the platform".to_owned(),
            )
        })?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            return Err((
                format!("{} is no program", path.display()),
                format!("make it executable: chmod +x {}", path.display()),
            ));
        }
        Ok(path)
    }

    fn program(&self, request: &Request) -> Result<Program, ProvisionError> {
        let command = params::text(&request.params, "command").ok_or_else(|| {
            ProvisionError::permanent("the definition names no program")
                .remedy("give the parameter `command`")
        })?;
        let path = self
            .find(&command)
            .map_err(|(wrong, remedy)| ProvisionError::permanent(wrong).remedy(remedy))?;
        let arguments = request
            .params
            .get("args")
            .and_then(Value::as_array)
            .map(|list| {
                list.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default();
        Ok(Program {
            path,
            arguments,
            time_limit: run_limit(request),
        })
    }

    async fn ask(&self, action: Action, request: &Request) -> Result<Answer, ProvisionError> {
        let program = self.program(request)?;
        let question = protocol::question(action, request);
        let hidden = protocol::hidden(request);
        let text = program.run(question.as_bytes(), &hidden).await?;
        protocol::answer(action, &program.path, &text)
    }
}

#[async_trait]
impl Provisioner for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "Whatever a program makes that speaks JSON on stdin and stdout.",
            outputs: &[],
            holds_data: false,
            replaced_by: &["command"],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        const KNOWN: &[Param] = &[
            Param::required("command", Shape::Text),
            Param::optional("args", Shape::Texts),
            Param::optional("timeout", Shape::Integer(1, 3600)),
            Param::optional("params", Shape::Object),
        ];
        let mut problems = params::check("command", KNOWN, given);
        if let Some(command) = given.get("command").and_then(Value::as_str)
            && !command.is_empty()
            && !command.contains("${")
            && let Err((wrong, remedy)) = self.find(command)
        {
            problems.push(Problem::new("params/value", "params.command", wrong).remedy(remedy));
        }
        problems
    }

    /// That of its longest call: a removal runs the program twice.
    fn time_limit(&self, request: &Request) -> Option<Duration> {
        let run = run_limit(request).saturating_add(ENDING);
        Some(run.saturating_mul(2))
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let answer = self.ask(Action::Provision, request).await?;
        let plain = answer
            .outputs
            .into_iter()
            .map(|(name, value)| (name, Output::Plain(value)));
        let secret = answer
            .secrets
            .into_iter()
            .map(|(name, value)| (name, Output::Secret(Secret::from(value))));
        Ok(Provisioned {
            outputs: plain.chain(secret).collect(),
            state: answer.state,
            listens: None,
            summary: answer.summary,
            claims: Vec::new(),
        })
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        self.ask(Action::Retire, request).await.map(drop)
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        self.ask(Action::Remove, request).await?;
        match self.ask(Action::Presence, request).await?.presence {
            Some(Said::Absent) => Ok(()),
            Some(Said::Present) => Err(ProvisionError::transient(
                "after its removal, the program says that the instance is still there",
            )),
            _ => Err(ProvisionError::transient(
                "after its removal, the program cannot say whether the instance is gone",
            )),
        }
    }

    async fn presence(&self, request: &Request) -> Presence {
        match self.ask(Action::Presence, request).await {
            Ok(answer) => match answer.presence {
                Some(Said::Present) => Presence::Present,
                Some(Said::Absent) => Presence::Absent,
                Some(Said::Unknown) | None => Presence::Unknown(ProvisionError::transient(
                    "the program cannot say whether the instance is there",
                )),
            },
            Err(error) => Presence::Unknown(error),
        }
    }

    /// A program is known by the definitions that name it, so that there is none to ask here.
    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        Ok(Vec::new())
    }

    fn listed_as(&self, _: &Request) -> Option<String> {
        None
    }
}

/// How long one run may take.
fn run_limit(request: &Request) -> Duration {
    params::text(&request.params, "timeout")
        .and_then(|seconds| seconds.parse().ok())
        .map_or(TIME_LIMIT, Duration::from_secs)
}
