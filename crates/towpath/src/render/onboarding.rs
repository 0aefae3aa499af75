//! How long teams and people took, for people.

use std::time::Duration;

use teams::api::{MemberOnboarding, Onboarding, OnboardingOverview, People, Reached, Spread};

use super::{
    quantity::{local, took},
    table::{fields, table},
};

/// One team, and its people as far as they are told.
pub(crate) fn one(onboarding: &Onboarding) -> String {
    let asked = onboarding.asked.map(local);
    let mut text = fields(&[
        ("team", onboarding.team.clone()),
        ("asked for", asked.unwrap_or_default()),
        ("ready", after(onboarding.ready.as_ref())),
        (
            "first deployment",
            after(onboarding.first_deployment.as_ref()),
        ),
        ("first to prod", after(onboarding.first_production.as_ref())),
    ]);
    if let Some(of) = &onboarding.people {
        text.push_str(&people(of));
        if let Some(members) = &of.members {
            text.push_str("\n\n");
            text.push_str(&each(members));
        }
    }
    for unknown in &onboarding.unknown {
        text.push_str("\n\nunknown: ");
        text.push_str(unknown);
    }
    text
}

/// All teams together, and those that took longest.
pub(crate) fn all(overview: &OnboardingOverview) -> String {
    let teams = &overview.teams;
    // Of few teams these are not told to everybody.
    let told = [
        ("ready", Some(&teams.ready)),
        ("first deployment", teams.first_deployment.as_ref()),
        ("first to prod", teams.first_production.as_ref()),
    ];
    let rows = told.into_iter();
    let rows = rows.filter_map(|(what, of)| of.map(|of| spread(what, of)));
    let rows = rows.collect();
    let since = overview
        .since
        .map(|since| format!(" since {}", local(since)));
    let count = match teams.count {
        1 => "1 team".to_owned(),
        count => format!("{count} teams"),
    };
    let mut text = format!("{count}{}\n\n", since.unwrap_or_default());
    text.push_str(&table(
        ["teams", "median", "90%", "of", "waiting", "unknown"],
        rows,
        "",
    ));
    text.push('\n');
    text.push_str(&people(&overview.people));
    let slowest = teams.slowest.iter().map(|one| {
        [
            one.team.clone(),
            seconds(one.seconds),
            one.waits_for.join(", "),
        ]
    });
    let slowest: Vec<_> = slowest.collect();
    if !slowest.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(["slowest", "took", "waits for"], slowest, ""));
    }
    text
}

fn people(people: &People) -> String {
    let rows = vec![
        spread("access", &people.access),
        spread("next login", &people.login),
        spread("first deployment", &people.deployment),
    ];
    let head = ["people", "median", "90%", "of", "waiting", "unknown"];
    let count = match people.count {
        1 => "1 person".to_owned(),
        count => format!("{count} people"),
    };
    format!("\n{count}\n\n{}", table(head, rows, ""))
}

fn each(members: &[MemberOnboarding]) -> String {
    let rows = members.iter().map(|one| {
        let joined = one.joined.map(local);
        [
            one.subject.clone(),
            joined.unwrap_or_else(|| "unknown".into()),
            after(one.access.as_ref()),
            after(one.login.as_ref()),
            after(one.deployment.as_ref()),
        ]
    });
    table(
        ["who", "came", "access", "next login", "first deployment"],
        rows.collect(),
        "nobody is in it",
    )
}

fn spread(what: &str, of: &Spread) -> [String; 6] {
    let told = |value: Option<f64>| value.map(seconds).unwrap_or_default();
    [
        what.into(),
        told(of.median),
        told(of.p90),
        of.count.to_string(),
        of.waiting.to_string(),
        of.unknown.to_string(),
    ]
}

/// After how long something was reached; where that is not known, when.
fn after(reached: Option<&Reached>) -> String {
    reached.map_or_else(String::new, |reached| match reached.seconds {
        Some(after) => format!("after {}", seconds(after)),
        None => format!("at {}", local(reached.at)),
    })
}

fn seconds(seconds: f64) -> String {
    took(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_team_with_its_people() {
        let spread = |count: u32, median: f64| json!({ "count": count, "waiting": 1, "unknown": 0, "median": median, "p90": 90.5 });
        let onboarding = json!({
            "team": "payments", "asked": "2029-01-01T00:00:00Z",
            "ready": { "at": "2029-01-01T00:00:01Z", "seconds": 0.84 },
            "firstDeployment": { "at": "2029-01-02T01:00:00Z", "seconds": 90000.0 },
            "people": {
                "count": 2, "access": spread(1, 0.0), "login": spread(1, 90.5),
                "deployment": { "count": 0, "waiting": 1, "unknown": 1 },
                "members": [
                    { "subject": "local:ada", "joined": "2029-01-01T00:00:00Z", "joinedBy": "team",
                      "access": { "at": "2029-01-01T00:00:00Z", "seconds": 0.0 },
                      "login": { "at": "2029-01-01T00:01:30.5Z", "seconds": 90.5 } },
                    { "subject": "local:bob", "joinedBy": "before",
                      "login": { "at": "2029-01-01T00:01:30Z" } },
                ],
            },
            "unknown": ["when one of its people came: before that was kept"],
        });
        let onboarding = serde_json::from_value(onboarding).expect("an answer");
        let mut text = one(&onboarding);
        // Wherever the test runs.
        for time in ["2029-01-01 00:00:00", "2029-01-01 00:01:30"] {
            let at = format!("{time}Z").parse().expect("a time");
            text = text.replace(&local(at), time);
        }
        insta::assert_snapshot!(text);
    }
}
