//! Small files with one secret in each, for the eyes of the user who runs the platform.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use uuid::Uuid;

use crate::{Error, Result, Secret, error::disk_remedy};

/// The text in the file at `path`, without white space around it. Where there is no file, `make`
/// makes the text, and it is written with mode 0600; of several who do this at once one wins, and
/// all read what it wrote. A file that others can read is refused: the secret may be out.
pub(crate) fn read_or_create(
    path: &Path,
    what: &str,
    make: impl FnOnce() -> Result<String>,
) -> Result<Secret> {
    let failed = |error: io::Error| {
        Error::unavailable(format!(
            "the {what} in {} cannot be used: {error}",
            path.display()
        ))
        .remedy(disk_remedy(
            &error,
            "the file must be readable, and its directory writable, for the user who runs Towpath",
        ))
    };
    if !path.try_exists().map_err(failed)? {
        create(path, &make()?).map_err(failed)?;
    }
    let mut file = OpenOptions::new().read(true).open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
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
    Ok(Secret::from(text.trim()))
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
