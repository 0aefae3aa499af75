//! Authorization: a decision over caller, action and resource, for every operation of the platform.

use std::{num::NonZeroU32, time::Duration};

use delivery::verify::Finding;
use kernel::{Action, Authorizer, Caller, Error, Problem, Result, Ruling, Target};
use regorus::{Engine, Value, utils::limits::ExecutionTimerConfig};
use serde_json::json;

use crate::{Bundle, Module, findings};

/// How long the rules that ship with Towpath may take. They end by themselves, and take a fraction of a
/// millisecond: this is a net, which no busy machine is to run into.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long an organization's `deny` may take, which may be without end.
const DENY_LIMIT: Duration = Duration::from_secs(1);

/// Steps of the interpreter between two looks at the clock.
const STEPS_PER_LOOK: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");

/// The package of the rules.
const PACKAGE: &str = "data.towpath.authz";

/// Decides by the package `towpath.authz`.
///
/// What is allowed is read from the rules that ship with Towpath, compiled by themselves: a module of the
/// organization cannot add to it. Its `deny` is asked of both together.
pub struct RegoAuthorizer {
    modules: Vec<Module>,
    /// What the rules see of the platform's configuration.
    settings: serde_json::Value,
    own: Engine,
    /// With the organization's rules, where it has any of this package.
    tightened: Option<Engine>,
}

impl std::fmt::Debug for RegoAuthorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.modules.iter().map(Module::reference).collect();
        f.debug_struct("RegoAuthorizer")
            .field("policies", &names)
            .finish_non_exhaustive()
    }
}

impl RegoAuthorizer {
    /// Compiles the rules, with those of `organization`. One that does not compile, or that fails over a
    /// caller who asks for nothing, is an error that names it.
    pub fn new(organization: &Bundle) -> Result<Self> {
        Self::with_overseers(organization, Self::MANAGERS, &[])
    }

    /// The same, where an organization's `deny` may take this long.
    #[must_use]
    pub fn with_deny_limit(mut self, limit: Duration) -> Self {
        if let Some(engine) = &mut self.tightened {
            engine.set_execution_timer_config(timer(limit));
        }
        self
    }

    /// The group whose members onboard teams where nothing else is said.
    pub const MANAGERS: &str = "managers";

    /// The same, where the members of the group `managers` onboard teams (`[SOURCE:]GROUP`, of the local source
    /// where none is named), and the service accounts of the teams `keepers` see all teams.
    pub fn with_overseers(
        organization: &Bundle,
        managers: &str,
        keepers: &[String],
    ) -> Result<Self> {
        let (source, group) = managers.split_once(':').unwrap_or(("local", managers));
        let settings = json!({
            "managers": { "source": source, "group": group },
            "keepers": keepers,
        });
        let built_in = Module {
            name: "built-in/authz.rego".into(),
            source: include_str!("../policies/authz.rego").into(),
        };
        let mut own = Engine::new();
        own.set_strict_builtin_errors(true);
        own.set_execution_timer_config(timer(TIME_LIMIT));
        add(&mut own, &built_in)?;
        let mut both = own.clone();
        both.set_execution_timer_config(timer(DENY_LIMIT));
        let mut modules = vec![built_in];
        for module in organization.modules() {
            if add(&mut both, module)? == PACKAGE {
                modules.push(module.clone());
            }
        }
        let mut authorizer = Self {
            tightened: (modules.len() > 1).then_some(both),
            modules,
            settings,
            own,
        };
        // The first evaluation resolves names across modules; a clone of what was evaluated once need
        // not do so again.
        let nothing = Value::from(input(
            &Caller::local_admin(),
            Action::see("nothing"),
            &Target::default(),
            &authorizer.settings,
        ));
        let broken = |reason: String| {
            Error::invalid(format!(
                "the rules of authorization cannot be evaluated: {reason}"
            ))
            .remedy("mend the policy that the reason names")
        };
        authorizer.own.set_input(nothing.clone());
        is_allowed(&mut authorizer.own).map_err(broken)?;
        set(&mut authorizer.own, "reasons").map_err(broken)?;
        if let Some(engine) = &mut authorizer.tightened {
            engine.set_input(nothing);
            set(engine, "deny").map_err(broken)?;
        }
        Ok(authorizer)
    }

    fn rule(&self, input: Value) -> Result<Ruling, String> {
        let mut engine = self.own.clone();
        engine.set_input(input.clone());
        if !is_allowed(&mut engine)? {
            let reasons = set(&mut engine, "reasons")?;
            return Ok(refused(reasons));
        }
        let denials = match &self.tightened {
            None => vec![],
            Some(engine) => {
                let mut engine = engine.clone();
                engine.set_input(input);
                set(&mut engine, "deny")?
            }
        };
        Ok(Ruling {
            allowed: denials.is_empty(),
            ..refused(denials)
        })
    }
}

impl Authorizer for RegoAuthorizer {
    fn decide(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Ruling {
        let input = input(caller, action, target, &self.settings);
        tracing::trace!(%input, "asked");
        match self.rule(Value::from(input)) {
            Ok(ruling) => ruling,
            Err(reason) => {
                tracing::error!(%reason, action = action.word(), "authorization could not decide");
                let undecided = refused(vec![Finding {
                    rule: "authz/undecided".into(),
                    message: format!("policy could not decide: {reason}"),
                    remedy: Some(
                        "have a platform engineer mend the policy that the reason names".into(),
                    ),
                }]);
                Ruling {
                    undecided: true,
                    ..undecided
                }
            }
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        let modules = self.modules.iter();
        modules
            .map(|module| (module.name.clone(), module.source.clone()))
            .collect()
    }
}

/// What the rules see.
fn input(
    caller: &Caller,
    action: Action,
    target: &Target<'_>,
    settings: &serde_json::Value,
) -> serde_json::Value {
    json!({
        "action": action.word(),
        "caller": {
            "subject": caller.subject,
            "kind": caller.kind,
            "groups": caller.groups,
            "teams": caller.teams,
            "leads": caller.leads,
            "environment": caller.environment,
            "admin": caller.admin,
        },
        "resource": target,
        "settings": settings,
    })
}

fn timer(limit: Duration) -> ExecutionTimerConfig {
    ExecutionTimerConfig {
        limit,
        check_interval: STEPS_PER_LOOK,
    }
}

/// Adds a module; gives its package.
fn add(engine: &mut Engine, module: &Module) -> Result<String> {
    engine
        .add_policy(module.name.clone(), module.source.clone())
        .map_err(|error| {
            Error::invalid(format!("policy {} does not compile: {error}", module.name))
                .remedy("mend the policy, or take it out of the policy directory")
        })
}

fn is_allowed(engine: &mut Engine) -> Result<bool, String> {
    let value = engine
        .eval_rule(format!("{PACKAGE}.allow"))
        .map_err(|error| format!("`allow`: {error}"))?;
    // Anything but a plain yes is a no.
    Ok(value == Value::from(true))
}

fn set(engine: &mut Engine, name: &str) -> Result<Vec<Finding>, String> {
    let value = engine
        .eval_rule(format!("{PACKAGE}.{name}"))
        .map_err(|error| format!("`{name}`: {error}"))?;
    findings::read(name, &value)
}

fn refused(findings: Vec<Finding>) -> Ruling {
    let problem = |finding: Finding| Problem {
        remedy: finding.remedy,
        ..Problem::new(&finding.rule, "", finding.message)
    };
    Ruling {
        allowed: false,
        reasons: findings.into_iter().map(problem).collect(),
        undecided: false,
    }
}
