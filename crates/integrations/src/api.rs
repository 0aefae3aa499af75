//! What all tools share: requests that are bounded, and answers that are one of three: there, not there,
//! or nobody knows.

use std::time::Duration;

use http::{Method, header};
use kernel::{
    Error, Outbound, Problem, Result,
    outbound::{Answer, Limits, shown},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use teams::tool::Call;
use url::Url;

use crate::answered::Answered;

/// How long a tool may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read: a page of a hundred of anything.
const LONGEST: usize = 4 * 1024 * 1024;
/// Pages of one list at the most: ten thousand of anything.
pub(crate) const PAGES: usize = 100;
/// Items on a page, where all that there is is asked for.
pub(crate) const PAGE: usize = 100;

/// A tool's API, as one integration speaks to it.
pub(crate) struct Api<'a> {
    pub(crate) outbound: &'a Outbound,
    pub(crate) limits: &'a Limits,
    /// What it has answered, where it counts no question whose answer has not changed.
    pub(crate) kept: Option<&'a Answered>,
    /// What people call it: `GitHub`.
    pub(crate) who: &'static str,
    /// What every request carries. Values may be secret.
    pub(crate) headers: Vec<(String, String)>,
}

impl Api<'_> {
    /// What is at `url`, and what it says of itself; none where nothing is.
    pub(crate) async fn get(&self, url: &str) -> Result<Option<(Value, Answer)>> {
        let answer = self.send(Method::GET, url, None).await?;
        match answer.status {
            200..=299 => Ok(Some((answer.json(self.who)?, answer))),
            404 => Ok(None),
            _ => Err(self.refused(&answer)),
        }
    }

    /// The same, as a `T`.
    pub(crate) async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<Option<T>> {
        let found = self.get(url).await?;
        found.map(|(value, _)| self.understood(value)).transpose()
    }

    /// All pages of a list, as `Link: <...>; rel="next"` leads from one to the next; none where there is
    /// no such list. A next page elsewhere than the first is not gone to: the credential stays where it
    /// belongs.
    pub(crate) async fn pages<T: DeserializeOwned>(&self, url: &str) -> Result<Option<Vec<T>>> {
        self.pages_in(url, None).await
    }

    /// The same, where each page is an object with the list in `field`.
    pub(crate) async fn pages_in<T: DeserializeOwned>(
        &self,
        url: &str,
        field: Option<&str>,
    ) -> Result<Option<Vec<T>>> {
        let mut all = Vec::new();
        let mut next = url.to_owned();
        for _ in 0..PAGES {
            let Some((mut value, answer)) = self.get(&next).await? else {
                return Ok(None);
            };
            if let Some(field) = field {
                value = value[field].take();
            }
            let items = self.understood::<Vec<T>>(value)?;
            let is_full = items.len() >= PAGE;
            all.extend(items);
            match next_page(&answer) {
                // One more on a page after it does not change it: it is asked for whole again.
                None if is_full => {
                    self.forget(&next)?;
                    return Ok(Some(all));
                }
                Some(page) if same_origin(url, &page) => next = page,
                Some(_) => {
                    return Err(self.unknown("its next page is at another server"));
                }
                None => return Ok(Some(all)),
            }
        }
        Err(self.unknown("its list has no end"))
    }

    /// What must be there, because what it is part of was just found. A tool hides what it does not let
    /// the credential see: that says nothing of what there is.
    pub(crate) fn there<T>(&self, found: Option<T>, what: &str) -> Result<T> {
        found.ok_or_else(|| self.shows_no(what))
    }

    /// That it hides what must be there.
    pub(crate) fn shows_no(&self, what: &str) -> Error {
        self.unknown(&format!("it shows no {what}"))
            .remedy("look at what the integration's credential may see")
    }

    /// Sends a repair.
    pub(crate) async fn call(&self, call: &Call) -> Result<()> {
        let method = call.method.parse::<Method>();
        let method = method.map_err(|error| Error::internal("a repair has no method", error))?;
        let answer = self.send(method, &call.url, call.body.as_ref()).await?;
        match answer.status {
            200..=299 => Ok(()),
            // Gone already is as good.
            404 if call.method == "DELETE" => Ok(()),
            _ => Err(self.refused(&answer)),
        }
    }

    /// Has what is at `url` asked for whole the next time.
    fn forget(&self, url: &str) -> Result<()> {
        if let Some(kept) = self.kept {
            let url = self.outbound.check(url)?;
            kept.forget(self.limits.account(&url, &self.headers), &url);
        }
        Ok(())
    }

    async fn send(&self, method: Method, url: &str, body: Option<&Value>) -> Result<Answer> {
        let url = self.outbound.check(url)?;
        let account = self.limits.account(&url, &self.headers);
        if let Some(wait) = self.limits.wait(account) {
            return Err(self.exhausted(wait));
        }
        let kept = self.kept.filter(|_| method == Method::GET);
        let mut request = self.outbound.request(method, &url)?;
        if let Some(tag) = kept.and_then(|kept| kept.tag(account, &url)) {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let who = format!("{} at {}", self.who, shown(&url));
        let answer = Outbound::send(&who, request, LONGEST).await?;
        self.limits.hear(account, &answer);
        let answer = match kept {
            Some(kept) => kept.hear(account, &url, answer),
            None => answer,
        };
        match (answer.status, self.limits.wait(account)) {
            (200..=299, _) | (_, None) => Ok(answer),
            (_, Some(wait)) => Err(self.exhausted(wait).caused_by(said(&answer))),
        }
    }

    fn understood<T: DeserializeOwned>(&self, value: Value) -> Result<T> {
        serde_json::from_value(value).map_err(|error| {
            self.unknown("it answered what is not understood")
                .caused_by(error)
        })
    }

    /// That nobody knows what is there, and why.
    pub(crate) fn unknown(&self, why: &str) -> Error {
        Error::unavailable(format!("{} could not be asked: {why}", self.who))
    }

    /// Why a request was not answered as it should be. What the tool says beside that may hold anything,
    /// and is for the log.
    fn refused(&self, answer: &Answer) -> Error {
        let status = answer.status;
        let error = match status {
            401 | 403 => self
                .unknown(&format!("it answered {status}"))
                .remedy("look at the integration's credential, and what it may do"),
            400..=499 => Error::invalid(format!("{} refused it: {status}", self.who))
                .remedy("look at the integration's configuration"),
            _ => self.unknown(&format!("it answered {status}")),
        };
        error.caused_by(said(answer))
    }

    fn exhausted(&self, wait: Duration) -> Error {
        let seconds = wait.as_secs() + 1;
        self.unknown(&format!(
            "its limit of requests is reached: all that carry this credential wait for {seconds} s"
        ))
    }
}

/// What a tool says: it may be anything, and is for the log.
fn said(answer: &Answer) -> String {
    let said = String::from_utf8_lossy(&answer.body);
    said.chars().take(300).collect()
}

/// Where the next page is (RFC 8288).
pub(crate) fn next_page(answer: &Answer) -> Option<String> {
    let links = answer.headers.get(header::LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters
            .split(';')
            .any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| target.trim().trim_start_matches('<').to_owned())
    })
}

pub(crate) fn same_origin(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => one.origin() == other.origin(),
        _ => false,
    }
}

/// `base` with these segments below it, each escaped.
pub(crate) fn below(base: &str, segments: &[&str]) -> Result<Url> {
    let bad = || Error::invalid(format!("`{base}` is not the address of an API"));
    let mut url = Url::parse(base).map_err(|_| bad())?;
    url.path_segments_mut()
        .map_err(|()| bad())?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// A configuration in a tool's own shape.
pub(crate) fn config<T: DeserializeOwned>(config: &Value) -> Result<T> {
    kernel::document::shaped(config, "config").map_err(|problem| {
        Error::invalid(format!(
            "the configuration is not understood at `{}`: {}",
            problem.path, problem.message
        ))
    })
}

/// What is wrong with a configuration: its shape, or where it leads.
pub(crate) fn check<T: DeserializeOwned>(
    outbound: &Outbound,
    value: &Value,
    url: impl Fn(&T) -> String,
) -> Vec<Problem> {
    let found = config::<T>(value).and_then(|config| outbound.check(&url(&config)));
    found.err().map(problem).into_iter().collect()
}

pub(crate) fn problem(error: Error) -> Problem {
    let problem = Problem::new("integration/config", "config", error.message);
    match error.remedy {
        Some(remedy) => problem.remedy(remedy),
        None => problem,
    }
}
