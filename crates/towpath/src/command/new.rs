//! `towpath new`

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use catalog::{
    api::{NewRepository, Repository, RepositoryFile},
    model::stays_below,
};
use clap::Args;
use serde_json::json;

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Make a new repository from a starter kit: a service, its test, its delivery
///
/// Writes a directory of that name with everything to start work on the service: a Score file that says what it
/// needs, a pipeline that tests and deploys it, and how to begin. `towpath get starter-kits` lists the kits and their
/// options.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath new shop --kit python-service\n  towpath new shop --kit rust-service --with postgres --with s3\n  towpath new shop --kit node-service --team payments --into ~/src/shop"
)]
pub(crate) struct New {
    /// The workload's name
    name: String,
    /// The starter kit
    #[arg(long, value_name = "KIT")]
    kit: String,
    /// An option of the kit that you want. May be given again
    #[arg(long = "with", value_name = "OPTION", value_delimiter = ',')]
    with: Vec<String>,
    /// The team whose workload it will be [default: yours, if you are in one]
    #[arg(
        long,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "TEAM"
    )]
    team: Option<String>,
    /// The directory, which must be empty or not exist yet [default: the name]
    #[arg(long, value_name = "DIRECTORY")]
    into: Option<PathBuf>,
}

impl New {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let directory = self.into.unwrap_or_else(|| PathBuf::from(&self.name));
        refuse_unless_free(&directory)?;
        let request = NewRepository {
            name: self.name,
            with: self.with,
            team: self.team,
        };
        let client = context.client()?;
        let repository = client.new_repository(&self.kit, &request).await?;
        write(&directory, &repository)?;
        if let Some((file, server)) = own_address(&repository.files) {
            context.say(&format!(
                "warning: {file} calls the platform at {server}, which is this machine: a CI runner elsewhere does \
                 not reach it. Run the platform with an address of its own (`towpath up --issuer URL`), or write \
                 the one that runners reach into that file"
            ));
        }
        let paths: Vec<_> = repository
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        let answer = json!({
            "name": repository.name, "team": repository.team, "directory": directory, "files": paths,
        });
        context.answer(&answer, || {
            let files = paths
                .iter()
                .fold(String::new(), |text, path| text + "\n  " + path);
            format!(
                "{} has all that `{}` needs; its README.md says how to begin:{files}",
                directory.display(),
                repository.name,
            )
        })
    }
}

/// The address of the platform in a pipeline, where it is one of this machine; and the file in which it stands.
fn own_address(files: &[RepositoryFile]) -> Option<(&str, &str)> {
    for file in files {
        if !file.path.starts_with(".github/") {
            continue;
        }
        let lines = file.content.lines().map(str::trim);
        let mut servers = lines
            .filter_map(|line| line.strip_prefix("TOWPATH_SERVER:"))
            .map(str::trim);
        if let Some(server) = servers.find(|server| client::is_local(server)) {
            return Some((file.path.as_str(), server));
        }
    }
    None
}

fn refuse_unless_free(directory: &Path) -> Result<()> {
    let free = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if free { Ok(()) } else { Err(taken(directory)) }
}

fn taken(directory: &Path) -> Failure {
    let message = format!(
        "{} is there, and is not an empty directory",
        directory.display()
    );
    Failure::new(Exit::Conflict, message).remedy("name another with --into")
}

/// Writes all of it, or nothing: beside its place first.
fn write(directory: &Path, repository: &Repository) -> Result<()> {
    if let Some(file) = repository
        .files
        .iter()
        .find(|file| !stays_below(&file.path))
    {
        let message = format!(
            "the platform gave a file outside of the repository: {}",
            file.path
        );
        return Err(Failure::new(Exit::Failed, message).remedy("tell whoever operates it"));
    }
    // `shop/` and `shop` are one; `..` has no place beside itself.
    let Some(name) = directory.file_name() else {
        return Err(taken(directory));
    };
    let above = match directory.parent() {
        Some(above) if above != Path::new("") => above,
        _ => Path::new("."),
    };
    let draft = above.join(format!(
        ".{}.{}",
        name.to_string_lossy(),
        std::process::id()
    ));
    let written = fs::create_dir_all(above)
        .and_then(|()| fs::create_dir(&draft))
        .and_then(|()| {
            repository
                .files
                .iter()
                .try_for_each(|file| write_file(&draft, file))
        })
        // Takes the place of an empty directory, and of nothing else.
        .and_then(|()| fs::rename(&draft, directory));
    written.map_err(|error| {
        // What was begun goes; where it does not, its name says what it was.
        let _ = fs::remove_dir_all(&draft);
        if refuse_unless_free(directory).is_err() {
            return taken(directory);
        }
        Failure::io(
            &format!("{} cannot be written", directory.display()),
            &error,
        )
    })
}

fn write_file(directory: &Path, file: &RepositoryFile) -> io::Result<()> {
    let path = directory.join(&file.path);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    let mode = if file.executable { 0o777 } else { 0o666 };
    let mut opened = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    io::Write::write_all(&mut opened, file.content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_no_runner_reaches_is_found() {
        let file = |path: &str, server: &str| RepositoryFile {
            path: path.into(),
            content: format!("jobs:\n    env:\n      TOWPATH_SERVER: {server}\n"),
            executable: false,
        };
        let path = ".github/workflows/delivery.yaml";
        let here = [file(path, "http://127.0.0.1:7079")];
        assert_eq!(own_address(&here), Some((path, "http://127.0.0.1:7079")));
        let there = [
            file(path, "https://towpath.example.com"),
            file("README.md", "http://127.0.0.1:7079"),
        ];
        assert_eq!(own_address(&there), None);
    }
}
