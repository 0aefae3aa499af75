//! How long teams and people took until they could work: read from what was kept of it.

use jiff::{Timestamp, tz::TimeZone};
use kernel::{Caller, Query, Resource, Result};

use super::{
    Teams,
    access::{ONBOARDING_READ, TEAM_READ, of_platform, of_team},
};
use crate::{
    api::{
        MemberOnboarding, Onboarding, OnboardingOverview, People, Reached, SlowTeam, Spread,
        TeamsOnboarding,
    },
    model::{JoinedBy, Milestones, Newcomer, Team, TeamOnboarding, Truth},
};

/// Of how many people or teams numbers are told, at the least.
#[derive(Clone, Copy)]
struct Fewest {
    median: usize,
    p90: usize,
}

/// To those who see each of them, and of what everybody sees of each team: of however few.
const ANY: Fewest = Fewest { median: 0, p90: 0 };

/// To whoever sees people together. Each number that is told is somebody's, and whose must not follow from what
/// people know of themselves and of each other. A median has two on either side. Of fewer than ten, what nine of ten
/// took is the longest, and who is the last is seen by everybody. So it is with what is a team's own.
const TOGETHER: Fewest = Fewest { median: 5, p90: 10 };

/// When a team reached something, and whether that is not known.
type Reach = fn(&Milestones) -> (Option<Timestamp>, bool);

/// Why it is not known when somebody came.
const BEFORE: &str =
    "before that was kept, or while their source could not say who is in the group";

/// The slow teams that are named.
const SLOWEST: usize = 10;

impl Teams {
    /// How long a team took, and its people: each to those who lead it and who operate the platform; together to
    /// whoever else is of it. Others who may see the team see when it was asked for and when it was ready.
    pub async fn team_onboarding(&self, caller: &Caller, name: &str) -> Result<Onboarding> {
        let team = self.team_seen(caller, name).await?;
        let kept = self.store.get::<TeamOnboarding>("", name).await?;
        let kept = kept
            .map(|kept| kept.status)
            .filter(|kept| kept.of == team.meta.uid && kept.asked == team.status.began);
        let is_kept = kept.is_some();
        let kept = kept.unwrap_or_else(|| Milestones {
            asked: team.status.began,
            ..Milestones::default()
        });
        let reached = |at| reached(kept.asked, at);
        let mut onboarding = Onboarding {
            team: name.into(),
            asked: kept.asked,
            ready: reached(team.status.onboarded),
            first_deployment: None,
            first_production: None,
            people: None,
            unknown: vec![],
        };
        if !self.guard.allows(caller, TEAM_READ, &of_team(name)) {
            return Ok(onboarding);
        }
        onboarding.first_deployment = reached(kept.deployed);
        onboarding.first_production = reached(kept.production);
        let named = self.guard.allows(caller, ONBOARDING_READ, &of_team(name));
        let mut people = people(kept.people.values(), if named { ANY } else { TOGETHER });
        people.members = named.then(|| kept.people.iter().map(member).collect());
        onboarding.people = Some(people);
        onboarding.unknown = unknown(&kept, is_kept);
        Ok(onboarding)
    }

    /// How long all teams took, and their people, since a time: nobody is named. To whoever may not see each team's
    /// own numbers, what teams did is told of several together, and from the beginning of a day (UTC): a window of
    /// one team would tell that team's.
    pub async fn onboarding(
        &self,
        caller: &Caller,
        since: Option<Timestamp>,
    ) -> Result<OnboardingOverview> {
        let all_teams = of_platform("");
        self.guard
            .require(caller, ONBOARDING_READ, &all_teams)
            .await?;
        let every = Query::default();
        let all = self.store.list_all::<TeamOnboarding>(&every).await?;
        let sees_each = all.iter().all(|one| {
            let team = of_team(&one.meta.name);
            self.guard.allows(caller, TEAM_READ, &team)
        });
        let fewest = if sees_each { ANY } else { TOGETHER };
        let since = if sees_each { since } else { since.map(day) };
        let counts =
            |at: Option<Timestamp>| since.is_none_or(|since| at.is_some_and(|at| at >= since));
        let teams: Vec<_> = all.iter().filter(|one| counts(one.status.asked)).collect();
        let of = |reached: Reach, fewest: Fewest| {
            let found = teams.iter().map(|one| {
                let (at, unknown) = reached(&one.status);
                found(one.status.asked.filter(|_| !unknown), at)
            });
            spread(found, fewest)
        };
        let own = |reached: Reach| Some(of(reached, fewest)).filter(|of| of.count >= fewest.median);
        let people_of = all.iter().flat_map(|one| one.status.people.values());
        Ok(OnboardingOverview {
            since,
            teams: TeamsOnboarding {
                count: teams.len(),
                ready: of(|kept| (kept.met, false), ANY),
                first_deployment: own(|kept| (kept.deployed, false)),
                first_production: own(|kept| (kept.production, kept.role_unknown)),
                slowest: self.slowest(&teams).await?,
            },
            people: people(people_of.filter(|one| counts(one.joined)), TOGETHER),
        })
    }

    /// Those that took longest until they were onboarded, or are not yet, with what they wait for.
    async fn slowest(&self, teams: &[&Resource<TeamOnboarding>]) -> Result<Vec<SlowTeam>> {
        let now = Timestamp::now();
        let took = |one: &&Resource<TeamOnboarding>| {
            let asked = one.status.asked?;
            let until = one.status.met.unwrap_or(now);
            Some((one.meta.name.clone(), seconds(asked, until), one.status.met))
        };
        let mut took: Vec<_> = teams.iter().filter_map(took).collect();
        took.sort_by(|(_, one, _), (_, other, _)| other.total_cmp(one));
        let mut slowest = Vec::new();
        for (team, seconds, met) in took.into_iter().take(SLOWEST) {
            let waits_for = match met {
                Some(_) => vec![],
                None => self.waits_for(&team).await?,
            };
            slowest.push(SlowTeam {
                team,
                seconds,
                waits_for,
            });
        }
        Ok(slowest)
    }

    /// The conditions that a team waits for, by type.
    async fn waits_for(&self, team: &str) -> Result<Vec<String>> {
        let team = self.store.get::<Team>("", team).await?;
        let conditions = team.map(|team| team.status.conditions).unwrap_or_default();
        Ok(conditions
            .into_iter()
            .filter(|one| one.gates() && one.status != Truth::True)
            .map(|one| one.kind)
            .collect())
    }
}

/// The beginning of the day (UTC) that a time is in.
fn day(at: Timestamp) -> Timestamp {
    let day = at.to_zoned(TimeZone::UTC).start_of_day();
    // The first day has none: from then on is all.
    day.map_or(Timestamp::MIN, |day| day.timestamp())
}

/// What cannot be told of a team.
fn unknown(kept: &Milestones, is_kept: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    if !is_kept {
        unknown.push("nothing has been kept of it yet: ask again in a moment".to_owned());
    }
    if kept.role_unknown {
        unknown.push(
            "when it first deployed to production: it deployed before the role of a deployment was kept"
                .to_owned(),
        );
    }
    let is_of_before = |one: &&Newcomer| one.by == JoinedBy::Before;
    match kept.people.values().filter(is_of_before).count() {
        0 => {}
        1 => unknown.push(format!("when one of its people came: {BEFORE}")),
        some => unknown.push(format!("when {some} of its people came: {BEFORE}")),
    }
    unknown
}

fn member((subject, one): (&String, &Newcomer)) -> MemberOnboarding {
    MemberOnboarding {
        subject: subject.clone(),
        joined: one.joined,
        joined_by: one.by,
        access: reached(began(one), one.access),
        login: reached(began(one), one.login),
        deployment: reached(one.joined, one.deployed),
    }
}

/// From when on somebody waited for access: of whoever is seen by a login that is not known.
fn began(one: &Newcomer) -> Option<Timestamp> {
    one.joined.filter(|_| one.by != JoinedBy::Login)
}

/// How long people took, together; where fewer than `fewest` did, not how long.
fn people<'a>(all: impl Iterator<Item = &'a Newcomer>, fewest: Fewest) -> People {
    let all: Vec<&Newcomer> = all.collect();
    let of = |took: fn(&Newcomer) -> Found| spread(all.iter().map(|one| took(one)), fewest);
    People {
        count: all.len(),
        access: of(|one| found(began(one), one.access)),
        login: of(|one| found(began(one), one.login)),
        deployment: of(|one| found(one.joined, one.deployed)),
        members: None,
    }
}

/// How long one took.
enum Found {
    Took(f64),
    Waiting,
    Unknown,
}

fn found(from: Option<Timestamp>, at: Option<Timestamp>) -> Found {
    match (from, at) {
        (Some(from), Some(at)) => Found::Took(seconds(from, at)),
        (Some(_), None) => Found::Waiting,
        (None, _) => Found::Unknown,
    }
}

fn reached(from: Option<Timestamp>, at: Option<Timestamp>) -> Option<Reached> {
    at.map(|at| Reached {
        at,
        seconds: from.map(|from| seconds(from, at)),
    })
}

/// Replicas' clocks may differ: nothing takes less than no time.
fn seconds(from: Timestamp, until: Timestamp) -> f64 {
    until.duration_since(from).as_secs_f64().max(0.0)
}

fn spread(all: impl Iterator<Item = Found>, fewest: Fewest) -> Spread {
    let mut spread = Spread::default();
    let mut took = Vec::new();
    for one in all {
        match one {
            Found::Took(seconds) => took.push(seconds),
            Found::Waiting => spread.waiting += 1,
            Found::Unknown => spread.unknown += 1,
        }
    }
    took.sort_by(f64::total_cmp);
    spread.count = took.len();
    let told = |fewest, percent| {
        let are_enough = took.len() >= fewest;
        are_enough.then(|| nearest(&took, percent)).flatten()
    };
    spread.median = told(fewest.median, 50);
    spread.p90 = told(fewest.p90, 90);
    spread
}

/// The value that `percent` of the sorted ones do not exceed (nearest rank): one that was measured, whatever their
/// number.
fn nearest(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seconds: &[f64], fewest: Fewest) -> (Option<f64>, Option<f64>) {
        let spread = spread(seconds.iter().map(|&one| Found::Took(one)), fewest);
        (spread.median, spread.p90)
    }

    #[test]
    fn a_median_is_a_value_that_was_measured() {
        assert_eq!(of(&[], ANY), (None, None));
        assert_eq!(of(&[7.0], ANY), (Some(7.0), Some(7.0)));
        assert_eq!(of(&[9.0, 1.0], ANY), (Some(1.0), Some(9.0)));
        let ten: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!(of(&ten, ANY), (Some(5.0), Some(9.0)));
    }

    #[test]
    fn what_is_told_of_people_together_is_no_number_of_one_who_can_be_told() {
        for count in 0..50_u32 {
            let all: Vec<f64> = (1..=count).map(f64::from).collect();
            let (median, p90) = of(&all, TOGETHER);
            assert_eq!(median.is_some(), count >= 5, "of {count}");
            assert_eq!(p90.is_some(), count >= 10, "of {count}");
            // Whoever knows their own number, and of one other that they were slow or quick, is left with several
            // whose the median may be.
            if let Some(median) = median {
                let quicker = all.iter().filter(|one| **one < median).count();
                let slower = all.iter().filter(|one| **one > median).count();
                assert!(quicker >= 2 && slower >= 2, "of {count}: {median}");
            }
            // Who is the last of all is seen by everybody.
            if let Some(p90) = p90 {
                assert!(all.iter().any(|one| *one > p90), "of {count}: {p90}");
            }
        }
    }

    #[test]
    fn a_window_begins_with_a_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let begins = at("2030-05-01T00:00:00Z");
        assert_eq!(day(at("2030-05-01T23:59:59.999999999Z")), begins);
        assert_eq!(day(begins), begins);
        assert_eq!(day(Timestamp::MIN), Timestamp::MIN);
    }

    #[test]
    fn what_is_not_known_is_neither_waited_for_nor_counted() {
        let at = |second| Timestamp::from_second(second).ok();
        let all = [
            found(at(5), at(7)),
            found(at(5), at(4)),
            found(at(5), None),
            found(None, at(7)),
            found(None, None),
        ];
        let spread = spread(all.into_iter(), ANY);
        assert_eq!((spread.count, spread.waiting, spread.unknown), (2, 1, 2));
        assert_eq!((spread.median, spread.p90), (Some(0.0), Some(2.0)));
    }
}
