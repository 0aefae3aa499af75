//! Any other HTTP API, described by data: what to ask for, how to compare, what to send.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kernel::{Error, Outbound, Problem, Result, Secret};
use minijinja::{Environment, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use teams::tool::{Call, Found, Home, Place, Repair, Tool, Wanted};

use crate::{
    api::{Api, config, problem},
    limits::Limits,
};

/// Steps of a template at the most: they come from people, and must end.
const FUEL: u64 = 100_000;

/// Keeps in step whatever speaks HTTP and JSON.
pub struct Described {
    outbound: Outbound,
    limits: Limits,
}

/// All texts are templates (Jinja) over `team` and `base`; those of headers over `credential`, too.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Where the API is.
    url: String,
    /// Headers of every request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// What is looked at, in this order.
    checks: Vec<Check>,
}

/// One thing that is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Check {
    /// What people call it: `folder`.
    name: String,
    /// The path that is asked for. 404: it is not there.
    get: String,
    /// What is compared, by JSON pointer (RFC 6901) into the answer: a template that gives JSON.
    #[serde(default)]
    equals: BTreeMap<String, String>,
    /// Pointers to lists whose order says nothing.
    #[serde(default)]
    unordered: Vec<String>,
    /// What makes it, where it is not there.
    #[serde(default)]
    create: Option<Request>,
    /// What makes it so, where it is otherwise.
    update: Request,
}

/// What is sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    method: Method,
    path: String,
    /// A template that gives JSON.
    #[serde(default)]
    body: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn word(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

#[derive(Serialize)]
struct Words<'a> {
    base: &'a str,
    team: &'a Wanted,
}

impl Described {
    /// Speaks by `outbound`, within `limits`.
    pub(crate) fn new(outbound: Outbound, limits: Limits) -> Self {
        Self { outbound, limits }
    }

    fn api(&self, config: &Config, credential: Option<&Secret>) -> Result<Api<'_>> {
        #[derive(Serialize)]
        struct Words<'a> {
            credential: &'a str,
        }
        let credential = credential.and_then(Secret::expose_str).unwrap_or_default();
        let render = |(name, text): (&String, &String)| {
            let value = render(text, &Words { credential })?;
            Ok((name.clone(), value))
        };
        Ok(Api {
            outbound: &self.outbound,
            limits: &self.limits,
            kept: None,
            who: "the tool",
            headers: config.headers.iter().map(render).collect::<Result<_>>()?,
        })
    }
}

impl Config {
    /// A whole address: a path that was rendered leads to the API's own server, and nowhere else.
    fn at(&self, path: &str, words: &Words<'_>) -> Result<String> {
        let path = render(path, words)?;
        let base = self.url.trim_end_matches('/');
        if !path.starts_with('/') {
            return Err(Error::invalid(format!(
                "the path `{path}` does not begin with `/`"
            )));
        }
        Ok(format!("{base}{path}"))
    }

    fn call(&self, request: &Request, words: &Words<'_>) -> Result<Call> {
        let body = request.body.as_deref();
        Ok(Call {
            method: request.method.word(),
            url: self.at(&request.path, words)?,
            body: body.map(|body| json(body, words)).transpose()?,
        })
    }
}

/// Renders a template. The error names no value.
fn render(text: &str, words: &impl Serialize) -> Result<String> {
    let mut jinja = Environment::new();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    jinja.set_fuel(Some(FUEL));
    jinja.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    jinja
        .render_str(text, minijinja::Value::from(minijinja::value::Serde(words)))
        .map_err(|error| {
            Error::invalid(format!(
                "a template of the integration does not render: {}",
                error.kind()
            ))
        })
}

/// Renders a template that gives JSON.
fn json(text: &str, words: &impl Serialize) -> Result<Value> {
    serde_json::from_str(&render(text, words)?).map_err(|error| {
        Error::invalid(format!(
            "a template of the integration gives no JSON: {error}"
        ))
        .remedy("use the filter `tojson` for values: {{ team.name | tojson }}")
    })
}

impl Check {
    /// What differs: the first pointer at which it does, as it is and as it should be.
    fn difference(&self, is: &Value, words: &Words<'_>) -> Result<Option<(String, Value, Value)>> {
        for (pointer, text) in &self.equals {
            let should = json(text, words)?;
            let is = is.pointer(pointer).cloned().unwrap_or(Value::Null);
            let same = if self.unordered.contains(pointer) {
                sorted(&is) == sorted(&should)
            } else {
                is == should
            };
            if !same {
                return Ok(Some((pointer.clone(), is, should)));
            }
        }
        Ok(None)
    }
}

/// A list in an order of its own.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items = items.clone();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

#[async_trait]
impl Tool for Described {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn check(&self, value: &Value) -> Vec<Problem> {
        let config: Config = match config(value) {
            Ok(config) => config,
            Err(error) => return vec![problem(error)],
        };
        let mut problems = Vec::new();
        problems.extend(self.outbound.check(&config.url).err().map(problem));
        if config.checks.is_empty() {
            let message = "there is nothing that is looked at";
            problems.push(Problem::new("integration/config", "config.checks", message));
        }
        // A team that has all that there is to say of one.
        let team = Wanted {
            name: "example".into(),
            group: "example".into(),
            description: String::new(),
            members: vec![],
            complete: true,
            secrets: None,
        };
        let words = Words {
            base: &config.url,
            team: &team,
        };
        for (at, check) in config.checks.iter().enumerate() {
            let tried = || -> Result<()> {
                config.at(&check.get, &words)?;
                check.difference(&Value::Null, &words)?;
                for request in check.create.iter().chain([&check.update]) {
                    config.call(request, &words)?;
                }
                Ok(())
            };
            if let Err(error) = tried() {
                let mut found = problem(error);
                found.path = format!("config.checks[{at}]");
                problems.push(found);
            }
        }
        problems
    }

    /// What is looked at is what the description names: it says itself what is to be kept.
    fn home(&self, _: &Value, _: &str) -> Result<Option<Home>> {
        Ok(None)
    }

    async fn look(&self, place: Place<'_>, wanted: &Wanted) -> Result<Found> {
        let config: Config = config(place.config)?;
        let api = self.api(&config, place.credential)?;
        let words = Words {
            base: &config.url,
            team: wanted,
        };
        let mut found = Found::default();
        for check in &config.checks {
            let is = api.read::<Value>(&config.at(&check.get, &words)?).await?;
            let Some(is) = is else {
                let request = check.create.as_ref().unwrap_or(&check.update);
                found.repairs.push(Repair {
                    what: check.name.clone(),
                    found: None,
                    wanted: Some("present".into()),
                    call: config.call(request, &words)?,
                });
                // What comes next may be in it.
                break;
            };
            if let Some((pointer, is, should)) = check.difference(&is, &words)? {
                found.repairs.push(Repair {
                    what: format!("{}{pointer}", check.name),
                    found: Some(is.to_string()),
                    wanted: Some(should.to_string()),
                    call: config.call(&check.update, &words)?,
                });
            }
        }
        Ok(found)
    }

    async fn mend(&self, place: Place<'_>, call: &Call) -> Result<()> {
        let config: Config = config(place.config)?;
        self.api(&config, place.credential)?.call(call).await
    }
}
