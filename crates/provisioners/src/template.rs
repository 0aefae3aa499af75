//! `template`: outputs from templates, for what needs no server of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Problem, Secret};
use serde_json::{Map, Value, json};
use template::{Fault, Sandbox};
use uuid::Uuid;

use crate::params::{self, Param, Shape};

/// Renders `state`, `outputs` and `secrets` with minijinja, in that order.
///
/// Each is an object whose texts are templates, or one text that gives YAML. Templates see `values`
/// (the definition's parameter of that name), `state` (the last one; for `outputs` and `secrets`
/// the new one), `outputs` (in `secrets`) and `context`. `unique_name(max)` is everywhere;
/// `credential(label)` is in `secrets` alone, since everything else may be seen. There are no files,
/// no includes, and no end to wait for: steps and size are bounded.
#[derive(Debug, Clone, Default)]
pub struct Template {}

/// Steps of the template engine for one template: far more than a list of outputs needs, and done
/// in milliseconds.
const FUEL: u64 = 100_000;
/// The most that one template may give, in bytes.
const MOST: usize = 64 * 1024;

const PARTS: [&str; 3] = ["state", "outputs", "secrets"];

/// What a template may use that is another after a rotation.
const CHANGING: [&str; 4] = ["credential", "rotation", "state", "outputs"];

impl Template {
    /// The provisioner: it has no configuration.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Provisioner for Template {
    fn name(&self) -> &'static str {
        "template"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "Any outputs, from templates over parameters, context and state.",
            outputs: &[],
            holds_data: false,
            replaced_by: &[],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        const KNOWN: &[Param] = &[
            Param::optional("state", Shape::TextOrObject),
            Param::optional("outputs", Shape::TextOrObject),
            Param::optional("secrets", Shape::TextOrObject),
            Param::optional("values", Shape::Object),
        ];
        let mut problems = params::check("template", KNOWN, given);
        if !given.contains_key("outputs") && !given.contains_key("secrets") {
            problems.push(
                Problem::new(
                    "params/missing",
                    "params.outputs",
                    "a template without `outputs` and `secrets` gives nothing",
                )
                .remedy("add `outputs`, `secrets` or both"),
            );
        }
        let sandbox = Sandbox::new(FUEL, MOST);
        for part in PARTS {
            if let Some(value) = given.get(part) {
                check_syntax(&sandbox, &format!("params.{part}"), value, &mut problems);
            }
        }
        problems
    }

    fn outputs(&self, given: &Map<String, Value>) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for part in ["outputs", "secrets"] {
            match given.get(part) {
                None => {}
                Some(Value::Object(map)) => names.extend(map.keys().cloned()),
                // One template gives them all: it is rendered when it is made.
                Some(_) => return None,
            }
        }
        Some(names)
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let values = request
            .params
            .get("values")
            .cloned()
            .unwrap_or_else(|| json!({}));
        let context = json!({
            "platform": request.platform, "uid": request.uid,
            "environment": request.environment, "role": request.role, "team": request.team,
            "workload": request.workload, "type": request.resource_type,
            "class": request.class, "id": request.id, "rotation": request.rotation,
            "machine_host": request.machine_host,
        });
        let render = |part: &'static str, state: &Value, outputs: &Value| {
            let Some(source) = request.params.get(part) else {
                return Ok(Map::new());
            };
            let seen = json!({
                "values": values, "context": context, "state": state, "outputs": outputs,
            });
            Part {
                name: part,
                sandbox: sandbox(request, part),
                seen,
            }
            .render(source)
        };
        let state = match render("state", &request.state, &Value::Null)? {
            empty if empty.is_empty() => Value::Null,
            some => Value::Object(some),
        };
        let plain = render("outputs", &state, &Value::Null)?;
        let secret = render("secrets", &state, &Value::Object(plain.clone()))?;
        if let Some(twice) = secret.keys().find(|name| plain.contains_key(*name)) {
            return Err(ProvisionError::permanent(format!(
                "the output `{twice}` is given both as plain and as secret"
            ))
            .remedy("give it in `outputs` or in `secrets`"));
        }
        let summary = format!("{} outputs from a template", plain.len() + secret.len());
        let mut outputs: BTreeMap<String, Output> = plain
            .into_iter()
            .map(|(name, value)| (name, Output::Plain(value)))
            .collect();
        outputs.extend(secret.into_iter().map(|(name, value)| {
            let text = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            (name, Output::Secret(Secret::from(text)))
        }));
        Ok(Provisioned {
            outputs,
            state,
            listens: None,
            summary,
            claims: Vec::new(),
        })
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    fn not_ended_by_rotation(
        &self,
        params: &Map<String, Value>,
        _: &Value,
        _: u32,
    ) -> Option<String> {
        let values_change = params.get("values").is_some_and(has_placeholder);
        let secrets = params.get("secrets")?;
        (!may_change(secrets, values_change)).then(|| {
            "its secrets are constants of its resource definition: change them there".to_owned()
        })
    }

    async fn remove(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn presence(&self, _: &Request) -> Presence {
        Presence::Present
    }

    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        Ok(Vec::new())
    }

    fn listed_as(&self, _: &Request) -> Option<String> {
        None
    }
}

/// Whether what the templates in `value` give may be another after a rotation.
fn may_change(value: &Value, values_change: bool) -> bool {
    match value {
        Value::String(text) => {
            let is_template = text.contains("{{") || text.contains("{%");
            let uses = |word: &str| is_template && text.contains(word);
            has_placeholder(value)
                || CHANGING.into_iter().any(uses)
                || (values_change && uses("values"))
        }
        Value::Array(list) => list.iter().any(|item| may_change(item, values_change)),
        Value::Object(map) => map.values().any(|item| may_change(item, values_change)),
        _ => false,
    }
}

/// Whether something in `value` is made of other resources' outputs.
fn has_placeholder(value: &Value) -> bool {
    value.to_string().contains("${")
}

/// What renders `part`, with the functions that it may use.
fn sandbox(request: &Request, part: &str) -> Sandbox {
    let request = Arc::new(request.clone());
    let named = Arc::clone(&request);
    let sandbox = Sandbox::new(FUEL, MOST).with("unique_name", move |most: usize| {
        // Nine bytes are the part that makes it unique; 255 are the longest name of anything.
        named.unique_name(most.clamp(12, 255), '-')
    });
    if part != "secrets" {
        return sandbox;
    }
    sandbox.with("credential", move |label: &str| {
        request.credential(label).expose().to_owned()
    })
}

/// One of state, outputs and secrets on its way from template to values.
struct Part {
    name: &'static str,
    sandbox: Sandbox,
    seen: Value,
}

impl Part {
    fn render(&self, source: &Value) -> Result<Map<String, Value>, ProvisionError> {
        let made = match source {
            Value::String(text) => {
                let text = self.text(self.name, text)?;
                serde_yaml_ng::from_str(&text).map_err(|error| {
                    let place = error.location().map(|at| format!(", line {}", at.line()));
                    let what = format!("gives no YAML{}", place.unwrap_or_default());
                    fault(self.name, &what)
                })?
            }
            other => self.leaves(self.name, other)?,
        };
        match made {
            Value::Object(map) => Ok(map),
            Value::Null => Ok(Map::new()),
            _ => Err(fault(self.name, "gives something that is no object")),
        }
    }

    fn leaves(&self, path: &str, value: &Value) -> Result<Value, ProvisionError> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(path, text)?),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(i, item)| self.leaves(&format!("{path}[{i}]"), item))
                .collect::<Result<_, _>>()?,
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(key, item)| {
                        Ok((key.clone(), self.leaves(&format!("{path}.{key}"), item)?))
                    })
                    .collect::<Result<_, ProvisionError>>()?,
            ),
            other => other.clone(),
        })
    }

    fn text(&self, path: &str, source: &str) -> Result<String, ProvisionError> {
        self.sandbox.render(source, &self.seen).map_err(|found| {
            let error = match found {
                Fault::Forbidden(statement) => return fault(path, &uses(statement)),
                Fault::TooLarge(most) => {
                    return fault(path, &format!("gives more than {most} bytes"));
                }
                Fault::NotText => return fault(path, "gives what is no text"),
                Fault::Template(error) => error,
            };
            // What the engine says of a secret's template could hold the secret.
            let what = match error.detail() {
                Some(detail) if self.name != "secrets" => format!("{}: {detail}", error.kind()),
                _ => error.kind().to_string(),
            };
            let line = error.line().map(|line| format!(", line {line}"));
            fault(path, &format!("{what}{}", line.unwrap_or_default()))
        })
    }
}

fn uses(statement: &str) -> String {
    format!("a template here cannot use `{{% {statement} %}}`")
}

fn fault(path: &str, what: &str) -> ProvisionError {
    ProvisionError::permanent(format!("the template `{path}`: {what}"))
        .remedy("mend the resource definition; it sees `values`, `context`, `state` and `outputs`")
}

fn check_syntax(sandbox: &Sandbox, path: &str, value: &Value, problems: &mut Vec<Problem>) {
    match value {
        Value::String(text) => match sandbox.check(text) {
            // What is too large, or no text, is found when it is rendered.
            Ok(()) | Err(Fault::TooLarge(_) | Fault::NotText) => {}
            Err(Fault::Template(error)) => {
                let detail = error.detail().unwrap_or("it is no template");
                let line = error.line().unwrap_or(1);
                problems.push(
                    Problem::new("params/template", path, format!("{detail} (line {line})"))
                        .remedy("see the syntax of Jinja templates"),
                );
            }
            Err(Fault::Forbidden(statement)) => problems.push(
                Problem::new("params/template", path, uses(statement))
                    .remedy("write the expression where its value is needed, or use a `command`"),
            ),
        },
        Value::Array(list) => {
            for (i, item) in list.iter().enumerate() {
                check_syntax(sandbox, &format!("{path}[{i}]"), item, problems);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                check_syntax(sandbox, &format!("{path}.{key}"), item, problems);
            }
        }
        _ => {}
    }
}
