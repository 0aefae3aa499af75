//! A server's files that are outside of the data directory: where they are, and whose.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use delivery::provisioner::ProvisionError;

use super::{Home, on_disk, write_private};

/// Beneath the notes, says where such a server's files are.
pub(super) const NOTE: &str = "directory";

impl Home {
    /// Writes down where the server's files are, if that is not beneath the notes; and there, whose they are.
    pub(super) fn note(&self) -> io::Result<()> {
        let Some(owner_file) = self.owner_file() else {
            return Ok(());
        };
        if noted(&self.notes).is_none() {
            tracing::info!(
                directory = %self.directory.display(),
                "a server's files are outside of the data directory, which its account may not enter"
            );
            write_private(
                &self.notes.join(NOTE),
                self.directory.as_os_str().as_encoded_bytes(),
            )?;
        }
        let notes = std::path::absolute(&self.notes)?;
        if path_in(&owner_file)?.as_ref() == Some(&notes) {
            return Ok(());
        }
        write_private(&owner_file, notes.as_os_str().as_encoded_bytes())
    }

    /// Says whose the server's files are, where they are not beneath the notes: beside them, where the server's own
    /// account writes nothing.
    pub(super) fn owner_file(&self) -> Option<PathBuf> {
        if self.directory.starts_with(&self.notes) {
            return None;
        }
        let mut name = OsString::from(".");
        name.push(self.directory.file_name()?);
        name.push(".owner");
        Some(self.directory.with_file_name(name))
    }

    /// Refuses files that another data directory has, and has still: a copy of that one has the same note, and must
    /// neither run the server, nor end it, nor remove what it holds.
    pub(crate) fn check_owner(&self) -> Result<(), ProvisionError> {
        let Some(owner_file) = self.owner_file() else {
            return Ok(());
        };
        let owner = path_in(&owner_file).map_err(|error| on_disk("read", &owner_file, &error))?;
        let Some(owner) = owner else {
            return Ok(());
        };
        let is_other =
            !is_same(&owner, &self.notes) && noted(&owner).as_ref() == Some(&self.directory);
        if !is_other {
            return Ok(());
        }
        let (note, directory) = (self.notes.join(NOTE), self.directory.display());
        Err(ProvisionError::transient(format!(
            "{directory}, which {} names, has the files of the platform in {}: a copy of a data directory has no \
             servers of its own",
            note.display(),
            owner.display()
        ))
        .remedy(format!(
            "to go on with their content, stop that platform and its servers, copy {directory}, with its owners, and \
             write the path of the copy into {0}; to begin with an empty server, remove {0}; where that platform is \
             no more, remove {1}",
            note.display(),
            owner.display()
        )))
    }
}

/// Where the note says that the server's files are.
pub(super) fn noted(notes: &Path) -> Option<PathBuf> {
    path_in(&notes.join(NOTE)).ok().flatten()
}

/// The path that is written in `file`; none where there is no such file, or no path in it.
fn path_in(file: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(PathBuf::from(text.trim())).filter(|path| path.is_absolute())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether both are there, and one directory, by whichever way.
fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
    id(one).is_some_and(|one| Some(one) == id(other))
}

#[cfg(test)]
mod tests {
    use super::super::{Account, OUTSIDE, private_directory};
    use super::*;

    #[test]
    fn files_outside_of_the_data_directory_are_found_after_it_was_moved_and_not_made_anew() {
        let account = Some(Account { uid: 1, gid: 1 });
        let directory = tempfile::tempdir().unwrap();
        let [before, after] = ["before", "after"].map(|name| directory.path().join(name));
        let home = Home::new(&before, "redis-instances/one", account);
        assert!(home.directory.starts_with(OUTSIDE), "{home:?}");
        private_directory(&home.notes).unwrap();
        note(&home.notes, &home.directory);
        fs::rename(&before, &after).unwrap();

        let moved = Home::new(&after, "redis-instances/one", account);
        assert_eq!(moved.directory, home.directory);
        let lost = moved.make_directory().unwrap_err();
        let path = home.directory.display().to_string();
        assert!(lost.message.contains(&path), "{lost}");
        assert!(!home.directory.exists());
    }

    /// Notes that the server's files are in `directory`.
    fn note(notes: &Path, directory: &Path) {
        write_private(&notes.join(NOTE), directory.as_os_str().as_encoded_bytes()).unwrap();
    }

    #[test]
    fn files_outside_of_a_data_directory_are_not_those_of_its_copy_while_it_is_there() {
        let place = tempfile::tempdir().unwrap();
        let [data, copy, link] = ["data", "copy", "link"].map(|name| place.path().join(name));
        let outside = place.path().join("outside");
        let files = outside.join("redis");
        for data in [&data, &copy] {
            let notes = Home::new(data, "redis", None).notes;
            private_directory(&notes).unwrap();
            note(&notes, &files);
        }
        private_directory(&files).unwrap();
        let original = Home::new(&data, "redis", None);
        assert_eq!(original.directory, files);
        original.make_directory().unwrap();
        fs::write(files.join("dump.rdb"), "kept").unwrap();

        let copied = Home::new(&copy, "redis", None);
        for refused in [
            copied.check_owner(),
            copied.make_directory(),
            copied.remove(),
        ] {
            let refused = refused.unwrap_err();
            let owner = original.notes.display().to_string();
            assert!(refused.message.contains(&owner), "{refused}");
            assert!(refused.remedy.is_some(), "{refused}");
        }
        assert!(files.join("dump.rdb").exists());
        assert!(copied.exists());
        // By another path it is the original all the same.
        std::os::unix::fs::symlink(&data, &link).unwrap();
        Home::new(&link, "redis", None).make_directory().unwrap();
        original.make_directory().unwrap();

        // What has no other data directory any more is that of the one which came from it.
        fs::remove_dir_all(&data).unwrap();
        copied.make_directory().unwrap();
        copied.remove().unwrap();
        assert!(!copied.exists());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}
