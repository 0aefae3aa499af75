//! What the platform's configuration says about identity.

use std::{net::IpAddr, time::Duration};

use kernel::{Error, Problem, Result, outbound::why_no_url};
use url::{Host, Url};

/// The settings of the issuer. One for the whole platform: replicas share them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients reach the platform, and what tokens name as their issuer: a URL without a slash
    /// at its end. `https`, or `http` on the loopback interface.
    pub issuer: String,
    /// Whom access tokens are for: this platform's API.
    pub audience: String,
    /// The claim that lists the teams; the same are in `groups`, which Kubernetes reads.
    pub teams_claim: String,
    /// Members of these groups operate the platform: `[SOURCE:]GROUP`, of the local source where none is named.
    pub admin_groups: Vec<String>,
    /// Whether users of the local source may log in.
    pub local_login: bool,
    /// Proxies whose `X-Forwarded-For` is believed: attempts are counted by address.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether upstreams and trusted issuers may be at private addresses and spoken to without TLS:
    /// for one machine and for tests.
    pub allow_private_upstreams: bool,
    /// How long things last.
    pub lifetimes: Lifetimes,
}

/// How long things last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifetimes {
    /// An access token: at most so long does a removed member keep access elsewhere.
    pub access_token: Duration,
    /// An ID token, and so a Kubernetes credential.
    pub id_token: Duration,
    /// A session, from its login.
    pub session: Duration,
    /// A session that is not used.
    pub session_idle: Duration,
    /// How long the refresh token before the newest still gives the newest: for an answer that was
    /// lost, or two commands at once. Longer than clients try: `towpath` does for fifty seconds.
    pub refresh_leeway: Duration,
    /// How long an upstream that is down is passed over, from the last time it was asked.
    pub upstream_grace: Duration,
    /// How old what an upstream has said of somebody who is logged in gets before it is asked again, whether or
    /// not their login is renewed: for about so long does a removed member keep access to this platform.
    pub upstream_recheck: Duration,
    /// An authorization code.
    pub code: Duration,
    /// A device's code.
    pub device: Duration,
    /// Between two polls of a device.
    pub device_interval: Duration,
    /// A login page that waits to be filled in.
    pub login: Duration,
    /// A browser's own session, by which a second login needs no password.
    pub browser: Duration,
    /// How long a signing key signs.
    pub key: Duration,
    /// How long a signing key is published before it signs: longer than verifiers keep the key set.
    pub key_published: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            access_token: Duration::from_hours(1),
            id_token: Duration::from_hours(1),
            session: Duration::from_hours(7 * 24),
            session_idle: Duration::from_hours(2 * 24),
            refresh_leeway: Duration::from_mins(1),
            upstream_grace: Duration::from_hours(2),
            upstream_recheck: Duration::from_mins(10),
            code: Duration::from_mins(1),
            device: Duration::from_mins(10),
            device_interval: Duration::from_secs(5),
            login: Duration::from_mins(10),
            browser: Duration::from_hours(8),
            key: Duration::from_hours(30 * 24),
            key_published: Duration::from_hours(1),
        }
    }
}

impl Lifetimes {
    /// What cannot be meant.
    fn problems(&self) -> Vec<Problem> {
        let wrong = |why: &str| Problem::new("identity/lifetime", "lifetimes", why);
        let mut problems = Vec::new();
        let shortest = [
            self.access_token,
            self.id_token,
            self.session,
            self.session_idle,
            self.device,
        ]
        .into_iter()
        .min();
        if shortest.is_none_or(|shortest| shortest < SHORTEST) {
            problems.push(
                wrong("a token, session or code that lives for less than a second is of no use")
                    .remedy("give lifetimes such as 15m, 1h or 7d"),
            );
        }
        if self.access_token.max(self.id_token) > self.session {
            problems.push(
                wrong("a token would outlive the session that it is of")
                    .remedy("give a longer --session-lifetime, or shorter tokens"),
            );
        }
        if self.upstream_recheck < SOONEST {
            problems.push(
                wrong("people's providers would be asked of everybody all the time")
                    .remedy("give an --upstream-recheck of a minute or more"),
            );
        }
        if self.session_idle > self.session {
            problems.push(
                wrong("a session that nobody uses would outlive one that is used")
                    .remedy("give a longer --session-lifetime, or a shorter --session-idle"),
            );
        }
        problems
    }

    /// Between two looks of whom an upstream is to be asked: those who are due at one moment are spread over all
    /// of them ([`LOOKS`]) but [`SPARE`].
    pub(crate) fn upstream_look(&self) -> Duration {
        self.upstream_recheck / LOOKS
    }

    /// How long a token may still be good after it was signed, with the skew of clocks.
    pub(crate) fn longest_token(&self) -> Duration {
        self.access_token.max(self.id_token) + SKEW
    }

    /// How long a token may name a group that its subject was taken out of: sessions go on for a while without asking
    /// their source.
    pub(crate) fn longest_membership(&self) -> Duration {
        self.longest_token() + self.upstream_grace
    }
}

/// Looks in the time of a recheck.
pub(crate) const LOOKS: u32 = 10;
/// Of these, those without which everybody is asked for as well: a look may be late, or take longer than the time
/// between two.
pub(crate) const SPARE: u32 = 2;

/// The least time between two questions to an upstream about one login.
const SOONEST: Duration = Duration::from_mins(1);

/// The shortest life that anything has: times in tokens are whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);

/// How far another's clock may be from ours.
pub(crate) const SKEW: Duration = Duration::from_secs(60);

impl Settings {
    /// The claim that lists the teams where nothing else is configured.
    pub const TEAMS_CLAIM: &str = "https://towpath.dev/teams";

    /// The defaults of the issuer at this URL.
    pub fn new(issuer: impl Into<String>) -> Self {
        let issuer = issuer.into().trim_end_matches('/').to_owned();
        Self {
            audience: format!("{issuer}/v1"),
            issuer,
            teams_claim: Self::TEAMS_CLAIM.into(),
            admin_groups: vec!["platform".into()],
            local_login: true,
            trusted_proxies: vec![],
            allow_private_upstreams: false,
            lifetimes: Lifetimes::default(),
        }
    }

    /// Everything that is wrong with them, at once.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        if let Err(why) = self.issuer_url() {
            problems.push(
                Problem::new("identity/issuer", "issuer", why)
                    .remedy("give the https URL at which users reach the platform"),
            );
        }
        let reserved = [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "nbf",
            "jti",
            "sid",
            "groups",
            "scope",
            "source_groups",
        ];
        if self.teams_claim.is_empty() || reserved.contains(&self.teams_claim.as_str()) {
            problems.push(
                Problem::new(
                    "identity/teams-claim",
                    "teams_claim",
                    format!("the teams cannot be in the claim `{}`", self.teams_claim),
                )
                .remedy("use a URL that the organization owns"),
            );
        }
        problems.extend(self.lifetimes.problems());
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::problems(
                "the identity settings are not usable",
                problems,
            ))
        }
    }

    fn issuer_url(&self) -> std::result::Result<Url, String> {
        let url = Url::parse(&self.issuer).map_err(|error| {
            let why = why_no_url(error);
            format!("the issuer `{}` is not a URL: {why}", self.issuer)
        })?;
        let plain = url.scheme() == "http" && is_loopback(&url);
        if url.scheme() != "https" && !plain {
            return Err(format!(
                "the issuer `{}` is neither https nor on the loopback interface",
                self.issuer
            ));
        }
        if self.issuer.ends_with('/') || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "the issuer `{}` ends with a slash, or has a query or a fragment",
                self.issuer
            ));
        }
        Ok(url)
    }

    /// Whether browsers reach the platform by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.issuer.starts_with("https://")
    }
}

/// Whether a URL's host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
