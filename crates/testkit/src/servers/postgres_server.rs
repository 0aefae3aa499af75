//! A Postgres of one test alone, which it can stop and start.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::require;
use crate::{Port, free_port};

/// A Postgres server of its own, in a directory that goes with the value. Not running until [`Self::start`].
pub struct PostgresServer {
    programs: PathBuf,
    directory: tempfile::TempDir,
    port: Port,
}

/// A new server, made and not yet started; none where this machine has no Postgres.
///
/// # Panics
/// Where its programs are there, and do not make it.
pub fn postgres_server() -> Option<PostgresServer> {
    let programs = require("postgres", programs())?;
    let made = PostgresServer {
        programs,
        directory: tempfile::tempdir().expect("a directory"),
        port: free_port(),
    };
    if is_root() {
        // It does not run as root.
        run(Command::new("chown")
            .arg("postgres")
            .arg(made.directory.path()));
    }
    let data = made.data();
    run(made
        .program("initdb")
        .args(["--auth=trust", "--no-sync", "-U", "admin", "-D"])
        .arg(data));
    Some(made)
}

fn programs() -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let programs = versions.flatten().map(|version| version.path().join("bin"));
    programs
        .max()
        .filter(|programs| programs.join("initdb").exists())
        .ok_or_else(|| "Postgres is not installed in /usr/lib/postgresql".into())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

impl PostgresServer {
    /// The port of the loopback that it listens on while it runs.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its database `postgres`, as a superuser. The server takes any password: this one is there to be
    /// looked for where it must not be.
    pub fn url(&self) -> String {
        let port = &self.port;
        format!("postgres://admin:hush-of-the-admin@127.0.0.1:{port}/postgres")
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(&self) {
        let sockets = self.directory.path().display();
        let options = format!("-p {} -k {sockets} -c fsync=off", self.port);
        let log = self.directory.path().join("log");
        run(self
            .program("pg_ctl")
            .args(["start", "-w", "-o", &options, "-l"])
            .arg(log)
            .arg("-D")
            .arg(self.data()));
    }

    /// Stops it, as a crash would: no transaction is ended first.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn stop(&self) {
        run(&mut self.stopping());
    }

    fn stopping(&self) -> Command {
        let mut command = self.program("pg_ctl");
        command
            .args(["stop", "-w", "-m", "immediate", "-D"])
            .arg(self.data());
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A program of the server, as a user whom it takes.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(Path::new("/"));
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // It may be stopped already.
        let _ = self.stopping().output();
    }
}

fn run(command: &mut Command) {
    // No pipes: a server that stays would keep them open.
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("it can be run").success(), "{command:?}");
}
