//! Small files with one secret in each, for the eyes of the user who runs the platform.

use std::{
    fs::{self, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use uuid::Uuid;

use crate::{Error, Result, Secret, error::disk_remedy};

/// A draft that is older was left by a process that is no more: writing one takes a moment.
const LEFT: Duration = Duration::from_mins(1);

/// The text in the file at `path`, without white space around it. Where there is no file, `make`
/// makes the text, and it is written with mode 0600; of several who do this at once one wins, and
/// all read what it wrote. A file that others can read is refused: the secret may be out.
pub(crate) fn read_or_create(
    path: &Path,
    what: &str,
    make: impl FnOnce() -> Result<String>,
) -> Result<Secret> {
    let failed = |error: io::Error| unusable(path, what, &error);
    if !path.try_exists().map_err(failed)? {
        create(path, &make()?).map_err(failed)?;
    }
    let mut file = OpenOptions::new().read(true).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::forbidden(format!(
            "the {what} in {} can be read by others (mode {:03o})",
            path.display(),
            mode & 0o777
        ))
        .remedy(format!("run: chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    if let Err(error) = remove_left(path, &metadata) {
        tracing::warn!(path = %path.display(), %error, "drafts of a private file may be left beside it");
    }
    Ok(Secret::from(text.trim()))
}

/// Removes the file at `path`.
pub(crate) fn remove(path: &Path, what: &str) -> Result<()> {
    fs::remove_file(path).map_err(|error| unusable(path, what, &error))
}

fn unusable(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::unavailable(format!(
        "the {what} in {} cannot be used: {error}",
        path.display()
    ))
    .remedy(disk_remedy(
        error,
        "the file must be readable, and its directory writable, for the user who runs Towpath",
    ))
}

/// Writes the file whole or not at all: half a secret would be taken for the secret.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", Uuid::now_v7()));
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    let draft = Path::new(&draft);
    let placed = writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .and_then(|()| place(draft, path, fs::hard_link));
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => placed,
    }
}

/// Removes what those who were killed while they wrote the file at `path` have left of their drafts: nobody knows
/// of these copies of a secret.
fn remove_left(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(());
    };
    for entry in fs::read_dir(path.with_file_name("."))? {
        let entry = entry?;
        let beside = entry.file_name();
        let suffix = beside.to_str().and_then(|beside| beside.strip_prefix(name));
        let Some((between, id)) = suffix.and_then(|suffix| suffix.rsplit_once('.')) else {
            continue;
        };
        if Uuid::try_parse(id).is_err() {
            continue;
        }
        let draft = match entry.metadata() {
            Ok(draft) => draft,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !draft.is_file() || draft.uid() != metadata.uid() {
            continue;
        }
        // A second name of the file itself is of no use to its writer any more. It may be from when the file had a
        // longer name.
        let is_placed = draft.ino() == metadata.ino() && draft.dev() == metadata.dev();
        let age = draft.modified()?.elapsed().unwrap_or_default();
        if (is_placed || between.is_empty() && age > LEFT)
            && let Err(error) = fs::remove_file(entry.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Gives the draft its name by `link`, where nobody was first.
fn place<'p>(
    draft: &'p Path,
    path: &'p Path,
    link: impl FnOnce(&'p Path, &'p Path) -> io::Result<()>,
) -> io::Result<()> {
    let was_first = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    match link(draft, path) {
        Ok(()) => return Ok(()),
        Err(error) if was_first(&error) => return Ok(()),
        // Some file systems have no second names, and say so in several ways. What else hinders one hinders what
        // follows.
        Err(_) => {}
    }
    let mut taking = OpenOptions::new();
    // By one alone; and what has the name then gives way to the draft as a whole.
    match taking.create_new(true).write(true).mode(0o600).open(path) {
        Ok(_) => fs::rename(draft, path).inspect_err(|_| {
            let _ = fs::remove_file(path);
        }),
        Err(error) if was_first(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_have_no_second_names_the_first_to_write_wins_all_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        for text in ["first", "second"] {
            let draft = directory.path().join(text);
            fs::write(&draft, text).expect("a draft");
            let placed = place(&draft, &path, |_, _| {
                Err(io::ErrorKind::PermissionDenied.into())
            });
            placed.expect("it has a name");
            assert_eq!(fs::read_to_string(&path).expect("it is there"), "first");
        }
    }
}
