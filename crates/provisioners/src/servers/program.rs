//! Programs on this machine: where they are, and one run of one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use delivery::provisioner::ProvisionError;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::account::Account;

/// Where Debian and others keep servers that are not in everybody's `PATH`.
const MORE_PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/lib/rabbitmq/bin"];

/// The program `name`: in `places` first, then in `PATH`, then where servers are kept.
pub(crate) fn find(name: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    places
        .iter()
        .cloned()
        .chain(env::split_paths(&path))
        .chain(MORE_PLACES.iter().map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// Debian's directories of Postgres binaries, the newest version first.
pub(crate) fn postgres_places() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, path)| path).collect()
}

/// One run of a program.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [&'a str],
    pub(crate) env: &'a [(&'a str, &'a str)],
    pub(crate) account: Option<Account>,
    /// What it reads. Secrets go this way: arguments are visible to everyone on the machine.
    pub(crate) input: &'a str,
    pub(crate) limit: Duration,
}

impl Run<'_> {
    /// Runs it to its end; its output, or an error with its own words.
    pub(crate) async fn output(self) -> Result<String, ProvisionError> {
        let name = self.program.display();
        let failed = |why: String| ProvisionError::transient(format!("{name}: {why}"));
        let mut command = Command::new(self.program);
        command
            .args(self.args)
            .envs(self.env.iter().copied())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading says why by itself.
            let _closed_early = stdin.write_all(self.input.as_bytes()).await;
        }
        let output = timeout(self.limit, child.wait_with_output())
            .await
            .map_err(|_| failed(format!("no end after {} s", self.limit.as_secs())))?
            .map_err(|e| failed(e.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(failed(format!("{}: {}", output.status, words.trim())))
    }
}
