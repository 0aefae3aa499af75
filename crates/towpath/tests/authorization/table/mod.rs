//! What each kind of caller is answered, operation by operation: the rows of each domain.

mod delivery;
mod identity;
mod integrations;
mod platform;
mod secrets;
mod subscriptions;
mod teams;

/// The callers, in the order of the table's columns: nobody, a pipeline of another team, an agent, a
/// deploy credential and a pipeline of the team, and the local admin. What changes something comes last.
pub(crate) const CALLERS: [&str; 6] = [
    "nobody",
    "stranger",
    "agent",
    "credential",
    "member",
    "admin",
];

/// An operation, and what it answers each of [`CALLERS`]. A conflict is the answer to an `If-Match` that
/// does not: whoever gets it may do what they asked for.
pub(crate) type Row = (&'static str, &'static str);

/// All rows.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    [
        platform::ROWS,
        delivery::ROWS,
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
