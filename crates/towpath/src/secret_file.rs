//! Files that hold secrets: written whole or not at all, and their owner's alone.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use kernel::Secret;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    prompt,
};

/// A secret from a file, without its last line break; `-` is standard input, where a terminal asks for `what`
/// and shows nothing.
pub(crate) async fn read(path: &Path, what: &str) -> Result<Secret> {
    if path == Path::new("-") {
        return prompt::hidden(what).await;
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Failed,
            };
            let message = format!("{what} cannot be read from {}: {error}", path.display());
            Failure::new(exit, message)
        })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::from(line.strip_suffix('\r').unwrap_or(line)))
}

/// A file that is about to hold a secret: a draft beside it, which takes its place at the end. Where that does
/// not come, the draft goes, and what was there stays.
pub(crate) struct SecretFile {
    path: PathBuf,
    draft: PathBuf,
    file: File,
}

impl SecretFile {
    /// Makes sure that `path` can be written, before there is a secret that could be lost. A symbolic link may
    /// lead anywhere, and what is no file cannot be replaced by one: both are refused.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        refuse_other_than_files(path)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{}", uuid::Uuid::now_v7()));
        let draft = PathBuf::from(draft);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&draft)
            .map_err(|error| unwritable(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            draft,
            file,
        })
    }

    /// Puts `content` where the file is to be: nobody ever reads half of it.
    pub(crate) fn finish(mut self, content: &Secret) -> Result<()> {
        self.file
            .write_all(content.expose())
            .and_then(|()| self.file.sync_all())
            .and_then(|()| std::fs::rename(&self.draft, &self.path))
            .map_err(|error| unwritable(&self.path, &error))
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        // Gone already where it has taken the file's place. Another error than the first tells nobody more.
        let _ = std::fs::remove_file(&self.draft);
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::io(&format!("{} cannot be written", path.display()), error)
}

/// What others may lead elsewhere, or what is no file.
pub(crate) fn refuse_other_than_files(path: &Path) -> Result<()> {
    let what = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::io(
                &format!("{} cannot be looked at", path.display()),
                &error,
            ));
        }
        Ok(found) if found.is_file() => return Ok(()),
        Ok(found) if found.is_symlink() => "a symbolic link",
        Ok(_) => "no file",
    };
    Err(Failure::new(
        Exit::Conflict,
        format!("{} is {what}: nothing was written", path.display()),
    )
    .remedy("name the file itself"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_secret_is_its_owners_alone_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "before").unwrap();
        drop(SecretFile::begin(&path).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        let file = SecretFile::begin(&path).unwrap();
        file.finish(&Secret::from("twk_canary\n")).unwrap();
        assert_eq!(names(directory.path()), ["key"]);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = read(&path, "the key").await.unwrap();
        assert_eq!(read.expose_str(), Some("twk_canary"));
    }

    #[test]
    fn what_is_no_file_is_refused_before_there_is_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
        for path in [&link, directory.path()] {
            let failure = SecretFile::begin(path).err().unwrap();
            assert_eq!(failure.exit, Exit::Conflict);
        }
        let nowhere = SecretFile::begin(&directory.path().join("none/key"));
        assert_eq!(nowhere.err().unwrap().exit, Exit::Failed);
        assert_eq!(names(directory.path()), ["link"]);
    }
}
