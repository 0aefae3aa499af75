//! The verifier: an immutable, compiled snapshot of a bundle, cloned for each decision.

use std::{num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use delivery::{
    Verifier,
    plan::Plan,
    verify::{Decision, Finding},
};
use kernel::{Error, Result};
use regorus::{Engine, utils::limits::ExecutionTimerConfig};
use serde_json::{Value, json};

use crate::{Bundle, findings};

/// How long a decision may take. The built-in policies take about a millisecond: what takes this long
/// does not end.
pub const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Steps of the interpreter between two looks at the clock: often enough to end in time, seldom
/// enough not to be felt.
const STEPS_PER_LOOK: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");

/// Decides by Rego.
pub struct RegoVerifier {
    bundle: Bundle,
    engine: Engine,
    time_limit: Duration,
}

impl std::fmt::Debug for RegoVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegoVerifier")
            .field("policies", &references(&self.bundle))
            .finish_non_exhaustive()
    }
}

impl RegoVerifier {
    /// Compiles `bundle`. A policy that does not compile, or that fails over a deployment of nothing,
    /// is an error that names it: a platform does not start without its policies.
    pub fn new(bundle: Bundle) -> Result<Self> {
        Self::with_time_limit(bundle, TIME_LIMIT)
    }

    /// The same with another time limit.
    pub fn with_time_limit(bundle: Bundle, time_limit: Duration) -> Result<Self> {
        let mut engine = Engine::new();
        engine.set_strict_builtin_errors(true);
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: time_limit,
            check_interval: STEPS_PER_LOOK,
        });
        for module in bundle.modules() {
            engine
                .add_policy(module.name.clone(), module.source.clone())
                .map_err(|error| {
                    Error::invalid(format!("policy {} does not compile: {error}", module.name))
                        .remedy("mend the policy, or take it out of the policy directory")
                })?;
        }
        // The first evaluation resolves names across modules; a clone of what was evaluated once
        // need not do so again.
        let nothing = json!({
            "caller": { "subject": "system:policy", "teams": [], "admin": true },
            "environment": {
                "name": "none", "role": "none", "team": "none", "protected": false,
                "labels": {}, "engine": "none",
            },
            "workloads": {},
            "plan": Plan::default(),
        });
        evaluate(&mut engine, nothing).map_err(|reason| {
            Error::invalid(format!("the policies cannot be evaluated: {reason}"))
                .remedy("mend the policy that the reason names")
        })?;
        Ok(Self {
            bundle,
            engine,
            time_limit,
        })
    }
}

#[async_trait]
impl Verifier for RegoVerifier {
    async fn verify(&self, input: &Value) -> Result<Decision> {
        let mut engine = self.engine.clone();
        let input = input.clone();
        let work = tokio::task::spawn_blocking(move || evaluate(&mut engine, input));
        // The engine looks at the clock itself; twice its limit covers a built-in function that does
        // not come back in between.
        let answer = match tokio::time::timeout(self.time_limit * 2, work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(stopped)) => Err(format!("the evaluation stopped: {stopped}")),
            Err(_) => Err(format!("it took longer than {:?}", self.time_limit)),
        };
        let policies = references(&self.bundle);
        Ok(match answer {
            Ok((denials, warnings)) => Decision {
                allowed: denials.is_empty(),
                denials,
                warnings,
                policies,
            },
            Err(reason) => {
                tracing::error!(%reason, "policy could not decide: the deployment is refused");
                refusal(&reason, policies)
            }
        })
    }

    fn sources(&self) -> Vec<(String, String)> {
        let modules = self.bundle.modules().iter();
        modules
            .map(|module| (module.name.clone(), module.source.clone()))
            .collect()
    }
}

fn references(bundle: &Bundle) -> Vec<String> {
    bundle
        .modules()
        .iter()
        .map(crate::Module::reference)
        .collect()
}

fn refusal(reason: &str, policies: Vec<String>) -> Decision {
    Decision {
        allowed: false,
        denials: vec![Finding {
            rule: "policy/undecided".into(),
            message: format!(
                "policy could not decide, and what is not allowed is refused: {reason}"
            ),
            remedy: Some("have a platform engineer mend the policy that the reason names".into()),
        }],
        warnings: Vec::new(),
        policies,
    }
}

/// What the policies deny, and what they warn of.
type Findings = (Vec<Finding>, Vec<Finding>);

fn evaluate(engine: &mut Engine, input: Value) -> Result<Findings, String> {
    engine.set_input(regorus::Value::from(input));
    let mut set = |name: &str| {
        let value = engine
            .eval_rule(format!("data.towpath.deploy.{name}"))
            .map_err(|error| format!("`{name}`: {error}"))?;
        findings::read(name, &value)
    };
    Ok((set("deny")?, set("warn")?))
}
