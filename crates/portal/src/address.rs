//! Addresses within the portal.

use url::{Url, form_urlencoded::Serializer};

/// Where somebody begins.
pub(crate) const HOME: &str = "/portal/";

/// A path with a query.
pub(crate) fn with(path: &str, query: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}

/// A page of a team, by what comes after its name. A name is a DNS label, or whatever somebody typed.
pub(crate) fn team(name: &str, below: &str) -> String {
    let mut url = blank();
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(["portal", "teams", name]);
        path.extend(below.split('/').filter(|part| !part.is_empty()));
    }
    url.path().to_owned()
}

/// Where a login may lead back to: a page of the portal, and nothing beyond it, however it is written.
pub(crate) fn local(asked: &str) -> Option<String> {
    // Browsers take a backslash for a slash, and leave control characters out.
    if !asked.starts_with('/') || asked.contains('\\') || asked.chars().any(char::is_control) {
        return None;
    }
    let base = blank();
    let url = base.join(asked).ok()?;
    if url.origin() != base.origin() {
        return None;
    }
    // Dots are resolved by now, encoded ones as well.
    let page = url.path().strip_prefix(HOME)?.trim_end_matches('/');
    // Neither a login nor its end is a place to go back to.
    let passes = ["login", "callback", "logout", "logged-out"].contains(&page);
    let query = url.query().map(|query| format!("?{query}"));
    (!passes).then(|| format!("{}{}", url.path(), query.unwrap_or_default()))
}

fn blank() -> Url {
    Url::parse("http://portal.invalid").expect("it is a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_back_into_the_portal_and_nowhere_else() {
        for good in [
            "/portal/",
            "/portal/teams/payments",
            "/portal/teams/payments?done=x",
        ] {
            assert_eq!(local(good).as_deref(), Some(good));
        }
        assert_eq!(
            local("/portal/a/../teams").as_deref(),
            Some("/portal/teams")
        );
        for bad in [
            "",
            "portal/",
            "//evil.test/portal/",
            "https://evil.test/portal/",
            "/\\evil.test/portal/",
            "/portal/\\..\\..",
            "/portal/../oauth/logout",
            "/portal/%2e%2e/oauth/logout",
            "/portal/.%2E/v1/whoami",
            "/\t/evil.test/portal/",
            "/portal",
            "/portalx/",
            "/v1/whoami",
            "/portal/login?to=/portal/",
            "/portal/callback",
        ] {
            assert_eq!(local(bad), None, "{bad}");
        }
        assert_eq!(
            local("/portal//evil.test").as_deref(),
            Some("/portal//evil.test")
        );
    }

    #[test]
    fn what_somebody_typed_stays_one_part_of_a_path() {
        assert_eq!(
            team("payments", "secrets/set"),
            "/portal/teams/payments/secrets/set"
        );
        assert_eq!(team("a/b?c", ""), "/portal/teams/a%2Fb%3Fc");
        assert_eq!(with("/portal/", &[("a", "b&c=d")]), "/portal/?a=b%26c%3Dd");
    }
}
