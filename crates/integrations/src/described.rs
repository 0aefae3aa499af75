//! Any other HTTP API, described by data: what to ask for, how to compare, what to send.

mod answer;
mod look;
mod people;
mod shape;
mod trial;
mod words;

use async_trait::async_trait;
use kernel::{Outbound, Problem, Result, Secret, outbound::Limits};
use serde::Serialize;
use serde_json::Value;
use teams::tool::{Call, Found, Home, Place, Tool, Wanted};

use self::{look::Look, shape::Config, words::render};
use crate::api::{Api, config, problem};

/// Keeps in step whatever speaks HTTP and JSON.
pub struct Described {
    outbound: Outbound,
    limits: Limits,
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
        problems.extend(trial::problems(&config));
        problems
    }

    /// What is looked at is what the description names: it says itself what is to be kept.
    fn home(&self, _: &Value, _: &str) -> Result<Option<Home>> {
        Ok(None)
    }

    async fn look(&self, place: Place<'_>, wanted: &Wanted) -> Result<Found> {
        let config: Config = config(place.config)?;
        let api = self.api(&config, place.credential)?;
        Look::new(api, &config, wanted, place.accounts)
            .whole()
            .await
    }

    async fn mend(&self, place: Place<'_>, call: &Call) -> Result<()> {
        let config: Config = config(place.config)?;
        self.api(&config, place.credential)?.call(call).await
    }
}
