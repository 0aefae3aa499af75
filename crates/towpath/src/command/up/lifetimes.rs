//! How long logins last: options of `towpath up`.

use std::time::Duration;

use clap::Args;
use server::Lifetimes;

use crate::render::quantity::parse_duration;

/// How long logins last.
#[derive(Debug, Args)]
pub(super) struct LifetimeArgs {
    /// How long an access token lives: somebody who loses access here keeps it elsewhere for at most this long
    #[arg(long, env = "TOWPATH_ACCESS_TOKEN_LIFETIME", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    access_token_lifetime: Duration,
    /// How long an ID token lives, and with it a Kubernetes credential
    #[arg(long, env = "TOWPATH_ID_TOKEN_LIFETIME", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    id_token_lifetime: Duration,
    /// How long a session lasts from its login; after that the person logs in again
    #[arg(long, env = "TOWPATH_SESSION_LIFETIME", value_name = "TIME", default_value = "7d", value_parser = parse_duration)]
    session_lifetime: Duration,
    /// How long a session lasts that nobody uses
    #[arg(long, env = "TOWPATH_SESSION_IDLE", value_name = "TIME", default_value = "2d", value_parser = parse_duration)]
    session_idle: Duration,
    /// How long the code lasts that a program shows to the person who logs in with it
    #[arg(long, env = "TOWPATH_DEVICE_CODE_LIFETIME", value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    device_code_lifetime: Duration,
    /// How long sessions go on while their provider does not answer, from when it last did
    #[arg(long, env = "TOWPATH_UPSTREAM_GRACE", value_name = "TIME", default_value = "2h", value_parser = parse_duration)]
    upstream_grace: Duration,
    /// How old what a provider has said of somebody who is logged in gets before it is asked again: for about so
    /// long does somebody keep access here who has lost it there
    #[arg(long, env = "TOWPATH_UPSTREAM_RECHECK", value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    upstream_recheck: Duration,
}

impl LifetimeArgs {
    /// As identity is told them.
    pub(super) fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access_token: self.access_token_lifetime,
            id_token: self.id_token_lifetime,
            session: self.session_lifetime,
            session_idle: self.session_idle,
            device: self.device_code_lifetime,
            upstream_grace: self.upstream_grace,
            upstream_recheck: self.upstream_recheck,
            ..Lifetimes::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        lifetimes: LifetimeArgs,
    }

    /// F-064: what is said of nothing is as identity has it, and each option changes its own.
    #[test]
    fn each_lifetime_is_an_option_of_its_own() {
        let said = |options: &[&str]| {
            let all = ["up"].iter().chain(options);
            Only::try_parse_from(all)
                .expect("options")
                .lifetimes
                .lifetimes()
        };
        let usual = Lifetimes::default();
        assert_eq!(said(&[]), usual);
        let minutes = Duration::from_mins;
        let of = |change: fn(&mut Lifetimes) -> &mut Duration, to: Duration| {
            let mut lifetimes = usual.clone();
            *change(&mut lifetimes) = to;
            lifetimes
        };
        for (option, expected) in [
            (
                "--access-token-lifetime",
                of(|all| &mut all.access_token, minutes(7)),
            ),
            (
                "--id-token-lifetime",
                of(|all| &mut all.id_token, minutes(7)),
            ),
            ("--session-lifetime", of(|all| &mut all.session, minutes(7))),
            (
                "--session-idle",
                of(|all| &mut all.session_idle, minutes(7)),
            ),
            (
                "--device-code-lifetime",
                of(|all| &mut all.device, minutes(7)),
            ),
            (
                "--upstream-grace",
                of(|all| &mut all.upstream_grace, minutes(7)),
            ),
            (
                "--upstream-recheck",
                of(|all| &mut all.upstream_recheck, minutes(7)),
            ),
        ] {
            assert_eq!(said(&[option, "7m"]), expected, "{option}");
        }
    }
}
