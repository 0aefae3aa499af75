//! What was done, said on the page that follows: by a word in its address, so that nothing of it is kept, and
//! nobody can have a page say what they like.

/// What a word says.
pub(crate) fn notice(word: &str) -> Option<&'static str> {
    Some(match word {
        "onboarded" => {
            "The team is onboarded. What it waits for is below; load the page again to see how far it is."
        }
        "member-added" => "They are in the team, and have its access from their next call on.",
        "member-removed" => "They are out of the team. Their access has ended.",
        "member-left" => "You are out of the team. Your access to it has ended.",
        "secret-set" => "The value is kept as a further version.",
        "secret-same" => "That is the newest value already: there is no further version.",
        "secret-rotated" => "A new value was drawn, as a further version.",
        "secret-asked" => "A new key is being drawn: it comes as a further version.",
        "secret-written" => "Its values are written by people: only they can write another.",
        "secret-deleted" => "The secret is deleted, with all its versions.",
        _ => return None,
    })
}
