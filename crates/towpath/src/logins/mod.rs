//! The logins of one person, at several platforms: the file that keeps them, and the session that
//! renews what is in it.

mod browser;
mod file;
mod machine;
mod place;
mod session;

pub(crate) use browser::open;
pub(crate) use file::{LockError, LoginFile, Logins, Platform, Tokens, replace};
pub(crate) use machine::{Machine, Proof, Shown};
pub(crate) use session::Session;

/// The client as which this program logs in, at every platform.
pub(crate) const CLIENT: &str = "towpath-cli";

/// The context that no login makes: the platform in the data directory, with its admin token.
pub(crate) const LOCAL: &str = "local";

/// What a platform's context is called where nobody chooses: its host, and its port where it is not
/// the usual one.
pub(crate) fn name_of(server: &str) -> String {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    let name: String = host
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .collect();
    name.trim_matches('-').to_owned()
}

/// Whether a context may be called so: it stands in shell commands and in kubeconfigs.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name != LOCAL && !name.starts_with('-') && name.chars().all(is_plain)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_called_as_its_host() {
        for (server, name) in [
            ("https://towpath.example.com", "towpath.example.com"),
            ("http://127.0.0.1:7070", "127.0.0.1-7070"),
            ("http://[::1]:7070/", "1--7070"),
        ] {
            assert_eq!(name_of(server), name);
            assert!(is_name(name), "{name}");
        }
    }

    #[test]
    fn what_a_shell_takes_apart_is_no_name() {
        for name in ["", "local", "-o", "a b", "a;b", "a/b", "$x"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
