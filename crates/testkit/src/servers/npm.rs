//! Programs of others in JavaScript, from npm.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::require;

/// How long npm may take to fetch one.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the package `name` at `version` lies in `node_modules`: installed below `place`, and kept there
/// between runs. None where it cannot be had.
///
/// # Panics
/// Where it cannot be had and `TOWPATH_TEST_REQUIRE` names it.
pub async fn npm(name: &str, version: &str, place: &Path) -> Option<PathBuf> {
    require(name, installed(name, version, &place.join(name)).await)
}

async fn installed(name: &str, version: &str, place: &Path) -> Result<PathBuf, String> {
    if place.join("node_modules").join(name).exists() {
        return Ok(place.to_owned());
    }
    std::fs::create_dir_all(place).map_err(|error| error.to_string())?;
    let package = format!("{name}@{version}");
    let install = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
        .args([place.as_os_str(), package.as_ref()])
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(PATIENCE, install)
        .await
        .map_err(|_| "npm does not come to an end".to_owned())?
        .map_err(|error| format!("npm is not there: {error}"))?;
    if done.status.success() {
        Ok(place.to_owned())
    } else {
        let said = String::from_utf8_lossy(&done.stderr);
        Err(format!("npm installs no {package}: {said}"))
    }
}
