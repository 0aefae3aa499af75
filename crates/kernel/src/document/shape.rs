//! The shape of a document: all that is wrong with it, and what can be read of it all the same. Serde stops at the
//! first mistake, so what is told is taken out, and the rest is read again.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{UNKNOWN_FIELD, shaped};
use crate::Problem;

/// The document as a `T`; `place` (`documents[0]`) is where it stands.
///
/// # Errors
/// All that is wrong with its shape.
pub fn in_full<T: DeserializeOwned>(document: &Value, place: &str) -> Result<T, Vec<Problem>> {
    match in_part(document, place) {
        (Some(read), problems) if problems.is_empty() => Ok(read),
        (_, problems) => Err(problems),
    }
}

/// The document without the fields that are not as they should be, where it can be read so; and what is wrong
/// with its shape. `place` (`documents[0]`) is where it stands.
pub fn in_part<T: DeserializeOwned>(document: &Value, place: &str) -> (Option<T>, Vec<Problem>) {
    let mut left = Left {
        value: document.clone(),
        gone: BTreeSet::new(),
        items: BTreeMap::new(),
        is_as_sent: true,
    };
    let mut problems = Vec::new();
    loop {
        let mut problem = match shaped::<T>(&left.value, place) {
            Ok(read) => return (left.is_as_sent.then_some(read), problems),
            Err(problem) => problem,
        };
        let path = steps(problem.path.strip_prefix(place).unwrap_or_default());
        let sent = left.as_sent(&path);
        problem.path = format!("{place}{sent}");
        let missing = missing(&problem.message);
        // What was taken out is missing for that alone.
        let is_told = |name: &String| left.gone.contains(&format!("{sent}.{name}"));
        if !missing.as_ref().is_some_and(is_told) {
            problems.push(advised(problem));
        }
        let stands_in = missing.is_some_and(|name| left.stand_in::<T>(&path, &name));
        if !stands_in && !left.take_out(&path) {
            return (None, problems);
        }
    }
}

/// A step down into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

/// What is left of a document.
struct Left {
    value: Value,
    /// What was taken out, by its path in the document as it was sent.
    gone: BTreeSet<String>,
    /// Of each list, which items were taken out, by their number as it was sent: those that follow have moved up.
    items: BTreeMap<String, BTreeSet<usize>>,
    /// Whether nothing is missing but fields: no list is shorter, and nothing stands in for what is missing.
    is_as_sent: bool,
}

impl Left {
    /// The path in the document as it was sent: `.spec.criteria[1].role`.
    fn as_sent(&self, path: &[Step]) -> String {
        let mut sent = String::new();
        for step in path {
            match step {
                Step::Field(name) => sent.push_str(&format!(".{name}")),
                Step::Item(now) => sent.push_str(&format!("[{}]", self.number(&sent, *now))),
            }
        }
        sent
    }

    /// Which item of the list at `list` is now the one with this number.
    fn number(&self, list: &str, now: usize) -> usize {
        let gone = self.items.get(list).into_iter().flatten();
        gone.fold(now, |number, gone| number + usize::from(*gone <= number))
    }

    /// Takes out what is at `path`, or what it is in where it is not there; says whether there was anything.
    fn take_out(&mut self, mut path: &[Step]) -> bool {
        while let Some((last, above)) = path.split_last() {
            let (sent, list) = (self.as_sent(path), self.as_sent(above));
            let taken = match (at(&mut self.value, above), last) {
                (Some(Value::Object(fields)), Step::Field(name)) => {
                    fields.shift_remove(name).is_some()
                }
                (Some(Value::Array(items)), Step::Item(now)) if *now < items.len() => {
                    items.remove(*now);
                    true
                }
                _ => false,
            };
            if taken {
                if let Step::Item(now) = last {
                    let number = self.number(&list, *now);
                    self.items.entry(list).or_default().insert(number);
                    self.is_as_sent = false;
                }
                self.gone.insert(sent);
                return true;
            }
            path = above;
        }
        false
    }

    /// Puts something in the place of the field `name` that is missing at `path`, so that what stands beside it is
    /// looked at; says whether anything fits.
    fn stand_in<T: DeserializeOwned>(&mut self, path: &[Step], name: &str) -> bool {
        let mut place = path.to_vec();
        place.push(Step::Field(name.to_owned()));
        for value in [json!("x"), json!(0), json!(false), json!([]), json!({})] {
            let mut tried = self.value.clone();
            let Some(Value::Object(fields)) = at(&mut tried, path) else {
                return false;
            };
            fields.insert(name.to_owned(), value);
            let fits = match shaped::<T>(&tried, "") {
                Ok(_) => true,
                // Where the next field is missing, and not where this one does not belong.
                Err(next) if steps(&next.path) == path => {
                    missing(&next.message).is_some_and(|next| next != name)
                }
                Err(next) => !steps(&next.path).starts_with(&place),
            };
            if fits {
                self.value = tried;
                self.is_as_sent = false;
                return true;
            }
        }
        false
    }
}

/// The steps of `.spec.criteria[1].role`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let (name, items) = part.split_once('[').unwrap_or((part, ""));
        if !name.is_empty() {
            steps.push(Step::Field(name.to_owned()));
        }
        let items = items.split('[').map(|item| item.trim_end_matches(']'));
        steps.extend(items.filter_map(|item| item.parse().ok().map(Step::Item)));
    }
    steps
}

/// What is at `path` below `value`.
fn at<'v>(value: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get_mut(name.as_str()),
        Step::Item(number) => value.get_mut(*number),
    })
}

/// The field that `message` says is missing.
fn missing(message: &str) -> Option<String> {
    let name = message.strip_prefix("missing field `")?.strip_suffix('`')?;
    Some(name.to_owned())
}

/// `problem` with how to mend it, as far as its words tell.
fn advised(problem: Problem) -> Problem {
    if problem.remedy.is_some() {
        return problem;
    }
    if problem.rule == UNKNOWN_FIELD {
        return problem.remedy("remove it");
    }
    if let Some(name) = missing(&problem.message) {
        return problem.remedy(format!("add `{name}`"));
    }
    match problem.message.rsplit_once("expected ") {
        Some((_, expected)) => {
            let remedy = format!("write {expected}");
            problem.remedy(remedy)
        }
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Name;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Team {
        name: Name,
        size: u32,
        #[serde(default)]
        leads: Vec<Lead>,
        #[serde(default)]
        open: bool,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lead {
        name: String,
        since: u32,
    }

    fn told(document: &Value) -> Vec<(String, String)> {
        let problems = in_full::<Team>(document, "at").unwrap_err();
        let told = |one: Problem| (one.path, one.remedy.unwrap_or_default());
        problems.into_iter().map(told).collect()
    }

    fn wanted(all: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(path, remedy): &(&str, &str)| ((*path).to_owned(), (*remedy).to_owned());
        all.iter().map(owned).collect()
    }

    #[test]
    fn what_stands_behind_a_mistake_is_told_too() {
        let document = json!({
            "name": "Not one", "size": "ten", "opne": true,
            "leads": [5, { "name": "ada", "since": 1 }, { "name": 7, "sinse": 1 }, "bob"],
            "open": 1,
        });
        let number = "write a whole number from 0 to 4294967295";
        assert_eq!(
            told(&document),
            wanted(&[
                ("at.name", Name::RULE),
                ("at.size", number),
                ("at.opne", "did you mean `open`?"),
                ("at.leads[0]", "write fields"),
                ("at.leads[2].name", "write text"),
                ("at.leads[2].sinse", "did you mean `since`?"),
                ("at.leads[2]", "add `since`"),
                ("at.leads[3]", "write fields"),
                ("at.open", "write true or false"),
            ])
        );
    }

    #[test]
    fn every_field_that_is_missing_is_told() {
        let document = json!({ "leads": [{}, { "name": "ada" }] });
        assert_eq!(
            told(&document),
            wanted(&[
                ("at.leads[0]", "add `name`"),
                ("at.leads[0]", "add `since`"),
                ("at.leads[1]", "add `since`"),
                ("at", "add `name`"),
                ("at", "add `size`"),
            ])
        );
    }

    #[test]
    fn what_is_not_as_it_was_sent_is_not_read() {
        let good = json!({ "name": "payments", "size": 3 });
        assert!(in_full::<Team>(&good, "at").is_ok());
        let fields = json!({ "name": "payments", "size": 3, "open": 1 });
        let (read, problems) = in_part::<Team>(&fields, "at");
        assert_eq!((read.map(|team| team.size), problems.len()), (Some(3), 1));
        for document in [
            json!({ "name": "payments" }),
            json!({ "name": "payments", "size": 3, "leads": [5] }),
            json!([]),
        ] {
            let (read, problems) = in_part::<Team>(&document, "at");
            assert_eq!((read, problems.len()), (None, 1), "{document}");
        }
    }
}
