//! The order in which a server is looked for, the same for every sort.

use std::{path::Path, time::Duration};

use delivery::provisioner::ProvisionError;
use futures::future::BoxFuture;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{
    Address, ServersConfig,
    account::become_one_of,
    container,
    home::{Home, Origin},
    supervise::Probe,
};

/// How long a server in a container may take to the first login.
const CONTAINER_LIMIT: Duration = Duration::from_mins(2);

/// What people need to know of a sort of server.
pub(crate) struct Sort {
    /// `Postgres`.
    pub(crate) name: &'static str,
    /// Its standard port.
    pub(crate) port: u16,
    /// The program by which we see that it can be started here.
    pub(crate) program: &'static str,
    /// Debian's package.
    pub(crate) package: &'static str,
    /// How a person starts an installed one.
    pub(crate) by_hand: &'static str,
    /// The variable that configures one, with an example.
    pub(crate) variable: &'static str,
    /// What people call the one that Towpath runs.
    pub(crate) started: &'static str,
    /// Where it has its files, beneath the homes of servers.
    pub(crate) home: &'static str,
    /// As whom it runs there: the first of these accounts that exists.
    pub(crate) accounts: &'static [&'static str],
    /// The file in its directory in which it writes its process id, first line.
    pub(crate) pid_file: &'static str,
    /// What makes it end its work at once and in order.
    pub(crate) stop_signal: Signal,
}

impl Sort {
    /// The variable's name alone.
    fn variable_name(&self) -> &str {
        (self.variable.split_once('=')).map_or(self.variable, |(name, _)| name)
    }

    /// The server at `address` does not answer, in the words of who asked it.
    pub(crate) fn away(&self, address: &Address, why: impl std::fmt::Display) -> ProvisionError {
        let name = self.name;
        ProvisionError::transient(format!("{name} at {address} does not answer: {why}"))
            .remedy(self.start_it(address))
    }

    /// The home of the one that Towpath runs.
    pub(crate) fn home(&self, data_dir: &Path) -> Home {
        Home::new(data_dir, self.home, become_one_of(self.accounts))
    }

    /// What a person does about a server that does not answer.
    pub(crate) fn start_it(&self, address: &Address) -> String {
        let (by_hand, variable) = (self.by_hand, self.variable_name());
        let place = match address.loopback() {
            Some(_) => String::new(),
            None => format!(" on {}", address.host),
        };
        format!(
            "start it{place} (`{by_hand}`), or correct {variable} where that names it wrongly; it is asked \
             again by itself, and what waits for it goes on when it answers"
        )
    }

    /// What it said of its own trouble, which may pass.
    pub(crate) fn troubled(&self, message: String) -> ProvisionError {
        ProvisionError::transient(message).remedy(format!(
            "it is tried again by itself; where it stays so, see the log of {} and mend what it says",
            self.name
        ))
    }

    /// What it refused, and will refuse again.
    pub(crate) fn refused(&self, message: String) -> ProvisionError {
        ProvisionError::permanent(message).remedy(format!(
            "mend what {} says (its log may tell more), and deploy again",
            self.name
        ))
    }
}

/// One search.
pub(crate) struct Search<'a> {
    pub(crate) config: &'a ServersConfig,
    pub(crate) home: &'a Home,
    pub(crate) sort: &'a Sort,
    /// Whether its binaries are on this machine.
    pub(crate) can_start: bool,
}

impl Search<'_> {
    /// The server that was chosen before; else the first that can be had, which is chosen then.
    pub(crate) async fn run<T>(
        self,
        found: BoxFuture<'_, Result<T, String>>,
        started: BoxFuture<'_, Result<T, ProvisionError>>,
        contained: BoxFuture<'_, Result<T, ProvisionError>>,
    ) -> Result<T, ProvisionError> {
        let Self {
            config, home, sort, ..
        } = self;
        match home.origin() {
            Some(Origin::Found) => return found.await.map_err(|why| self.lost(&why)),
            Some(Origin::Started) => return started.await,
            Some(Origin::Container) => return contained.await,
            None => {}
        }
        let mut tried = Vec::new();
        if config.find_local {
            match found.await {
                Ok(server) => {
                    home.choose(Origin::Found)?;
                    return Ok(server);
                }
                Err(why) => tried.push(format!("port {}: {why}", sort.port)),
            }
        }
        if config.allow_start {
            if self.can_start {
                let server = started.await?;
                home.choose(Origin::Started)?;
                return Ok(server);
            }
            tried.push(format!("no program `{}` on this machine", sort.program));
        }
        if config.docker {
            if container::engine_answers().await {
                let server = contained.await?;
                home.choose(Origin::Container)?;
                return Ok(server);
            }
            tried.push("no Docker engine answers".to_owned());
        }
        Err(ProvisionError::permanent(format!(
            "there is no {} to use ({})",
            sort.name,
            tried.join("; ")
        ))
        .remedy(format!(
            "`apt-get install {}`, or start Docker, or set {}",
            sort.package, sort.variable
        )))
    }

    fn lost(&self, why: &str) -> ProvisionError {
        let sort = self.sort;
        let variable = sort.variable_name();
        ProvisionError::transient(format!(
            "the {} on {} that this platform uses does not let it in: {why}",
            sort.name,
            Address::local(sort.port)
        ))
        .remedy(format!(
            "start it (`{}`), or set {variable}; to choose another, remove {}",
            sort.by_hand,
            self.home.origin_file().display()
        ))
    }
}

/// Waits until a server that was just started in the container `name` lets us in.
pub(crate) async fn until_open(
    sort: &Sort,
    name: &str,
    open: &Probe,
) -> Result<(), ProvisionError> {
    let deadline = Instant::now() + CONTAINER_LIMIT;
    while !open().await {
        if Instant::now() > deadline {
            return Err(ProvisionError::transient(format!(
                "{} in the container `{name}` lets nobody in after {} s",
                sort.name,
                CONTAINER_LIMIT.as_secs()
            ))
            .remedy(format!(
                "see `docker logs {name}`; it is tried again by itself"
            )));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
