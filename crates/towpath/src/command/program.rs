//! This program, as it is called from here.

use std::path::PathBuf;

/// How to call this program from here: by its name where that finds it, else by its path.
pub(crate) fn own_name() -> String {
    let Ok(own) = std::env::current_exe() else {
        return "towpath".into();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join("towpath"))
        .find(|file| file.is_file());
    let same = |file: &PathBuf| {
        let real = std::fs::canonicalize;
        real(file).is_ok_and(|file| real(&own).is_ok_and(|own| own == file))
    };
    if found.as_ref().is_some_and(same) {
        "towpath".into()
    } else {
        own.display().to_string()
    }
}
