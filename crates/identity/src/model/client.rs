//! Programs that log people in: the CLI, the portal, a cluster.

use kernel::Kind;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::settings::is_loopback;

/// A program that may ask for a person's tokens. Scope: the platform; its name is its `client_id`.
#[derive(Debug)]
pub enum OidcClient {}

impl Kind for OidcClient {
    const KIND: &'static str = "OidcClient";
    type Spec = OidcClientSpec;
    type Status = ClientStatus;

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath client list".into())
    }
}

/// What a client may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcClientSpec {
    /// For people: shown where they approve a device.
    #[serde(default)]
    pub description: String,
    /// Where codes may be sent, exactly. For `http` on the loopback interface any port will do
    /// (RFC 8252): a program on a laptop takes the one that is free.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where a browser may be sent after a logout, exactly.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Whether it may use the device grant.
    #[serde(default)]
    pub device_grant: bool,
    /// Whether it keeps a secret: a program on a server. Others are public, and prove themselves by
    /// PKCE alone.
    #[serde(default)]
    pub confidential: bool,
}

/// What is known of a client beside that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientStatus {
    /// Whether a secret was drawn for it.
    #[serde(default)]
    pub has_secret: bool,
}

/// Whether a code may be sent to `asked` where `registered` is allowed.
pub fn redirect_allowed(registered: &[String], asked: &str) -> bool {
    registered
        .iter()
        .any(|one| one == asked || same_but_for_port(one, asked))
}

fn same_but_for_port(registered: &str, asked: &str) -> bool {
    let (Ok(mut registered), Ok(mut asked)) = (Url::parse(registered), Url::parse(asked)) else {
        return false;
    };
    let loopback = |url: &Url| url.scheme() == "http" && is_loopback(url);
    let plain = |url: &Url| url.username().is_empty() && url.password().is_none();
    if !loopback(&registered) || !loopback(&asked) || !plain(&asked) || asked.fragment().is_some() {
        return false;
    }
    registered.set_port(None).is_ok() && asked.set_port(None).is_ok() && registered == asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(registered: &str, asked: &str) -> bool {
        redirect_allowed(&[registered.to_owned()], asked)
    }

    #[test]
    fn redirects_are_exact() {
        let registered = "https://portal.example.com/callback";
        assert!(allowed(registered, registered));
        for other in [
            "https://portal.example.com/callback/",
            "https://portal.example.com/callback?x=1",
            "https://portal.example.com:8443/callback",
            "https://portal.example.com.evil.test/callback",
            "http://portal.example.com/callback",
        ] {
            assert!(!allowed(registered, other), "{other}");
        }
    }

    #[test]
    fn the_loopback_interface_has_any_port() {
        let registered = "http://127.0.0.1/callback";
        assert!(allowed(registered, "http://127.0.0.1:43125/callback"));
        assert!(allowed(
            "http://[::1]/callback",
            "http://[::1]:43125/callback"
        ));
        for other in [
            "http://127.0.0.1:43125/other",
            "https://127.0.0.1:43125/callback",
            "http://127.0.0.2:43125/callback",
            "http://127.0.0.1.evil.test:43125/callback",
            "http://evil@127.0.0.1:43125/callback",
            "http://127.0.0.1:43125/callback#x",
        ] {
            assert!(!allowed(registered, other), "{other}");
        }
    }
}
