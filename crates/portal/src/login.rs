//! What a login is begun with. Nothing of it is kept here: all follows from a random cookie of the browser
//! that began it, so that any replica can finish it, and that nobody fills the store by beginning logins.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use client::CodeLogin;
use kernel::{
    Result, Secret, SecretText,
    secret::{random_token, same},
};

use crate::address::{HOME, local};

/// The longest way back that is remembered: a `state` has an end.
const LONGEST_WAY: usize = 1000;

/// A browser in which logins are under way: several tabs may be.
pub(crate) struct Logins(SecretText);

impl Logins {
    /// Those of the browser with this cookie; with one that is drawn where it has none of ours.
    pub(crate) fn of(cookie: Option<&str>) -> Result<Self> {
        // As long as we make them: whoever sets a shorter one could be guessed.
        let known = cookie.filter(|cookie| cookie.len() == 43);
        Ok(Self(SecretText::from(match known {
            Some(cookie) => cookie.to_owned(),
            None => random_token()?,
        })))
    }

    /// What the browser keeps.
    pub(crate) fn cookie(&self) -> &str {
        self.0.expose()
    }

    /// Begins one that leads to `way`.
    pub(crate) fn begin(&self, way: &str, redirect_uri: &str) -> Result<CodeLogin> {
        let way = if way.len() > LONGEST_WAY { HOME } else { way };
        let about = format!("{}.{}", URL_SAFE_NO_PAD.encode(way), random_token()?);
        Ok(self.login(&about, redirect_uri))
    }

    /// The login that this `state` is of, and where it leads; none where this browser began none such.
    pub(crate) fn finish(&self, state: &str, redirect_uri: &str) -> Option<(CodeLogin, String)> {
        let (about, _) = state.rsplit_once('.')?;
        let login = self.login(about, redirect_uri);
        if !same(&login.state, state) {
            return None;
        }
        let (way, _) = about.split_once('.')?;
        let way = String::from_utf8(URL_SAFE_NO_PAD.decode(way).ok()?).ok()?;
        Some((login, local(&way)?))
    }

    fn login(&self, about: &str, redirect_uri: &str) -> CodeLogin {
        let derived = |what: &str| {
            let cookie = Secret::from(self.0.clone());
            let bytes = cookie.derive(&format!("towpath portal {what}: {about}"), 32);
            URL_SAFE_NO_PAD.encode(bytes.expose())
        };
        CodeLogin {
            redirect_uri: redirect_uri.into(),
            state: format!("{about}.{}", derived("state")),
            nonce: derived("nonce"),
            verifier: derived("verifier").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLBACK: &str = "https://towpath.example.com/portal/callback";

    #[test]
    fn a_login_is_finished_by_the_browser_that_began_it() {
        let logins = Logins::of(None).unwrap();
        let begun = logins.begin("/portal/teams/payments", CALLBACK).unwrap();
        let again = Logins::of(Some(logins.cookie())).unwrap();
        let (finished, way) = again.finish(&begun.state, CALLBACK).unwrap();
        assert_eq!(way, "/portal/teams/payments");
        assert_eq!(finished.nonce, begun.nonce);
        assert_eq!(finished.verifier, begun.verifier);
        assert_eq!(begun.verifier.expose().len(), 43);
        // Another tab of the same browser.
        let other = logins.begin("/portal/", CALLBACK).unwrap();
        assert_ne!(other.verifier, begun.verifier);
        assert!(again.finish(&other.state, CALLBACK).is_some());

        for cookie in [None, Some("short"), Some(&"A".repeat(43) as &str)] {
            let stranger = Logins::of(cookie).unwrap();
            assert!(stranger.finish(&begun.state, CALLBACK).is_none());
        }
    }

    #[test]
    fn a_state_that_was_changed_is_none() {
        let logins = Logins::of(None).unwrap();
        let begun = logins.begin("/portal/", CALLBACK).unwrap().state;
        let evil = URL_SAFE_NO_PAD.encode("https://evil.test/");
        let (_, rest) = begun.split_once('.').unwrap();
        for state in [
            "",
            ".",
            "..",
            &begun[1..],
            &format!("{evil}.{rest}"),
            &format!("{begun}x"),
        ] {
            assert!(logins.finish(state, CALLBACK).is_none(), "{state}");
        }
        // Nor does one lead beyond the portal that was begun so.
        let out = logins.begin("//evil.test/", CALLBACK).unwrap();
        assert!(logins.finish(&out.state, CALLBACK).is_none());
        let long = logins
            .begin(&format!("/portal/{}", "a".repeat(2000)), CALLBACK)
            .unwrap();
        assert!(long.state.len() < 2048);
        assert_eq!(logins.finish(&long.state, CALLBACK).unwrap().1, "/portal/");
    }
}
