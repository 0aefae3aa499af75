//! A Kubernetes API server of the test's own.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use super::{program, require};

/// The variable that names a program which starts a cluster.
const PROGRAM: &str = "TOWPATH_TEST_CLUSTER";

/// A Kubernetes API server with its controllers, and no node: nothing runs in it. It ends with the value.
pub struct Kubernetes {
    cluster: PathBuf,
    kubectl: PathBuf,
    /// Whoever reads this operates the cluster.
    pub kubeconfig: PathBuf,
    directory: TempDir,
}

/// Starts an API server with `flags` beside its own.
///
/// The program that `TOWPATH_TEST_CLUSTER` names does it: `PROGRAM up --no-node` prints the path of a
/// kubeconfig, and `PROGRAM down` ends it; `KUBE_DIR` says where it lives, `KUBE_API_FLAGS` its flags.
///
/// # Panics
/// Where it does not start, or is absent and `TOWPATH_TEST_REQUIRE` names it.
pub fn kubernetes(flags: &[&str]) -> Option<Kubernetes> {
    let found = env::var_os(PROGRAM)
        .ok_or_else(|| format!("{PROGRAM} names no program that starts a cluster"))
        .map(PathBuf::from);
    let cluster = require("kubernetes", found)?;
    let directory = TempDir::new().expect("a directory can be made");
    let mut up = command(&cluster, &directory);
    up.args(["up", "--no-node"]);
    up.env("KUBE_API_FLAGS", flags.join(" "));
    let started = up.output().expect("the program that is named is there");
    assert!(started.status.success(), "no cluster: {started:?}");
    let path = String::from_utf8_lossy(&started.stdout);
    let path = path.lines().last().expect("it says where it is");
    Some(Kubernetes {
        kubeconfig: path.trim().into(),
        kubectl: program("kubectl").expect("it came with the cluster"),
        cluster,
        directory,
    })
}

/// The program, with a state of its own.
fn command(cluster: &Path, directory: &TempDir) -> Command {
    let mut command = Command::new(cluster);
    command.env("KUBE_DIR", directory.path().join("cluster"));
    command
}

impl Kubernetes {
    /// The program kubectl, without arguments, a kubeconfig or any other variable.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        // Where it keeps what it has asked before.
        command.env("HOME", self.directory.path());
        command
    }

    /// Calls kubectl as the cluster's operator.
    ///
    /// # Panics
    /// Where it fails.
    pub fn operate(&self, arguments: &[&str]) -> Output {
        let mut command = self.kubectl();
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        let ended = command.output().expect("the program is there");
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        ended
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        // What stays is found by the next one's start.
        let _ = command(&self.cluster, &self.directory).arg("down").output();
    }
}
