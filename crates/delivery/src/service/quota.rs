//! Quotas: what the workloads of a team's namespace may ask for together, what those of all its other
//! environments may, and how many there may be of all of them.

use std::time::Duration;

use kernel::{Meta, Problem, Query, Record, Resource, Result, Transient};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use teams::model::{Amounts, ContainerDefaults, Cpu, Memory, Namespace, Quota, Team, Usage};

use super::{
    Delivery,
    container_defaults::{completed, remarks},
    deploy::Order,
};
use crate::{
    model::{Environment, Workload},
    score,
};

/// What workloads ask for together.
pub(crate) struct Asked {
    pub(crate) quota: Quota,
    /// Containers that do not say what they need.
    pub(crate) unbounded: usize,
}

/// What these workloads ask for: a request that is not said is the limit, and a limit the request. Where neither is,
/// `defaults` count, as far as something bounds the workloads.
pub(crate) fn asked<'a>(
    workloads: impl IntoIterator<Item = &'a score::Workload>,
    defaults: Option<&ContainerDefaults>,
) -> Asked {
    let mut sum = Asked {
        quota: Quota::NONE,
        unbounded: 0,
    };
    for container in workloads.into_iter().flat_map(|w| w.containers.values()) {
        let said = container.resources.clone().unwrap_or_default();
        let one = asked_by(&said);
        sum.unbounded += usize::from(one == Quota::NONE);
        let counts = defaults.map_or(one, |defaults| asked_by(&completed(&said, defaults)));
        sum.quota = sum.quota.plus(&counts);
    }
    sum
}

/// What one container asks for.
fn asked_by(said: &score::Compute) -> Quota {
    let (request, limit) = said.amounts();
    let amounts = |cpu: Option<u64>, memory: Option<u64>| Amounts {
        cpu: Cpu(cpu.unwrap_or(0)),
        memory: Memory(memory.unwrap_or(0)),
    };
    Quota {
        requests: amounts(
            request.cpu_millis.or(limit.cpu_millis),
            request.memory_bytes.or(limit.memory_bytes),
        ),
        limits: amounts(
            limit.cpu_millis.or(request.cpu_millis),
            limit.memory_bytes.or(request.memory_bytes),
        ),
    }
}

/// How long it is known which deployment was counted last: longer than any takes from there to its commit.
const COUNTED: Duration = Duration::from_mins(10);

/// The last deployment that asks for more of what a team has beside its namespaces, or for more workloads. Each is
/// committed over the one that was there when the team's workloads were read, so that of two that were counted beside
/// each other one fails, and is counted anew. Named by the team.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Where it went.
    environment: String,
}

impl Transient for Counted {
    const KIND: &'static str = "team-counted";

    fn called(team: &str) -> String {
        format!("the workloads of team `{team}`")
    }
}

/// What a deployment comes to, of what its team may ask for.
#[derive(Default)]
pub(super) struct Sum {
    /// What is beyond.
    pub(super) problems: Vec<Problem>,
    /// Where it comes near the end, and what counts by default.
    pub(super) warnings: Vec<String>,
    /// Where it comes near the end of what all environments of the team beside its namespaces may ask for, or of how
    /// many workloads it may have, and was not before: told with the deployment, for of these nobody else counts
    /// together.
    pub(super) news: Option<Value>,
    /// To be kept with the deployment, where others could be counted beside it.
    pub(super) counted: Option<Record<Counted>>,
}

/// What bounds workloads together, and those who share in it.
struct Bound<'a> {
    /// What it is of: "namespace `payments-dev`".
    of: String,
    rule: &'static str,
    most: &'a Quota,
    remedy: String,
    /// What is asked for now, by what the deployment replaces as well.
    now: Quota,
    /// What is asked for by what it leaves as it is.
    others: Quota,
    /// What counts for containers that do not say.
    defaults: ContainerDefaults,
}

/// What bounds how many workloads a team has.
struct Count<'a> {
    team: &'a str,
    most: u64,
    /// How many there are.
    there: u64,
    /// What the deployment adds: of what is there, another release is none.
    added: Vec<&'a str>,
}

/// What of a team's allowance is nearly taken since a deployment: part by part, with what is taken and what there is.
struct News {
    parts: Vec<String>,
    asked: Value,
    allowance: Value,
}

impl News {
    /// What is told; none: nothing is news.
    fn told(self) -> Option<Value> {
        let Self {
            parts,
            asked,
            allowance,
        } = self;
        (!parts.is_empty()).then(|| {
            json!({
                "parts": parts,
                "asked": asked,
                "allowance": allowance,
                "from": format!("{} %", Usage::WARNING),
            })
        })
    }
}

impl Delivery {
    /// What a deployment would ask for beyond the quota of the namespace that the environment backs, or
    /// else beyond what all others of its team may ask for, and beyond how many workloads the team may have; and
    /// where it would come near the end.
    pub(super) async fn check_quota(
        &self,
        environment: &Resource<Environment>,
        order: &Order,
        running: &[Resource<Workload>],
    ) -> Result<Sum> {
        let (name, team) = (&environment.meta.name, &environment.spec.team);
        let all = self.store.list_all(&Query::scope(team)).await?;
        let backing = |one: &Resource<Namespace>| one.status.environment.is_some();
        let backed: Vec<Resource<Namespace>> = all.into_iter().filter(backing).collect();
        let stays = |workload: &&Resource<Workload>| {
            let replaced =
                workload.meta.scope == *name && order.workloads.contains_key(&workload.meta.name);
            !workload.is_deleting() && !replaced
        };
        let count = |workloads: &mut dyn Iterator<Item = &Resource<Workload>>,
                     defaults: &ContainerDefaults| {
            asked(
                workloads.map(|workload| &workload.spec.score),
                Some(defaults),
            )
            .quota
        };
        let backs = |one: &&Resource<Namespace>| {
            one.meta.name == *name && one.status.environment == Some(environment.meta.uid)
        };
        let namespace = backed.iter().find(backs);
        let mut sum = Sum::default();
        if let Some(namespace) = namespace {
            let defaults = namespace.spec.defaults();
            let bound = Bound {
                of: format!("namespace `{name}`"),
                rule: "namespace/quota",
                most: &namespace.spec.quota,
                remedy: format!(
                    "ask for less, delete what is not needed, or raise the quota: `towpath namespace quota \
                     {name} --team {team}`, up to the team's allowance"
                ),
                now: count(&mut running.iter(), &defaults),
                others: count(&mut running.iter().filter(stays), &defaults),
                defaults,
            };
            // Each deployment to it changes the environment: of what it asks for none is counted beside another.
            (sum.problems, sum.warnings, _) = bound.check(order);
        }
        let added = added(order, running);
        if namespace.is_some() && added.is_empty() {
            return Ok(sum);
        }
        let registered = self.store.get::<Team>("", team).await?;
        let Some(registered) = registered.filter(|team| team.spec.is_registered()) else {
            return Ok(sum);
        };
        let allowance = &registered.spec.allowance;
        // Before the workloads are read: what is counted meanwhile is found by the commit.
        let counted = self.store.record::<Counted>(team).await?;
        let query = Query {
            labels: [(Meta::TEAM.to_owned(), team.clone())].into(),
            ..Query::default()
        };
        let theirs = self.store.list_all::<Workload>(&query).await?;
        let mut asks_for_more = !added.is_empty();
        let mut news = News {
            parts: vec![],
            asked: json!({}),
            allowance: json!({}),
        };
        if namespace.is_none() {
            let is_beside = |one: &&Resource<Workload>| {
                let mut rooms = backed.iter();
                rooms.all(|room| room.meta.name != one.meta.scope)
            };
            let beside: Vec<&Resource<Workload>> = theirs.iter().filter(is_beside).collect();
            let defaults = ContainerDefaults::default();
            let bound = Bound {
                of: format!("what team `{team}` has beside its namespaces"),
                rule: "team/allowance",
                most: &allowance.environments,
                remedy: format!(
                    "ask for less, end an environment that is not needed, deploy to a namespace, or have a \
                     platform engineer raise the allowance of team `{team}` (spec.allowance.environments)"
                ),
                now: count(&mut beside.iter().copied(), &defaults),
                others: count(&mut beside.iter().copied().filter(stays), &defaults),
                defaults,
            };
            (sum.problems, sum.warnings, news.parts) = bound.check(order);
            if !news.parts.is_empty() {
                news.asked = json!(bound.others.plus(&bound.wanted(order)));
                news.allowance = json!(bound.most);
            }
            asks_for_more |= bound.asks_for_more(order);
        }
        let there = theirs.iter().filter(|one| !one.is_deleting()).count();
        let workloads = Count {
            team,
            most: allowance.workloads.into(),
            there: number(there),
            added,
        };
        workloads.check(&mut sum, &mut news);
        sum.news = news.told();
        sum.counted = asks_for_more.then(|| {
            let expires = self.now() + COUNTED;
            let environment = name.clone();
            let version = counted.map_or(0, |record| record.version);
            Record {
                version,
                ..Record::new(team.as_str(), expires, Counted { environment })
            }
        });
        Ok(sum)
    }
}

/// The workloads of `order` that are not among those that run.
fn added<'a>(order: &'a Order, running: &[Resource<Workload>]) -> Vec<&'a str> {
    let is_there = |name: &str| {
        let mut running = running.iter();
        running.any(|one| one.meta.name == name && !one.is_deleting())
    };
    let names = order.workloads.keys().map(String::as_str);
    names.filter(|name| !is_there(name)).collect()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Count<'_> {
    const PART: &'static str = "workloads";

    /// Says in `sum` what is beyond, or comes near the end, and in `news` that it did not before.
    fn check(&self, sum: &mut Sum, news: &mut News) {
        let Self {
            team,
            most,
            there,
            added,
        } = self;
        let total = there + number(added.len());
        let Some(first) = added.first() else {
            // The bound was lowered below what there is: releases of that may be deployed.
            return;
        };
        if total > *most {
            let new = added.join(", ");
            let message = format!(
                "team `{team}` would have {total} workloads, and its allowance is {most}: it has {there}, and {new} \
                 would be new"
            );
            let remedy = format!(
                "delete workloads or end environments that are not needed, or have a platform engineer raise the \
                 allowance: `towpath team change {team} --allowance workloads=NUMBER`"
            );
            // At one of them, since it is to stand somewhere.
            let path = format!("workloads.{first}");
            let problem = Problem::new("team/allowance", path, message);
            sum.problems.push(problem.remedy(remedy));
        } else if Usage::is_near(total, *most) {
            sum.warnings.push(format!(
                "team `{team}` will have {total} of its {most} workloads"
            ));
            if !Usage::is_near(*there, *most) {
                news.parts.push(Self::PART.to_owned());
                news.asked[Self::PART] = total.into();
                news.allowance[Self::PART] = (*most).into();
            }
        }
    }
}

impl Bound<'_> {
    /// What `order` asks for.
    fn wanted(&self, order: &Order) -> Quota {
        asked(order.workloads.values(), Some(&self.defaults)).quota
    }

    /// Whether `order` asks for more of anything than what it replaces.
    fn asks_for_more(&self, order: &Order) -> bool {
        let sum = self.others.plus(&self.wanted(order));
        let (sum, now) = (sum.parts(), self.now.parts());
        sum.into_iter().zip(now).any(|(sum, now)| sum.1 > now.1)
    }

    /// What of `order` is beyond it; what counts by default, and where it comes near its end; and the parts of
    /// which it did not before.
    fn check(&self, order: &Order) -> (Vec<Problem>, Vec<String>, Vec<String>) {
        let wanted = self.wanted(order);
        let sum = self.others.plus(&wanted);
        let part = |of: &Quota, name: &str| of.parts().into_iter().find(|part| part.0 == name);
        let mut problems = Vec::new();
        for (what, total, most) in sum.beyond(self.most) {
            let more = part(&sum, what).map(|p| p.1) > part(&self.now, what).map(|p| p.1);
            if !more {
                // It was lowered below what runs: what asks for no more may be deployed.
                continue;
            }
            let text = |of: &Quota| part(of, what).map(|p| p.2).unwrap_or_default();
            let counts = |score: &score::Workload, defaults: Option<&ContainerDefaults>| {
                let part = part(&asked([score], defaults).quota, what);
                part.map_or(0, |part| part.1)
            };
            let (mut who, mut called) = (Vec::new(), Vec::new());
            for (workload, score) in &order.workloads {
                let amount = counts(score, Some(&self.defaults));
                if amount > 0 {
                    who.push(workload.as_str());
                    let by_default = counts(score, None) != amount;
                    called.push(format!(
                        "{workload}{}",
                        if by_default { " (by default)" } else { "" }
                    ));
                }
            }
            let message = format!(
                "{} would have {total} of {what}, and its quota is {most}: {} asks for {}, the other \
                 workloads for {}, and {} is left",
                self.of,
                called.join(", "),
                text(&wanted),
                text(&self.others),
                left(self.most, &self.others, what),
            );
            // At one of them, since it is to stand somewhere. Where nobody asks for any, nothing is beyond.
            let path = format!("workloads.{}", who.first().copied().unwrap_or_default());
            problems.push(Problem::new(self.rule, path, message).remedy(self.remedy.clone()));
        }
        let near = Usage::near(&sum, self.most);
        let mut warnings = order.defaulted.clone();
        let each = order.workloads.iter();
        warnings.extend(each.flat_map(|(name, score)| remarks(name, score, &self.defaults)));
        let ends = near
            .iter()
            .filter(|_| problems.is_empty())
            .filter_map(|what| Some((what, part(&sum, what)?.2, part(self.most, what)?.2)))
            .map(|(what, total, most)| {
                format!("{} will have {total} of its {most} of {what}", self.of)
            });
        warnings.extend(ends);
        let before = Usage::near(&self.now, self.most);
        let news = near.into_iter().filter(|what| !before.contains(what));
        (problems, warnings, news.collect())
    }
}

/// What of one part of `quota` is left beside what the others ask for.
fn left(quota: &Quota, others: &Quota, what: &str) -> String {
    let take = |most: u64, used: u64| most.saturating_sub(used);
    let rest = |most: &Amounts, used: &Amounts| Amounts {
        cpu: Cpu(take(most.cpu.0, used.cpu.0)),
        memory: Memory(take(most.memory.0, used.memory.0)),
    };
    let rest = Quota {
        requests: rest(&quota.requests, &others.requests),
        limits: rest(&quota.limits, &others.limits),
    };
    let parts = rest.parts().into_iter();
    let mut text = parts.filter(|part| part.0 == what).map(|part| part.2);
    text.next().unwrap_or_default()
}
