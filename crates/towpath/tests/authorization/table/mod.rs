//! What each kind of caller is answered, operation by operation: the rows of each domain.

pub(crate) mod applied;
mod catalog;
mod delivery;
mod fleet;
mod identity;
mod integrations;
mod platform;
mod secrets;
mod subscriptions;
mod teams;
mod tools;

/// The columns, in the order of the rows, and who calls for each.
pub(crate) const COLUMNS: [(&str, &[&str]); 9] = [
    // Nobody; a token whose lifetime is over; one of a session that was ended.
    ("none", &["nobody", "expired", "out"]),
    // Another team: its pipeline, agent and deploy credential, a member and its lead.
    (
        "stranger",
        &["stranger", "other-agent", "other-credential", "sid", "sol"],
    ),
    // Automation of the team: an agent, the deploy credential of `pay-dev`, a pipeline.
    ("agent", &["agent"]),
    ("credential", &["credential"]),
    ("pipeline", &["pipeline"]),
    // Its people.
    ("member", &["ada"]),
    ("lead", &["lea"]),
    // Somebody who onboards teams, and is in none; the automation of a team that keeps other tools in step.
    ("manager", &["max", "keeper"]),
    // A platform engineer, and the local admin.
    ("operator", &["eng", "admin"]),
];

/// An operation, and what it answers each of [`COLUMNS`] over things that are there: 404 to whoever may
/// not see them.
pub(crate) type Row = (&'static str, &'static str);

/// Who is answered otherwise than the rest of their column.
const OTHERWISE: [(&str, &str, u16); 8] = [
    // People see their own logins, and have some.
    ("GET /v1/identity/sessions", "sid", 200),
    ("GET /v1/identity/sessions", "sol", 200),
    ("GET /v1/identity/sessions", "keeper", 403),
    // It is for one environment, whether there is another of the name that it asks for or not.
    (
        "POST /v1/environments/{environment}/plans",
        "other-credential",
        403,
    ),
    (
        "POST /v1/environments/{environment}/deployments",
        "other-credential",
        403,
    ),
    // To see which teams there are is not to say it, and not how long they took.
    ("POST /v1/platforms/teams", "keeper", 403),
    ("Team", "keeper", 403),
    ("GET /v1/platforms/onboarding", "keeper", 403),
];

/// Each caller of a row, with what they are answered.
pub(crate) fn answers(
    operation: &'static str,
    row: &str,
) -> impl Iterator<Item = (&'static str, u16)> {
    let expected: Vec<u16> = row.split(' ').map(|one| one.parse().unwrap()).collect();
    assert_eq!(expected.len(), COLUMNS.len(), "{row}");
    let columns = COLUMNS.iter().zip(expected);
    let all = columns
        .flat_map(|((_, callers), status)| callers.iter().map(move |caller| (*caller, status)));
    all.map(move |(caller, status)| {
        let other = OTHERWISE
            .iter()
            .find(|other| (other.0, other.1) == (operation, caller));
        (caller, other.map_or(status, |other| other.2))
    })
}

/// All rows.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    [
        platform::ROWS,
        delivery::ROWS,
        catalog::ROWS,
        fleet::ROWS,
        identity::ROWS,
        teams::ROWS,
        secrets::ROWS,
        subscriptions::ROWS,
        integrations::ROWS,
        tools::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
