//! Small files with one secret in each, for the eyes of the user who runs the platform.

use std::{
    fs::OpenOptions,
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
    let placed = writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .and_then(|()| match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            placed => placed,
        });
    std::fs::remove_file(&draft)?;
    placed
}
