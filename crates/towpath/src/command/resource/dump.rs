//! `towpath resource dump`: what a resource holds, in a file of its kind's own format.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use client::Client;
use delivery::model::DUMPED;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// How a kind of resource is copied, and by what its copy is brought back.
struct Format {
    /// Secret outputs that it takes.
    secrets: &'static [&'static str],
    /// Programs that can, the first that is there; and the Debian package that has them.
    programs: &'static [&'static str],
    package: &'static str,
    restore: &'static str,
}

fn format_of(resource_type: &str) -> Option<Format> {
    Some(match resource_type {
        "postgres" => Format {
            secrets: &["password"],
            programs: &["pg_dump"],
            package: "postgresql-client",
            restore: "pg_restore --no-owner --dbname URL FILE",
        },
        "mysql" => Format {
            secrets: &["password"],
            programs: &["mariadb-dump", "mysqldump"],
            package: "mariadb-client",
            restore: "mariadb --host HOST --user USER --password DATABASE < FILE",
        },
        "volume" => Format {
            secrets: &[],
            programs: &["tar"],
            package: "tar",
            restore: "tar --extract --file FILE --directory DIRECTORY",
        },
        "s3" => Format {
            secrets: &["secret_access_key"],
            programs: &["aws"],
            package: "awscli",
            restore: "tar --extract --file FILE, then `aws s3 sync` of what was in it",
        },
        _ => return None,
    })
}

/// Copies what the resource holds to the file `out`, whole or not at all.
pub(super) async fn run(
    context: &Context,
    environment: &str,
    name: &str,
    out: &Path,
) -> Result<()> {
    if out.symlink_metadata().is_ok() {
        let message = format!("{} is there already", out.display());
        return Err(Failure::new(Exit::Conflict, message).remedy("name another file with --out"));
    }
    let client = context.client()?;
    let resource = client.resource(environment, name).await?;
    let node = &resource.spec.node;
    let format = format_of(&node.resource_type).ok_or_else(|| {
        let message = format!("there is no dump of a resource of type `{}`", node.resource_type);
        Failure::new(Exit::Invalid, message).remedy(format!(
            "there is of {}; of another, `towpath resource outputs {name} --env {environment}` gives \
             the access for a program of its own",
            DUMPED.join(", ")
        ))
    })?;
    // Before anything is revealed.
    let program = format
        .programs
        .iter()
        .find_map(|name| found(name))
        .ok_or_else(|| {
            let message = format!(
                "there is no program `{}` on this machine",
                format.programs.join("` or `")
            );
            Failure::new(Exit::Failed, message).remedy(format!(
                "install it: on Debian, `apt-get install {}`",
                format.package
            ))
        })?;
    let outputs = Outputs::read(&client, environment, &resource.meta.name, format.secrets).await?;
    let draft = Draft::beside(out)?;
    match node.resource_type.as_str() {
        "postgres" => postgres(&program, &outputs, &draft).await?,
        "mysql" => mysql(&program, &outputs, &draft).await?,
        "volume" => directory(&program, Path::new(outputs.text("source")?), &draft).await?,
        _ => bucket(&program, &outputs, &draft).await?,
    }
    let size = draft.keep(out)?;
    let answer = json!({ "file": out, "bytes": size, "restore": format.restore });
    context.answer(&answer, || {
        format!(
            "{node} is in {}: {size} bytes\nto bring it back: {}",
            out.display(),
            format.restore
        )
    })
}

/// What the resource gives to workloads, with the secrets that a dump takes.
struct Outputs(BTreeMap<String, String>);

impl Outputs {
    async fn read(
        client: &Client,
        environment: &str,
        name: &str,
        secrets: &[&str],
    ) -> Result<Self> {
        let mut all = BTreeMap::new();
        let plain = client.resource_outputs(environment, name, None).await?;
        for (output, value) in plain.outputs {
            let text = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            all.insert(output, text);
        }
        for &secret in secrets {
            let told = client
                .resource_outputs(environment, name, Some(secret))
                .await?;
            all.extend(told.revealed);
        }
        Ok(Self(all))
    }

    fn text(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).ok_or_else(|| {
            Failure::new(Exit::Failed, format!("the resource has no output `{name}`"))
                .remedy("wait until it is ready: `towpath resource list` says how far it is")
        })
    }
}

async fn postgres(program: &Path, outputs: &Outputs, draft: &Draft) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(["--format=custom", "--no-owner", "--no-privileges"])
        .env("PGHOST", outputs.text("host")?)
        .env("PGPORT", outputs.text("port")?)
        .env("PGDATABASE", outputs.text("database")?)
        .env("PGUSER", outputs.text("username")?)
        .env("PGPASSWORD", outputs.text("password")?);
    draft.filled_by(command).await
}

async fn mysql(program: &Path, outputs: &Outputs, draft: &Draft) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args([
            "--single-transaction",
            "--routines",
            "--triggers",
            "--no-tablespaces",
        ])
        .args([
            "--protocol=tcp",
            "--host",
            outputs.text("host")?,
            "--port",
            outputs.text("port")?,
        ])
        .args([
            "--user",
            outputs.text("username")?,
            outputs.text("database")?,
        ])
        .env("MYSQL_PWD", outputs.text("password")?);
    draft.filled_by(command).await
}

async fn directory(program: &Path, source: &Path, draft: &Draft) -> Result<()> {
    if !source.is_dir() {
        let message = format!("{} is no directory of this machine", source.display());
        return Err(Failure::new(Exit::Failed, message)
            .remedy("run this on the machine where the volume is"));
    }
    let mut command = Command::new(program);
    command
        .args(["--create", "--file=-", "--directory"])
        .arg(source)
        .arg(".");
    draft.filled_by(command).await
}

/// The objects of a bucket, as files of a `tar`.
async fn bucket(program: &Path, outputs: &Outputs, draft: &Draft) -> Result<()> {
    let tar = found("tar").ok_or_else(|| {
        Failure::new(Exit::Failed, "there is no program `tar` on this machine")
            .remedy("install it: on Debian, `apt-get install tar`")
    })?;
    let copy = draft.path.with_extension("objects");
    fs::create_dir(&copy)
        .map_err(|error| Failure::io(&format!("{} cannot be made", copy.display()), &error))?;
    let copied = async {
        let mut command = Command::new(program);
        command
            .args([
                "s3",
                "sync",
                "--only-show-errors",
                "--endpoint-url",
                outputs.text("endpoint")?,
            ])
            .arg(format!("s3://{}", outputs.text("bucket")?))
            .arg(&copy)
            .env("AWS_ACCESS_KEY_ID", outputs.text("access_key_id")?)
            .env("AWS_SECRET_ACCESS_KEY", outputs.text("secret_access_key")?)
            .env("AWS_DEFAULT_REGION", outputs.text("region")?);
        let ended = ended(command.stdout(Stdio::null())).await?;
        refuse_unless_done(program, &ended)?;
        directory(&tar, &copy, draft).await
    };
    let copied = copied.await;
    // The draft is what counts: what is left of the copy is beside it, by its name.
    let _ = fs::remove_dir_all(&copy);
    copied
}

/// A file beside the one that is asked for, which nobody else may read; gone unless it is kept.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn beside(out: &Path) -> Result<Self> {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let path = out.with_file_name(format!(".{name}.{}", std::process::id()));
        let made = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(_) => Ok(Self { path }),
            Err(error) => Err(Failure::io(
                &format!("{} cannot be written", out.display()),
                &error,
            )),
        }
    }

    /// Has `command` write it, by its standard output.
    async fn filled_by(&self, mut command: Command) -> Result<()> {
        let file = File::options().write(true).open(&self.path);
        let file = file.map_err(|error| Failure::io("the dump cannot be written", &error))?;
        let program = PathBuf::from(command.as_std().get_program());
        let ended = ended(command.stdout(file)).await?;
        refuse_unless_done(&program, &ended)
    }

    /// Gives it its name; says how large it is.
    fn keep(self, out: &Path) -> Result<u64> {
        let kept = File::open(&self.path).and_then(|file| {
            file.sync_all()?;
            let size = file.metadata()?.len();
            // Takes nobody's place: somebody may have written there meanwhile.
            fs::hard_link(&self.path, out)?;
            Ok(size)
        });
        kept.map_err(|error: io::Error| {
            Failure::io(&format!("{} cannot be written", out.display()), &error)
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Where it does not go, its name says what it was.
        let _ = fs::remove_file(&self.path);
    }
}

async fn ended(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::io("the program cannot be started", &error))?
        .wait_with_output()
        .await
        .map_err(|error| Failure::io("the program was lost", &error))
}

fn refuse_unless_done(program: &Path, ended: &Output) -> Result<()> {
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let message = format!(
        "{} failed ({}): {}",
        program.display(),
        ended.status,
        said.trim()
    );
    Err(Failure::new(Exit::Failed, message)
        .remedy("nothing was written; run this where the server is reached"))
}

/// A program of this machine, where `PATH` has it.
fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_names_can_be_dumped() {
        for known in DUMPED {
            assert!(format_of(known).is_some(), "{known}");
        }
        assert!(format_of("amqp").is_none());
    }
}
