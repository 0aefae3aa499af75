//! Opening a page in the person's browser, where there is one.

use std::{
    ffi::OsString,
    process::{Command, Stdio},
};

/// Opens `url`; says whether something was there to open it with. Nobody waits for it, and what it
/// says is not shown.
pub(crate) fn open(url: &str) -> bool {
    // The address comes from a server: nothing but an address is handed to a program.
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return false;
    }
    let Some(program) = program() else {
        return false;
    };
    Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .is_ok()
}

/// What opens pages here: what the person has said, else the system's own, where there is a screen.
fn program() -> Option<OsString> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(named) = set("BROWSER") {
        return Some(named);
    }
    if set("CI").is_some() {
        return None;
    }
    if cfg!(target_os = "macos") {
        return set("SSH_CONNECTION").is_none().then(|| "open".into());
    }
    (set("DISPLAY").is_some() || set("WAYLAND_DISPLAY").is_some()).then(|| "xdg-open".into())
}
