//! Who else on the machine may read the file of logins, or put another in its place.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::OFlags,
    process::{getegid, geteuid},
};

use super::file::LoginFile;
use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

impl LoginFile {
    /// The directories with logins in them and nothing else: whoever may not see logins may not see
    /// those. The program's own is made where it is not there. And where logins are beside other files, the
    /// file itself.
    pub(crate) fn private(&self) -> std::io::Result<(Vec<PathBuf>, Option<PathBuf>)> {
        let mut directories = Vec::new();
        if self.own_directory {
            let directory = self.directory();
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
            directories.push(fs::canonicalize(directory)?);
        }
        let target = match fs::canonicalize(&self.path) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound && self.own_directory => {
                return Ok((directories, None));
            }
            // Nobody has logged in yet: it will be where it is named.
            Err(error) if error.kind() == ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(error),
        };
        let directory = target.parent().unwrap_or(Path::new("/")).to_owned();
        if directories.contains(&directory) {
            return Ok((directories, None));
        }
        // Its neighbours, too, are written with it.
        let ours = target.file_name().unwrap_or_default().to_string_lossy();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((directories, Some(target.clone())));
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            let rest = name.strip_prefix(&*ours);
            if !rest.is_some_and(|rest| ["", ".lock", ".new"].contains(&rest)) {
                return Ok((directories, Some(target.clone())));
            }
        }
        directories.push(fs::canonicalize(directory)?);
        Ok((directories, None))
    }

    /// Opens it. What is no file, but waits for somebody to write, is not waited for.
    pub(super) fn open(&self) -> io::Result<File> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags).open(&self.path)
    }

    /// The file is its owner's alone, and its owner is whoever runs this.
    pub(super) fn check_file(&self, file: &File) -> Result<()> {
        let found = file.metadata().map_err(|error| self.unreadable(&error))?;
        if !found.is_file() {
            let message = format!("{} is no file", self.path.display());
            return Err(Failure::new(Exit::Refused, message)
                .remedy("remove it, and log in again: `towpath login --server URL`"));
        }
        if found.uid() != geteuid().as_raw() {
            return Err(self.anothers(&self.path, &found));
        }
        if found.mode() & 0o077 != 0 {
            return Err(self.too_open(&self.path, &found, "600"));
        }
        Ok(())
    }

    /// A directory of our own is nobody else's; in another, and in those above, nobody else may put
    /// something in the place of what is there.
    pub(super) fn check_directory(&self) -> Result<()> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let directory = fs::canonicalize(self.directory()).map_err(unreadable)?;
        let found = fs::metadata(&directory).map_err(unreadable)?;
        if self.own_directory && found.uid() != geteuid().as_raw() {
            return Err(self.anothers(&directory, &found));
        }
        if self.own_directory && found.mode() & 0o077 != 0 {
            return Err(self.too_open(&directory, &found, "700"));
        }
        for place in directory.ancestors() {
            let found = fs::metadata(place).map_err(unreadable)?;
            if ![0, geteuid().as_raw()].contains(&found.uid()) {
                return Err(self.anothers(place, &found));
            }
            // With the sticky bit names are their owners' to change.
            if found.mode() & 0o1000 == 0 && others_may_write(&found) {
                return Err(self.too_open(place, &found, "go-w"));
            }
        }
        Ok(())
    }

    fn too_open(&self, path: &Path, found: &Metadata, right: &str) -> Failure {
        let path = path.display();
        Failure::new(
            Exit::Refused,
            format!(
                "others on this machine may use the logins in {}, or replace them: {path} has mode {:04o}",
                self.path.display(),
                found.mode() & 0o7777
            ),
        )
        .remedy(format!(
            "close it: `chmod {right} {path}`; if somebody may have read the file, log out and in again"
        ))
    }

    fn anothers(&self, path: &Path, found: &Metadata) -> Failure {
        let path = path.display();
        Failure::new(
            Exit::Refused,
            format!(
                "somebody else on this machine may replace the logins in {}: {path} is the user's with number {}",
                self.path.display(),
                found.uid()
            ),
        )
        .remedy(format!(
            "see who put it there; if it is to be yours, `chown {} {path}`, else name another file in TOWPATH_CONFIG",
            geteuid().as_raw()
        ))
    }
}

/// Whether somebody else may change what is in a directory. A group of one's own is most often of one.
fn others_may_write(found: &Metadata) -> bool {
    let group = found.mode() & 0o020 != 0 && found.gid() != getegid().as_raw();
    group || found.mode() & 0o002 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logins::file::tests::{chmod, file, logins};

    #[tokio::test]
    async fn what_others_may_read_is_refused_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.lock().await.unwrap().write(&logins()).unwrap();
        chmod(&file.path, 0o640);
        let failure = file.read().unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.message.contains("0640"), "{}", failure.message);
        let remedy = failure.remedy.clone().unwrap();
        assert!(remedy.contains("chmod 600"), "{remedy}");
        chmod(&file.path, 0o600);
        chmod(file.directory(), 0o755);
        let remedy = file.read().unwrap_err().remedy.clone().unwrap();
        assert!(remedy.contains("chmod 700"), "{remedy}");
        assert!(file.lock().await.is_err());
    }

    #[tokio::test]
    async fn where_logins_are_is_private_wherever_that_is() {
        let directory = tempfile::tempdir().unwrap();
        let place = fs::canonicalize(directory.path()).unwrap();
        let own = file(&place);
        // Before the first login, and after.
        for _ in 0..2 {
            let expected = (vec![place.join("towpath")], None);
            assert_eq!(own.private().unwrap(), expected);
            own.lock().await.unwrap().write(&logins()).unwrap();
        }
        // A link leads out of the directory.
        let elsewhere = place.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let target = elsewhere.join("logins");
        fs::rename(&own.path, &target).unwrap();
        std::os::unix::fs::symlink(&target, &own.path).unwrap();
        let expected = vec![place.join("towpath"), elsewhere.clone()];
        assert_eq!(own.private().unwrap(), (expected, None));
        // A file that was named, alone and beside others.
        let named = LoginFile {
            path: target.clone(),
            own_directory: false,
        };
        named.lock().await.unwrap().write(&logins()).unwrap();
        assert_eq!(named.private().unwrap(), (vec![elsewhere.clone()], None));
        fs::write(elsewhere.join("notes.txt"), "").unwrap();
        assert_eq!(named.private().unwrap(), (vec![], Some(target)));
    }

    #[tokio::test]
    async fn what_others_may_replace_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.lock().await.unwrap().write(&logins()).unwrap();
        chmod(directory.path(), 0o777);
        let failure = file.read().unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        let remedy = failure.remedy.clone().unwrap();
        assert!(remedy.contains("chmod go-w"), "{remedy}");
        assert!(file.lock().await.is_err());
        // As in /tmp: what is there is its owner's.
        chmod(directory.path(), 0o1777);
        assert_eq!(file.read().unwrap(), logins());

        if !geteuid().is_root() {
            return;
        }
        for path in [&file.path, file.directory(), directory.path()] {
            std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
            let failure = file.read().unwrap_err();
            assert!(failure.message.contains("65534"), "{}", failure.message);
            std::os::unix::fs::chown(path, Some(0), None).unwrap();
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        fs::create_dir(file.directory()).unwrap();
        chmod(file.directory(), 0o700);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &file.path, mode).unwrap();
        let failure = file.read().unwrap_err();
        assert!(
            failure.message.contains("is no file"),
            "{}",
            failure.message
        );
    }
}
