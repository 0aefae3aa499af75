//! Any other HTTP API, described by data: what to ask for, how to compare, what to send.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::LazyLock,
};

use async_trait::async_trait;
use kernel::{Error, Outbound, Problem, Result, Secret, outbound::Limits};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use teams::tool::{Call, Found, Home, Place, Repair, Tool, Wanted, WantedMember};
use template::{Fault, Sandbox};

use crate::api::{Api, config, problem};

/// Steps of a template at the most: they come from people, and must end.
const FUEL: u64 = 100_000;

/// The most that one template gives, in bytes: far more than a team of thousands is.
const MOST: usize = 4 * 1024 * 1024;

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(FUEL, MOST).with_json());

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
    /// Where the answer lists people, where it does: of a list that is not whole here, who is there and has
    /// not left stays.
    #[serde(default)]
    members: Option<Listed>,
    /// What makes it, where it is not there.
    #[serde(default)]
    create: Option<Request>,
    /// What makes it so, where it is otherwise.
    update: Request,
}

/// Where an answer lists people.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listed {
    /// The list, by JSON pointer into the answer.
    at: String,
    /// What stands for somebody in an item of it, by JSON pointer into that; the item itself where nothing is
    /// said.
    #[serde(default)]
    item: String,
    /// Which of their names that is.
    #[serde(default)]
    by: By,
    /// What says in an item that they lead, by JSON pointer, where something does.
    #[serde(default)]
    lead: Option<String>,
}

/// How a tool knows people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum By {
    #[default]
    Name,
    Email,
    Subject,
}

impl By {
    fn of(self, member: &WantedMember) -> Option<String> {
        match self {
            Self::Name => Some(member.name.clone()),
            Self::Email => member.email.as_ref().map(|email| email.to_lowercase()),
            Self::Subject => Some(member.subject.clone()),
        }
    }
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
        let credential = credential
            .map(Secret::text)
            .transpose()?
            .unwrap_or_default();
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
    SANDBOX.render(text, words).map_err(fault)
}

fn fault(found: Fault) -> Error {
    let what = match found {
        Fault::Forbidden(statement) => format!("uses `{{% {statement} %}}`, which is not there"),
        Fault::TooLarge(most) => format!("gives more than {most} bytes"),
        Fault::NotText => "gives what is no text".into(),
        // What else the engine says could hold a value.
        Fault::Template(error) => format!("does not render: {}", error.kind()),
    };
    Error::invalid(format!("a template of the integration {what}"))
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
    /// Whether what it sends would take out whoever is not in the list: it sends who is in the team, says not
    /// where the answer lists them, and does not ask whether these are all.
    fn takes_out(&self) -> Result<bool> {
        if self.members.is_some() {
            return Ok(false);
        }
        let sent = [&self.update.path].into_iter().chain(&self.update.body);
        let mut spoken = HashSet::new();
        for text in self.equals.values().chain(sent) {
            spoken.extend(spoken_of(text)?);
        }
        let lists = |name: &String| name == "team" || name.starts_with("team.members");
        Ok(spoken.iter().any(lists) && !spoken.contains("team.complete"))
    }

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

impl Listed {
    /// The team as the tool should have it: of those who are there and of whom nobody knows whether they are
    /// in it, all stay. Beside it whom the tool cannot be told of.
    fn merge(
        &self,
        is: Option<&Value>,
        wanted: &Wanted,
        known: &BTreeMap<String, String>,
    ) -> (Wanted, Vec<String>) {
        let (mut team, mut obstacles) = (wanted.clone(), Vec::new());
        let mut taken = BTreeSet::new();
        team.members.retain(|member| match self.by.of(member) {
            Some(known) if taken.insert(known.clone()) => true,
            Some(known) => {
                obstacles.push(format!(
                    "two people are known as `{known}` (`{}`): know people otherwise, by `members.by`",
                    member.subject
                ));
                false
            }
            None => {
                obstacles.push(format!(
                    "{} has no address that is known: have their source tell it",
                    wanted.called(member)
                ));
                false
            }
        });
        if wanted.complete {
            return (team, obstacles);
        }
        let left: BTreeSet<String> = wanted
            .left
            .iter()
            .flat_map(|member| [self.by.of(member), known.get(&member.subject).cloned()])
            .flatten()
            .collect();
        let there = is.and_then(|is| is.pointer(&self.at)?.as_array());
        for item in there.into_iter().flatten() {
            let Some(text) = item.pointer(&self.item).and_then(Value::as_str) else {
                continue;
            };
            let known = match self.by {
                By::Email => text.to_lowercase(),
                By::Name | By::Subject => text.to_owned(),
            };
            if left.contains(&known) && !taken.contains(&known) || !taken.insert(known) {
                continue;
            }
            let lead = self.lead.as_ref().and_then(|at| item.pointer(at));
            team.members.push(WantedMember {
                name: text.to_owned(),
                subject: text.to_owned(),
                email: (self.by == By::Email).then(|| text.to_owned()),
                account: None,
                lead: lead.and_then(Value::as_bool).unwrap_or_default(),
            });
        }
        team.members.sort();
        (team, obstacles)
    }
}

/// What of a team a template speaks of.
fn spoken_of(text: &str) -> Result<HashSet<String>> {
    SANDBOX.spoken_of(text).map_err(fault)
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
            left: vec![],
            listed: vec![],
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
                check.takes_out()?;
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
            let merged = check.members.as_ref();
            let merged = merged.map(|listed| listed.merge(is.as_ref(), wanted, place.accounts));
            let (team, obstacles) = merged.unwrap_or_else(|| (wanted.clone(), vec![]));
            found.obstacles.extend(obstacles);
            if let Some(listed) = &check.members {
                let known = wanted
                    .members
                    .iter()
                    .filter_map(|member| Some((member.subject.clone(), listed.by.of(member)?)));
                found.accounts.extend(known);
            }
            let words = Words {
                base: &config.url,
                team: &team,
            };
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
                if !wanted.complete && check.takes_out()? {
                    found.obstacles.push(format!(
                        "`{}` is not as it should be, and is left so: the team's source cannot list its \
                         members, and whoever is not logged in would be taken out. Say in `members` of the \
                         check where the answer lists them",
                        check.name
                    ));
                    continue;
                }
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
