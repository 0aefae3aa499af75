//! The operating system's accounts: who we are, and as whom a server runs.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::process::geteuid;

/// An account of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Whether this process may become any account.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// The first of `names` that exists, where this process may become it.
pub(crate) fn become_one_of(names: &[&str]) -> Option<Account> {
    if !is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    names.iter().find_map(|name| lookup(&passwd, name))
}

fn lookup(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

/// Whether any account may pass through `path` and all that lies above it.
pub(crate) fn everyone_may_enter(path: &Path) -> bool {
    path.ancestors().all(|ancestor| {
        ancestor.as_os_str().is_empty()
            || match fs::metadata(ancestor) {
                Ok(metadata) => metadata.permissions().mode() & 0o001 != 0,
                // What is not there yet will be made by us.
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:110::/var/lib:/bin/sh\n";
        assert_eq!(
            lookup(passwd, "postgres"),
            Some(Account { uid: 104, gid: 110 })
        );
        assert_eq!(lookup(passwd, "mysql"), None);
    }
}
