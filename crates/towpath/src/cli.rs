//! The command line: global options, and the list of commands. Each command is a file in
//! [`crate::command`].

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ContextKind,
    parser::ValueSource,
};

use kernel::Reason;

use crate::{
    command,
    context::{Context, Format, Terminal},
    failure::{Failure, Result},
    usage::Usage,
};

/// The environment where none is named.
pub(crate) const DEFAULT_ENVIRONMENT: &str = "dev";

/// An engineering platform: from a workload's description to a running, reachable, healing service.
///
/// Describe a workload once, in a Score file. Towpath makes the databases, buckets and routes that it needs, deploys
/// it, keeps it as it should be, and removes everything again when you ask it to.
#[derive(Debug, Parser)]
#[command(
    name = "towpath",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_long_help = "Examples:\n  towpath demo                        start a platform and deploy the example\n  towpath up                          run a platform in the foreground\n  towpath deploy score.yaml           deploy a workload to `dev`\n  towpath status                      what runs, and where\n  towpath explain postgres            which definition meets a need, and why\n\nExit codes: 0 done, 1 failed, 2 usage, 3 invalid input, 4 not found, 5 refused, 6 conflict,\n7 no platform, 8 not in time. See docs/cli.md."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The platform's address [default: that of the context, else that of the platform in the data
    /// directory]
    #[arg(
        long,
        global = true,
        env = "TOWPATH_SERVER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) server: Option<String>,
    /// The platform where you have logged in, by the name of its context; `local` is the one in the
    /// data directory [default: what `towpath context use` chose]
    #[arg(
        long,
        global = true,
        env = "TOWPATH_CONTEXT",
        hide_env_values = true,
        value_name = "NAME"
    )]
    pub(crate) context: Option<String>,
    /// The file with the platform's token [default: your login, else admin.token in the data directory]
    #[arg(
        long,
        global = true,
        env = "TOWPATH_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// The data directory of the platform on this machine [default: ~/.local/share/towpath]
    #[arg(
        long,
        global = true,
        env = "TOWPATH_DATA",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) data: Option<PathBuf>,
    /// Why you do this: kept in the audit trail with everything that comes of it
    #[arg(long, global = true, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: Option<Reason>,
    /// The output format
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) output: Format,
    /// Where these were given.
    #[arg(skip)]
    pub(crate) given: Given,
}

/// Why something is done, as the platform takes it.
fn reason(text: &str) -> std::result::Result<Reason, String> {
    Reason::new(text).map_err(|error| error.message)
}

/// Where an option's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment,
}

/// Where the options that name a platform were given: a flag that names one wins over a variable that
/// names another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Given {
    pub(crate) server: Option<Source>,
    pub(crate) context: Option<Source>,
    pub(crate) token_file: Option<Source>,
    pub(crate) data: Option<Source>,
}

/// The environment that a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct EnvironmentArg {
    /// The environment
    #[arg(long = "env", short = 'e', env = "TOWPATH_ENV", hide_env_values = true, value_name = "NAME", default_value = DEFAULT_ENVIRONMENT)]
    pub(crate) environment: String,
}

/// The team that a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct TeamArg {
    /// The team
    #[arg(
        long,
        short,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "TEAM"
    )]
    pub(crate) team: String,
}

/// That somebody means it: what they end, named once more.
#[derive(Debug, Clone, Args)]
pub(crate) struct Confirm {
    /// Its name, once more
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

impl Confirm {
    /// What was given, for the platform to judge.
    pub(crate) fn given(&self) -> Option<&str> {
        self.confirm.as_deref()
    }

    /// Refuses unless the end of `name` is confirmed; `what` says what ends.
    pub(crate) fn check(&self, name: &str, what: &str) -> Result<()> {
        if self.confirm.as_deref() == Some(name) {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "the end of {what} is not confirmed: add `--confirm {name}`"
        )))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(command::demo::Demo),
    New(command::new::New),
    Up(Box<command::up::Up>),
    Down(command::down::Down),
    Deploy(command::deploy::Deploy),
    Plan(command::plan::Plan),
    Apply(command::apply::Apply),
    Status(command::status::Status),
    Logs(command::logs::Logs),
    Get(command::get::Get),
    Describe(command::describe::Describe),
    Graph(command::graph::Graph),
    Explain(command::explain::Explain),
    Diff(command::diff::Diff),
    #[command(visible_alias = "event")]
    Events(command::events::Events),
    Rollback(command::rollback::Rollback),
    Delete(command::delete::Delete),
    #[command(subcommand)]
    Resource(command::resource::Resource),
    #[command(subcommand)]
    Secret(command::secret::SecretCommand),
    Rekey(command::rekey::Rekey),
    #[command(subcommand)]
    Secrets(command::secrets::Secrets),
    #[command(subcommand)]
    Env(command::env::Env),
    #[command(subcommand)]
    Team(command::team::Team),
    #[command(subcommand)]
    Namespace(command::namespace::Namespace),
    #[command(subcommand)]
    User(command::user::User),
    #[command(subcommand)]
    Group(command::group::Group),
    #[command(subcommand)]
    ServiceAccount(command::service_account::ServiceAccount),
    #[command(subcommand)]
    Trust(command::trust::Trust),
    #[command(subcommand)]
    Session(command::session::Session),
    #[command(subcommand)]
    Client(command::client::Client),
    #[command(subcommand)]
    Upstream(command::upstream::Upstream),
    Login(command::login::Login),
    Logout(command::logout::Logout),
    Whoami(command::whoami::Whoami),
    Can(command::can::Can),
    #[command(subcommand)]
    Context(command::context::Contexts),
    #[command(subcommand)]
    Identity(command::identity::Identity),
    #[command(subcommand)]
    Cluster(command::cluster::Cluster),
    Kubeconfig(command::kubeconfig::Kubeconfig),
    Credential(command::credential::Credential),
    #[command(subcommand)]
    Integration(command::integration::Integration),
    #[command(subcommand)]
    Tool(command::tool::Tool),
    #[command(subcommand)]
    Subscription(command::subscription::Subscription),
    Completion(command::completion::Completion),
}

impl Cli {
    /// The command line of this program; ends it where help is asked for, and where people are told that it is
    /// not one. Says in `Err` what a program is told.
    pub(crate) fn read() -> Result<Self, Usage> {
        let arguments = command::secrets::inject::spelled_out(std::env::args_os());
        let mut matches = Self::command()
            .try_get_matches_from(&arguments)
            .map_err(|error| Usage::of(as_typed(error, &arguments), &arguments))?;
        let source = |id| match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Some(Source::Flag),
            Some(ValueSource::EnvVariable) => Some(Source::Environment),
            _ => None,
        };
        let given = Given {
            server: source("server"),
            context: source("context"),
            token_file: source("token_file"),
            data: source("data"),
        };
        let mut cli = Self::from_arg_matches_mut(&mut matches)
            .map_err(|error| Usage::of(error.format(&mut Self::command()), &arguments))?;
        cli.global.given = given;
        Ok(cli)
    }

    /// Runs the command to its end.
    pub(crate) fn run(self, terminal: Terminal) -> Result<()> {
        let context = Context {
            global: self.global,
            terminal,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::io("threads cannot be started", &e))?;
        runtime.block_on(dispatch(self.command, &context))
    }
}

/// `error`, with a usage line of what was typed: clap puts into it what variables give, too.
fn as_typed(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    fn without_variables(command: clap::Command) -> clap::Command {
        command
            // What has to be given stands in the line in any case, and would be missed without its variable.
            .mut_args(|option| {
                if option.is_required_set() {
                    option
                } else {
                    option.env(None::<&'static str>)
                }
            })
            .mut_subcommands(without_variables)
    }
    let is_same = |typed: &clap::Error| {
        typed.kind() == error.kind()
            && typed.get(ContextKind::InvalidArg) == error.get(ContextKind::InvalidArg)
    };
    match without_variables(Cli::command()).try_get_matches_from(arguments) {
        Err(typed) if is_same(&typed) => typed,
        _ => error,
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Demo(demo) => demo.run(context).await,
        Command::New(new) => new.run(context).await,
        Command::Up(up) => up.run(context).await,
        Command::Down(down) => down.run(context).await,
        Command::Deploy(deploy) => deploy.run(context).await,
        Command::Plan(plan) => plan.run(context).await,
        Command::Apply(apply) => apply.run(context).await,
        Command::Status(status) => status.run(context).await,
        Command::Logs(logs) => logs.run(context).await,
        Command::Get(get) => get.run(context).await,
        Command::Describe(describe) => describe.run(context).await,
        Command::Graph(graph) => graph.run(context).await,
        Command::Explain(explain) => explain.run(context).await,
        Command::Diff(diff) => diff.run(context).await,
        Command::Events(events) => events.run(context).await,
        Command::Rollback(rollback) => rollback.run(context).await,
        Command::Delete(delete) => delete.run(context).await,
        Command::Resource(resource) => resource.run(context).await,
        Command::Secret(secret) => secret.run(context).await,
        Command::Rekey(rekey) => rekey.run(context).await,
        Command::Secrets(secrets) => secrets.run(context).await,
        Command::Env(env) => env.run(context).await,
        Command::Team(team) => team.run(context).await,
        Command::Namespace(namespace) => namespace.run(context).await,
        Command::User(user) => user.run(context).await,
        Command::Group(group) => group.run(context).await,
        Command::ServiceAccount(account) => account.run(context).await,
        Command::Trust(trust) => trust.run(context).await,
        Command::Session(session) => session.run(context).await,
        Command::Client(client) => client.run(context).await,
        Command::Upstream(upstream) => upstream.run(context).await,
        Command::Login(login) => login.run(context).await,
        Command::Logout(logout) => logout.run(context).await,
        Command::Whoami(whoami) => whoami.run(context).await,
        Command::Can(can) => can.run(context).await,
        Command::Context(contexts) => contexts.run(context).await,
        Command::Identity(identity) => identity.run(context).await,
        Command::Cluster(cluster) => cluster.run(context).await,
        Command::Kubeconfig(kubeconfig) => kubeconfig.run(context).await,
        Command::Credential(credential) => credential.run(context).await,
        Command::Integration(integration) => integration.run(context).await,
        Command::Tool(tool) => tool.run(context).await,
        Command::Subscription(subscription) => subscription.run(context).await,
        Command::Completion(completion) => completion.run(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_has_help() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no help");
            let options = command.get_arguments().filter(|a| !a.is_hide_set());
            for option in options {
                assert!(
                    option.get_help().is_some(),
                    "{path} {} has no help",
                    option.get_id()
                );
            }
            for next in command.get_subcommands() {
                check(next, &path);
            }
        }
        let mut command = Cli::command();
        command.build();
        check(&command, "");
    }

    #[test]
    fn a_team_is_said_by_a_variable_wherever_it_is_said_by_an_option() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let of = command
                .get_arguments()
                .find(|a| a.get_long() == Some("team"));
            if let Some(team) = of {
                let variable = team.get_env().and_then(|name| name.to_str());
                assert_eq!(variable, Some("TOWPATH_TEAM"), "{path}");
            }
            for next in command.get_subcommands() {
                check(next, &path);
            }
        }
        let mut command = Cli::command();
        command.build();
        check(&command, "");
    }
}
