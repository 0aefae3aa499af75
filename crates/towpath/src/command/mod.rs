//! The commands, one file each: arguments, the calls, the answer.

pub(crate) mod apply;
pub(crate) mod can;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod context;
pub(crate) mod credential;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod down;
pub(crate) mod env;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod graph;
pub(crate) mod group;
pub(crate) mod identity;
pub(crate) mod integration;
pub(crate) mod kind;
pub(crate) mod kubeconfig;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod namespace;
pub(crate) mod new;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod program;
pub(crate) mod rekey;
pub(crate) mod resource;
pub(crate) mod revision;
pub(crate) mod rollback;
pub(crate) mod secret;
pub(crate) mod secrets;
pub(crate) mod service_account;
pub(crate) mod session;
pub(crate) mod status;
pub(crate) mod subscription;
pub(crate) mod team;
pub(crate) mod tool;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod upstream;
pub(crate) mod user;
pub(crate) mod whoami;

use std::{io, path::Path};

use crate::{exit::Exit, failure::Failure};

/// That a file which was named cannot be read: one that is not there is not found.
fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let mut failure = Failure::io(&format!("{} cannot be read", file.display()), error);
    if error.kind() == io::ErrorKind::NotFound {
        failure.exit = Exit::NotFound;
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_not_found() {
        let exit = |kind: io::ErrorKind| unreadable(Path::new("a.env"), &kind.into()).exit;
        assert_eq!(exit(io::ErrorKind::NotFound), Exit::NotFound);
        assert_eq!(exit(io::ErrorKind::PermissionDenied), Exit::Failed);
    }
}
