//! The servers that Towpath started and that run, whether or not a platform does.

use std::path::{Path, PathBuf};

use delivery::provisioner::ProvisionError;
use kernel::Error;
use rustix::process::Signal;

use super::{amqp, container, home::Home, mysql, postgres, redis, search::Sort, supervise};

/// A server that Towpath started, and that runs.
#[derive(Debug, Clone)]
pub struct RunningServer {
    /// What people call it: `Postgres`.
    pub name: String,
    /// What it runs as: `process 4711`.
    pub runs_as: String,
    end: End,
}

/// How it is ended.
#[derive(Debug, Clone)]
enum End {
    Process {
        directory: PathBuf,
        pid_file: PathBuf,
        signal: Signal,
    },
    Container(String),
}

impl RunningServer {
    /// Ends it in order. Its data stays. The platform that looks after it would start it again: that has to
    /// be stopped before.
    pub async fn stop(&self) -> Result<(), Error> {
        let ended = match &self.end {
            End::Process {
                directory,
                pid_file,
                signal,
            } => supervise::end(directory, pid_file, *signal).await,
            End::Container(name) => container::stop(name).await,
        };
        ended.map_err(told)
    }
}

/// The servers that Towpath started for the data directory of [`super::ServersConfig`] and that run; and of
/// which it cannot be told, with the reason.
pub async fn running_servers(data_dir: &Path) -> Vec<Result<RunningServer, Error>> {
    let mut all = Vec::new();
    for sort in [&postgres::SORT, &mysql::SORT, &redis::SORT, &amqp::SORT] {
        let home = sort.home(data_dir);
        all.extend(process(sort.started.to_owned(), sort, &home));
        if let Some(name) = home.container() {
            let container = contained(sort, name).await.map_err(told);
            all.extend(container.transpose());
        }
    }
    match redis::own_names(data_dir) {
        Ok(names) => all.extend(names.iter().filter_map(|name| {
            let home = redis::own_home(data_dir, name);
            process(redis::called(name), &redis::SORT, &home)
        })),
        Err(error) => all.push(Err(told(error))),
    }
    all
}

fn told(error: ProvisionError) -> Error {
    let told = Error::unavailable(error.message);
    match error.remedy {
        Some(remedy) => told.remedy(remedy),
        None => told,
    }
}

/// The process that is the server of `home`, where one runs. That of another data directory is refused.
fn process(name: String, sort: &Sort, home: &Home) -> Option<Result<RunningServer, Error>> {
    let directory = home.directory.clone();
    let pid_file = directory.join(sort.pid_file);
    let (pid, _) = supervise::process(&directory, &pid_file)?;
    let owned = home.check_owner().map_err(told);
    Some(owned.map(|()| RunningServer {
        name,
        runs_as: format!("process {pid}"),
        end: End::Process {
            directory,
            pid_file,
            signal: sort.stop_signal,
        },
    }))
}

async fn contained(sort: &Sort, name: String) -> Result<Option<RunningServer>, ProvisionError> {
    Ok(container::runs(&name).await?.then(|| RunningServer {
        name: sort.started.to_owned(),
        runs_as: format!("container `{name}`"),
        end: End::Container(name),
    }))
}
