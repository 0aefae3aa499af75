//! The shape of a document: all that is wrong with it, and what can be read of it all the same.

use kernel::{
    Problem,
    document::{UNKNOWN_FIELD, shaped},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The document without the fields that are not as they should be, where it can be read so; and what is wrong
/// with these. `place` (`documents[0]`) is where it stands.
pub(super) fn in_part<T: DeserializeOwned>(
    value: &Value,
    place: &str,
) -> (Option<T>, Vec<Problem>) {
    let mut left = value.clone();
    let mut problems: Vec<Problem> = Vec::new();
    loop {
        let problem = match shaped::<T>(&left, place) {
            Ok(read) => return (Some(read), problems),
            Err(problem) => advised(problem),
        };
        let missing = problem.message.strip_prefix("missing field `");
        let missing = missing.and_then(|rest| rest.strip_suffix('`'));
        let missing = missing.map(|name| format!("{}.{name}", problem.path));
        if missing.is_some_and(|path| problems.iter().any(|told| told.path == path)) {
            // It was taken out, and why is told already.
            return (None, problems);
        }
        let path = problem.path.strip_prefix(place).unwrap_or_default();
        let goes_on = take_out(&mut left, path);
        problems.push(problem);
        if !goes_on {
            return (None, problems);
        }
    }
}

/// Whether a problem is of a field by itself: in a document of which other fields could not be read it does not
/// come from that.
pub fn stands_alone(problem: &Problem) -> bool {
    const ALONE: [&str; 4] = [
        "definition/alias",
        "definition/learn",
        "definition/provisioner",
        "definition/type",
    ];
    ALONE.contains(&problem.rule.as_str())
}

/// Takes the field at `path` (`.spec.criteria[1].rolle`) out of `value`, and says whether it was there.
fn take_out(value: &mut Value, path: &str) -> bool {
    let Some((above, name)) = path.rsplit_once('.') else {
        return false;
    };
    let pointer = above.replace(['.', '['], "/").replace(']', "");
    let fields = value.pointer_mut(&pointer).and_then(Value::as_object_mut);
    fields.is_some_and(|fields| fields.shift_remove(name).is_some())
}

/// `problem` with how to mend it, as far as its words tell.
fn advised(problem: Problem) -> Problem {
    if problem.remedy.is_some() {
        return problem;
    }
    let message = problem.message.clone();
    let mut names = message.split('`').skip(1).step_by(2);
    if problem.rule == UNKNOWN_FIELD {
        return problem.remedy("remove it");
    }
    if message.starts_with("missing field ") {
        let name = names.next().unwrap_or_default();
        return problem.remedy(format!("add `{name}`"));
    }
    match message.rsplit_once("expected ") {
        Some((_, expected)) => problem.remedy(format!("write {expected}")),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ResourceDefinitionSpec;

    #[test]
    fn all_that_is_wrong_with_a_shape_is_told_and_the_rest_is_read() {
        let spec = json!({
            "type": "db", "provisioner": "nothing", "parms": {}, "holdsData": "maybe",
            "criteria": [{ "role": "dev" }, { "rolle": "prod", "team": "web" }],
        });
        let (read, problems) = in_part::<ResourceDefinitionSpec>(&spec, "documents[0].spec");
        let told: Vec<_> = problems
            .iter()
            .map(|problem| (problem.path.as_str(), problem.remedy.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("documents[0].spec.parms", Some("did you mean `params`?")),
                ("documents[0].spec.holdsData", Some("write true or false")),
                (
                    "documents[0].spec.criteria[1].rolle",
                    Some("did you mean `role`?")
                ),
            ]
        );
        let read = read.unwrap();
        assert_eq!(read.provisioner, "nothing");
        assert_eq!(read.criteria[1].team.as_deref(), Some("web"));
    }

    #[test]
    fn what_is_missing_is_told_once() {
        for (spec, path) in [
            (json!({ "type": 5, "provisioner": "x" }), "at.type"),
            (json!({ "provisioner": "x" }), "at"),
        ] {
            let (read, problems) = in_part::<ResourceDefinitionSpec>(&spec, "at");
            assert_eq!(read, None);
            let [problem] = problems.as_slice() else {
                panic!("{problems:?}");
            };
            assert_eq!(problem.path, path);
            assert!(problem.remedy.is_some(), "{problem:?}");
        }
    }
}
