//! Parameters on their way into the graph: what is known is put in place, and `${resources.*}` stays
//! until the resource behind it is made. What stays is text of the placeholder language, so what is
//! put in place is escaped.

use kernel::Problem;
use serde_json::{Map, Value};

use super::Context;
use crate::score::placeholder::{Part, Reference, Template, escape, for_each_text, join_path};

/// What placeholders may refer to before anything is made.
pub(super) struct Scope<'a> {
    /// For error messages: `postgres-default@1`, or `notes.resources.db`.
    pub(super) place: String,
    /// `${context.*}`; none in a Score file, which does not know of it.
    pub(super) context: Option<(&'a Context, &'a str)>,
    /// `${params.*}`: the asker's, already in this form.
    pub(super) params: Option<&'a Map<String, Value>>,
    /// `${metadata.*}` of a Score file.
    pub(super) metadata: Option<&'a Value>,
}

/// What `${params.NAME}` gives where the asker does not give it: the field is left out.
enum Known {
    Text(String),
    Value(Value),
    Absent,
}

impl Scope<'_> {
    /// `params` in the graph's form, and the aliases that they refer to.
    pub(super) fn resolve(
        &self,
        params: &Map<String, Value>,
        aliases: &mut Vec<String>,
        problems: &mut Vec<Problem>,
    ) -> Map<String, Value> {
        let mut resolved = Map::new();
        for (name, value) in params {
            if let Some(value) = self.value(name, value, aliases, problems) {
                resolved.insert(name.clone(), value);
            }
        }
        resolved
    }

    fn value(
        &self,
        path: &str,
        value: &Value,
        aliases: &mut Vec<String>,
        problems: &mut Vec<Problem>,
    ) -> Option<Value> {
        match value {
            Value::String(text) => self.text(path, text, aliases, problems),
            Value::Array(items) => Some(Value::Array(
                items
                    .iter()
                    .filter_map(|item| self.value(path, item, aliases, problems))
                    .collect(),
            )),
            Value::Object(fields) => {
                let inner = fields.iter().filter_map(|(name, field)| {
                    let field = self.value(&format!("{path}.{name}"), field, aliases, problems)?;
                    Some((name.clone(), field))
                });
                Some(Value::Object(inner.collect()))
            }
            other => Some(other.clone()),
        }
    }

    fn text(
        &self,
        path: &str,
        text: &str,
        aliases: &mut Vec<String>,
        problems: &mut Vec<Problem>,
    ) -> Option<Value> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(malformed) => {
                problems.push(self.problem(path, format!("`{text}`: {}", malformed.reason)));
                return None;
            }
        };
        if let [Part::Reference(reference)] = template.parts() {
            return match self.known(path, reference, aliases, problems)? {
                Known::Text(text) => Some(Value::String(text)),
                Known::Value(value) => Some(value),
                Known::Absent => None,
            };
        }
        let mut whole = String::new();
        for part in template.parts() {
            match part {
                Part::Text(text) => whole.push_str(&escape(text)),
                Part::Reference(reference) => {
                    match self.known(path, reference, aliases, problems)? {
                        Known::Text(text) => whole.push_str(&text),
                        Known::Value(value) => whole.push_str(&escape(&value.to_string())),
                        Known::Absent => problems.push(
                            self.problem(
                                path,
                                format!("`{reference}` is not given, and is part of a text"),
                            )
                            .remedy("give the parameter"),
                        ),
                    }
                }
            }
        }
        Some(Value::String(whole))
    }

    /// What `reference` stands for; nothing, and a problem, where there is no such thing.
    fn known(
        &self,
        path: &str,
        reference: &Reference,
        aliases: &mut Vec<String>,
        problems: &mut Vec<Problem>,
    ) -> Option<Known> {
        let names = reference.names();
        match (names.as_slice(), self) {
            (
                ["context", name],
                Scope {
                    context: Some((context, domain)),
                    ..
                },
            ) => {
                let value = context_value(context, domain, name);
                if value.is_none() {
                    problems.push(
                        self.problem(path, format!("there is no `${{context.{name}}}`"))
                            .remedy(
                                "use environment, role, team, workload, type, class, id or domain",
                            ),
                    );
                }
                value.map(|text| Known::Text(escape(&text)))
            }
            (
                ["params", first, rest @ ..],
                Scope {
                    params: Some(params),
                    ..
                },
            ) => {
                let found = rest
                    .iter()
                    .try_fold(params.get(*first), |value, name| Some(value?.get(*name)))
                    .flatten();
                if let Some(found) = found {
                    aliases_within(found, aliases);
                }
                Some(match found {
                    None | Some(Value::Null) => Known::Absent,
                    // The asker's text is in the graph's form already.
                    Some(Value::String(text)) => Known::Text(text.clone()),
                    Some(value) => Known::Value(value.clone()),
                })
            }
            (
                ["metadata", rest @ ..],
                Scope {
                    metadata: Some(metadata),
                    ..
                },
            ) => {
                let found = rest
                    .iter()
                    .try_fold(*metadata, |value, name| value.get(*name));
                match found {
                    Some(Value::String(text)) => Some(Known::Text(escape(text))),
                    Some(value) => Some(Known::Value(value.clone())),
                    None => {
                        problems.push(self.problem(path, format!("`{reference}` is not there")));
                        None
                    }
                }
            }
            (["resources", alias, rest @ ..], _) if !rest.is_empty() => {
                aliases.push((*alias).to_owned());
                Some(Known::Text(format!(
                    "${{{}}}",
                    join_path(names.iter().copied())
                )))
            }
            _ => {
                problems.push(
                    self.problem(path, format!("`{reference}` cannot be used here"))
                        .remedy("see docs/resource-definitions.md for what can"),
                );
                None
            }
        }
    }

    fn problem(&self, path: &str, message: String) -> Problem {
        Problem::new(
            "definition/placeholder",
            format!("{}.params.{path}", self.place),
            message,
        )
    }
}

/// The aliases that an asker's parameter refers to: what takes the parameter waits for them too.
fn aliases_within(value: &Value, aliases: &mut Vec<String>) {
    for_each_text(value, &mut Vec::new(), &mut |_, text| {
        // What was resolved is well-formed; anything else refers to nothing.
        let Ok(template) = Template::parse(text) else {
            return;
        };
        for reference in template.references() {
            if let ["resources", alias, ..] = reference.names().as_slice() {
                aliases.push((*alias).to_owned());
            }
        }
    });
}

fn context_value(context: &Context, domain: &str, name: &str) -> Option<String> {
    Some(match name {
        "environment" => context.environment.clone(),
        "role" => context.role.clone(),
        "team" => context.team.clone(),
        "workload" => context.workload.clone().unwrap_or_default(),
        "type" => context.resource_type.clone(),
        "class" => context.class.clone(),
        "id" => context.id.clone(),
        "domain" => domain.to_owned(),
        _ => return None,
    })
}

/// What an asker's aliases are called within the definition that meets its need, so that they never
/// meet the definition's own. An underscore is in no name that a definition may give.
const OF_ASKER: &str = "of_asker_";

/// An asker's alias as the definition sees it.
pub(super) fn inherited(alias: &str) -> String {
    format!("{OF_ASKER}{alias}")
}

/// `text` as the asker wrote it: for people, who never wrote the inner name of an alias.
pub fn as_written(text: &str) -> String {
    text.replace(OF_ASKER, "")
}

/// An asker's parameters as the definition sees them: every alias is [`inherited`].
pub(super) fn inherit(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(inherit_text(text)),
        Value::Array(items) => Value::Array(items.iter().map(inherit).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| (name.clone(), inherit(field)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn inherit_text(text: &str) -> String {
    // What was resolved is well-formed; anything else is literal.
    let Ok(template) = Template::parse(text) else {
        return text.to_owned();
    };
    let mut renamed = String::new();
    for part in template.parts() {
        match part {
            Part::Text(text) => renamed.push_str(&escape(text)),
            Part::Reference(reference) => {
                let mut names = reference.path.clone();
                if let [first, alias, ..] = names.as_mut_slice()
                    && first == "resources"
                {
                    *alias = inherited(alias);
                }
                let path = join_path(names.iter().map(String::as_str));
                renamed.push_str("${");
                renamed.push_str(&path);
                renamed.push('}');
            }
        }
    }
    renamed
}
