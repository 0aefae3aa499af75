//! Removing a workload: its releases, its routes, and what only it has used.

use std::time::Duration;

use kernel::{Key, Meta, Next, Outcome, Result};
use serde_json::json;

use super::Pass;
use crate::{engine::EngineError, model::Environment, reconcile::drain};

impl Pass<'_> {
    pub(super) async fn remove(&mut self) -> Result<Next> {
        let environment = self.workload.meta.scope.clone();
        let name = self.workload.meta.name.clone();
        if !self.workload.status.endpoints.is_empty() {
            // Traffic first: the gateway answers "starting or stopping" rather than break off.
            self.workload.status.endpoints.clear();
            let mut change = self.change();
            change.status(&self.workload)?;
            self.context.store.commit(change).await?;
            return Ok(Next::After(Duration::ZERO));
        }
        if let Err(error) = self.remove_releases().await {
            return self.stuck(error).await;
        }
        let mut change = self.change();
        let touched = self
            .delivery
            .let_go(
                &mut change,
                &environment,
                self.workload.spec.remove_data,
                |_, user| user == name,
            )
            .await?;
        for route in self
            .delivery
            .routes_of_workload(&environment, &name)
            .await?
        {
            change.remove(&route)?;
        }
        change.remove(&self.workload)?;
        change.event(self.event("workload.removed", Some(Outcome::Pass), json!({})));
        self.context.store.commit(change).await?;
        for key in touched {
            self.context.nudge(key);
        }
        self.context.nudge(Key::of::<Environment>("", environment));
        Ok(Next::Idle)
    }

    /// Has the engine remove every release of it that runs, known or not.
    async fn remove_releases(&self) -> std::result::Result<(), EngineError> {
        let Meta { scope, name, .. } = &self.workload.meta;
        for id in self.engine.list().await? {
            if id.environment == *scope && id.workload == *name {
                self.engine.remove(&id, drain::GRACE).await?;
            }
        }
        self.engine.forget(scope, name).await
    }

    /// It cannot be removed now: it says why, once, and is tried again.
    async fn stuck(&mut self, error: EngineError) -> Result<Next> {
        let next = Self::after(&error);
        let before = self.workload.status.clone();
        self.workload.status.removal_failure = Self::words(error);
        if self.workload.status == before {
            return Ok(next);
        }
        let data = json!({ "message": self.workload.status.removal_failure });
        let event = self.event("workload.removal-failed", Some(Outcome::Fail), data);
        let change = self.change();
        self.commit(change, &before, vec![event]).await?;
        self.context
            .nudge(Key::of::<Environment>("", &self.workload.meta.scope));
        Ok(next)
    }
}
