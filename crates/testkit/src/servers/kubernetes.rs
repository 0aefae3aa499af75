//! A Kubernetes API server of the test's own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
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

/// How long a further API server may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Another cluster beside one: an API server with contents and a certificate of its own, without controllers.
pub struct Beside {
    server: Child,
    /// Whoever reads this operates the cluster.
    pub kubeconfig: PathBuf,
}

impl Kubernetes {
    /// Starts another cluster at `port`, whose API server has the certificate `server.crt` in `certificates`, by
    /// the authority in `ca.crt` there. All else is as it is told to this one, its flags too.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn beside(&self, port: u16, certificates: &Path) -> Beside {
        let home = self.kubeconfig.parent().expect("it is in a directory");
        let at = certificates.display();
        let program = arguments(home);
        let (program, flags) = program.split_first().expect("it has a name");
        let own = [
            format!("--secure-port={port}"),
            format!("--etcd-prefix=/beside-{port}"),
            format!("--tls-cert-file={at}/server.crt"),
            format!("--tls-private-key-file={at}/server.key"),
        ];
        let log = fs::File::create(home.join("beside.log")).expect("a log can be made");
        let server = Command::new(program)
            // The last one of a flag counts.
            .args(flags)
            .args(own)
            .current_dir(home)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the API server is there");
        let kubeconfig = self.directory.path().join(format!("beside-{port}"));
        fs::copy(&self.kubeconfig, &kubeconfig).expect("its operator is the same");
        let beside = Beside { server, kubeconfig };
        let authority = certificates.join("ca.crt");
        let address = format!("--server=https://127.0.0.1:{port}");
        let authority = format!("--certificate-authority={}", authority.display());
        let set = ["config", "set-cluster", "test", "--embed-certs"];
        self.operate_at(&beside, &[&set[..], &[&address, &authority]].concat());
        let deadline = Instant::now() + PATIENCE;
        while !self
            .call(&beside, &["get", "--raw", "/readyz"])
            .status
            .success()
        {
            assert!(
                Instant::now() < deadline,
                "see {}/beside.log",
                home.display()
            );
            thread::sleep(Duration::from_millis(250));
        }
        beside
    }

    /// Calls kubectl as the operator of the other cluster.
    ///
    /// # Panics
    /// Where it fails.
    pub fn operate_at(&self, beside: &Beside, arguments: &[&str]) -> Output {
        let ended = self.call(beside, arguments);
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
        ended
    }

    fn call(&self, beside: &Beside, arguments: &[&str]) -> Output {
        let mut command = self.kubectl();
        command
            .env("KUBECONFIG", &beside.kubeconfig)
            .args(arguments);
        command.output().expect("the program is there")
    }
}

/// How the API server that lives in `home` was started.
fn arguments(home: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("processes can be looked at");
    let of = |process: &Path| -> Option<Vec<String>> {
        let line = fs::read_to_string(process.join("cmdline")).ok()?;
        let line: Vec<_> = line.split_terminator('\0').map(str::to_owned).collect();
        let is_it = line.first()?.ends_with("/kube-apiserver")
            && fs::read_link(process.join("cwd")).ok()? == home;
        is_it.then_some(line)
    };
    let mut all = processes.filter_map(|one| of(&one.ok()?.path()));
    all.next().expect("an API server runs there")
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        // What stays is found by the next one's start.
        let _ = command(&self.cluster, &self.directory).arg("down").output();
    }
}
