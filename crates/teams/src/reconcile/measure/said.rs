//! What the answers of sources say of who is in a team, and what they leave open.

use crate::api::{SourceAnswer, SourceState};

/// Whether a source has said who is in the group. That it has no such group is a fact of `local` alone: of another it
/// may be that our token there no longer shows it.
pub(super) fn is_said(answer: &SourceAnswer, local: &str) -> bool {
    match answer.state {
        SourceState::Complete | SourceState::Seen => true,
        SourceState::Missing => answer.source == local,
        SourceState::Unavailable => false,
    }
}

/// Whether somebody may still be in the team: whom no source says to be out of it. Where the team has another
/// group than before, only who is said to be in that.
pub(super) fn stays(answers: &[SourceAnswer], local: &str, subject: &str, regrouped: bool) -> bool {
    let source = source_of(subject);
    let Some(answer) = answers.iter().find(|answer| answer.source == source) else {
        // The team's are another source's people.
        return false;
    };
    let is_in = answer.members.iter().any(|one| one.subject == subject);
    match answer.state {
        SourceState::Complete => is_in,
        SourceState::Seen | SourceState::Missing if regrouped => is_in,
        SourceState::Seen => !answer.left.iter().any(|one| one.subject == subject),
        // Unknown is neither.
        SourceState::Missing | SourceState::Unavailable => !is_said(answer, local),
    }
}

/// The source that a subject is of.
pub(super) fn source_of(subject: &str) -> &str {
    subject.split_once(':').map_or("", |(source, _)| source)
}
