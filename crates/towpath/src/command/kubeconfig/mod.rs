//! `towpath kubeconfig`

mod file;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use client::every;
use fleet::model::{ClusterSpec, authority, endpoint_problem};
use serde_json::{Value, json};

use self::file::{Entries, Entry, Leave, kubeconfig_path, text, update};
use super::{program::own_name, unreadable};
use crate::{
    context::{Chosen, Context},
    exit::Exit,
    failure::{Failure, Result},
};

/// Write a kubeconfig that logs in as you
///
/// It has a context for each cluster of the platform, by the cluster's name, and the platform's default cluster is
/// the current one. It names `towpath credential` as the plugin that gives kubectl a token, and holds none itself:
/// kubectl works for as long as your login lasts. It is printed, or with --write merged into the file that kubectl
/// reads, where everything else stays. If a context, a cluster or a user has one of the names and was not written by
/// this command, nothing is changed.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath kubeconfig --write\n  towpath kubeconfig --cluster qa --write\n  towpath kubeconfig --cluster-name mine --cluster-server https://10.0.0.1:6443 --cluster-ca ca.crt\n\nThe API servers have to know the platform as an issuer: see docs/identity.md. Which clusters there are: `towpath cluster list`."
)]
pub(crate) struct Kubeconfig {
    /// Only this one of the platform's clusters, which becomes the current one [default: all of them]
    #[arg(
        long,
        env = "TOWPATH_CLUSTER",
        hide_env_values = true,
        value_name = "NAME"
    )]
    cluster: Option<String>,
    /// A cluster that the platform does not list: the name for its context
    #[arg(long, value_name = "NAME", requires = "cluster_server")]
    cluster_name: Option<String>,
    /// Where its API server is
    #[arg(long, value_name = "URL", requires = "cluster_name")]
    cluster_server: Option<String>,
    /// The file with the certificates of its authority, in PEM [default: the system's authorities]
    #[arg(long, value_name = "FILE", requires = "cluster_name")]
    cluster_ca: Option<PathBuf>,
    /// Merge it into the file that kubectl reads: the first of $KUBECONFIG, else ~/.kube/config
    #[arg(long)]
    write: bool,
    /// Leave the current context of that file as it is
    #[arg(long, requires = "write")]
    keep_current: bool,
    /// Replace contexts, clusters and users with these names that this command did not write
    #[arg(long, requires = "write")]
    overwrite: bool,
}

impl Kubeconfig {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let Chosen::Login { context: login, .. } = context.chosen()? else {
            return Err(Failure::new(
                Exit::Refused,
                "Kubernetes knows people by their logins, and no login is chosen",
            )
            .remedy("log in with `towpath login`, or name a login with --context"));
        };
        let entries = self.entries(context, &login).await?;
        if entries.current.is_none() {
            context.say(
                "no cluster of the platform is the default: choose one with `kubectl config use-context NAME`",
            );
        }
        if !self.write {
            return context.print(&text(entries)?);
        }
        let path = kubeconfig_path()?;
        let names = entries.clusters.iter().map(|one| one.name().to_owned());
        let names: Vec<_> = names.collect();
        let current = entries.current.clone();
        let leave = Leave {
            choose: !self.keep_current,
            overwrite: self.overwrite,
        };
        for (name, before) in update(&path, entries, leave)? {
            context.say(&format!(
                "the context `{name}` was of the login `{before}`, and is of `{login}` now: keep the two apart by \
                 KUBECONFIG=FILE"
            ));
        }
        let answer = json!({ "file": path, "contexts": names, "default": current });
        context.answer(&answer, || {
            let first = current.as_ref().or(names.first());
            let first = first.map_or("", String::as_str);
            let named: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let contexts = match named.as_slice() {
                [only] => format!("the context {only}"),
                several => format!("the contexts {}", several.join(", ")),
            };
            format!(
                "{} has {contexts}: try `kubectl --context {first} auth whoami`",
                path.display()
            )
        })
    }

    /// What the kubeconfig gets: of the cluster that is described, of the one that is named, or of all.
    async fn entries(&self, context: &Context, login: &str) -> Result<Entries> {
        let exec = exec(login);
        if let (Some(name), Some(server)) = (&self.cluster_name, &self.cluster_server) {
            let described = self.described(server)?;
            return Ok(Entries {
                clusters: vec![Entry::new(name, &cluster(&described), &exec)?],
                current: Some(name.clone()),
            });
        }
        let client = context.client()?;
        let (found, current) = if let Some(name) = &self.cluster {
            (vec![client.cluster(name).await?], Some(name.clone()))
        } else {
            let all = every(async |page| client.clusters(&page).await).await?;
            let default = match all.as_slice() {
                [only] => Some(only),
                several => several.iter().find(|one| one.spec.is_default),
            };
            let default = default.map(|one| one.meta.name.clone());
            (all, default)
        };
        if found.is_empty() {
            return Err(Failure::new(
                Exit::NotFound,
                "the platform lists no cluster",
            )
            .remedy(
                "ask an operator to make yours known (`towpath cluster set`), or describe it with \
                 --cluster-name and --cluster-server",
            ));
        }
        let entry = |one: &kernel::Resource<fleet::model::Cluster>| {
            Entry::new(&one.meta.name, &cluster(&one.spec), &exec)
        };
        Ok(Entries {
            clusters: found.iter().map(entry).collect::<Result<_>>()?,
            current,
        })
    }

    /// The cluster that the arguments describe.
    fn described(&self, server: &str) -> Result<ClusterSpec> {
        if let Some(problem) = endpoint_problem(server, "--cluster-server") {
            return Err(refused(&format!("{server} is not taken"), problem));
        }
        let certificates = self.cluster_ca.as_deref().map(certificates).transpose()?;
        Ok(ClusterSpec {
            endpoint: server.to_owned(),
            certificate_authority_data: certificates,
            ..ClusterSpec::default()
        })
    }
}

/// A cluster in a kubeconfig.
fn cluster(spec: &ClusterSpec) -> Value {
    let mut cluster = json!({ "server": spec.endpoint });
    if let Some(data) = &spec.certificate_authority_data {
        cluster["certificate-authority-data"] = json!(data);
    }
    cluster
}

/// How kubectl gets a token, of the login of this name: by the plugin protocol
/// (`client.authentication.k8s.io/v1`).
fn exec(login: &str) -> Value {
    let mut exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": own_name(),
        "args": ["credential", "--context", login],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": false,
        "installHint": "towpath logs you in to this cluster: install it, then `towpath login`",
    });
    // The same logins from wherever kubectl is called.
    if let Some(config) = std::env::var_os("TOWPATH_CONFIG").filter(|path| !path.is_empty()) {
        let path = std::path::absolute(&config).unwrap_or_else(|_| config.into());
        exec["env"] = json!([{ "name": "TOWPATH_CONFIG", "value": path }]);
    }
    exec
}

/// The certificates in a file, as a kubeconfig has them.
fn certificates(file: &Path) -> Result<String> {
    let bytes = fs::read(file).map_err(|error| unreadable(file, &error))?;
    authority(&String::from_utf8_lossy(&bytes), "--cluster-ca")
        .map_err(|problem| refused(&format!("{} is not taken", file.display()), problem))
}

/// What is wrong with an argument.
fn refused(what: &str, problem: kernel::Problem) -> Failure {
    let failure = Failure::new(Exit::Invalid, format!("{what}: {}", problem.message));
    match problem.remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}
