//! What each kind of caller is answered, operation by operation: the rows of each domain.

mod catalog;
mod delivery;
mod identity;
mod integrations;
mod platform;
mod secrets;
mod subscriptions;
mod teams;

/// The columns, in the order of the rows, and who calls for each.
pub(crate) const COLUMNS: [(&str, &[&str]); 9] = [
    // Nobody; a token whose lifetime is over; one of a session that was ended.
    ("none", &["nobody", "expired", "out"]),
    // A pipeline of another team.
    ("stranger", &["stranger"]),
    // Automation of the team: an agent, the deploy credential of `pay-dev`, a pipeline.
    ("agent", &["agent"]),
    ("credential", &["credential"]),
    ("pipeline", &["pipeline"]),
    // Its people.
    ("member", &["ada"]),
    ("lead", &["lea"]),
    // Somebody who onboards teams, and is in none.
    ("manager", &["max"]),
    // A platform engineer, and the local admin.
    ("operator", &["eng", "admin"]),
];

/// An operation, and what it answers each of [`COLUMNS`] over things that are there: 404 to whoever may
/// not see them.
pub(crate) type Row = (&'static str, &'static str);

/// Each caller of a row, with what they are answered.
pub(crate) fn answers(row: &str) -> impl Iterator<Item = (&'static str, u16)> {
    let expected: Vec<u16> = row.split(' ').map(|one| one.parse().unwrap()).collect();
    assert_eq!(expected.len(), COLUMNS.len(), "{row}");
    let columns = COLUMNS.iter().zip(expected);
    columns.flat_map(|((_, callers), status)| callers.iter().map(move |caller| (*caller, status)))
}

/// All rows.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    [
        platform::ROWS,
        delivery::ROWS,
        catalog::ROWS,
        identity::ROWS,
        teams::ROWS,
        secrets::ROWS,
        subscriptions::ROWS,
        integrations::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
