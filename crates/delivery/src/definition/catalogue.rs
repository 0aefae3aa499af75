//! Which definition meets a need: the most specific of those whose criteria hold.
//!
//! A criterion holds where everything that it names holds. Of several that hold, the one that names
//! the rarer thing wins; the order is fixed, so that the answer can be explained:
//!
//! | rank | named | example |
//! |---|---|---|
//! | 1 | `id` | this one shared cache |
//! | 2 | `workload` | this workload's |
//! | 3 | `environment` | in this environment |
//! | 4 | `team` | this team's |
//! | 5 | `role` | in every production environment |
//! | 6 | `class` | of class `large` |
//! | 7 | `labels` | more labels before fewer |
//!
//! Two definitions are compared rank by rank: the first rank at which one names something and the
//! other does not decides. Equal at every rank is an ambiguity, which is an error.

use std::collections::BTreeMap;

use kernel::Problem;
use serde::{Deserialize, Serialize};

use super::explain::{Candidate, Explanation, Judged};
use crate::model::{Criterion, DefinitionRef, NodeId, ResourceDefinitionSpec};

/// The definitions in force in an environment, each at one revision.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    definitions: BTreeMap<String, Revision>,
}

/// A revision of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Its number, from 1.
    pub revision: u64,
    /// What it says.
    pub spec: ResourceDefinitionSpec,
}

/// What a resource is asked for in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// The resource type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The class.
    pub class: String,
    /// The id.
    pub id: String,
    /// The environment.
    pub environment: String,
    /// Its role.
    pub role: String,
    /// Its team.
    pub team: String,
    /// The workload that asks; none for what is shared by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Labels of the environment and annotations of the resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Context {
    /// The same environment, for another resource.
    pub(super) fn of_node(&self, node: &NodeId, workload: Option<&str>) -> Self {
        Self {
            resource_type: node.resource_type.clone(),
            class: node.class.clone(),
            id: node.id.clone(),
            workload: workload.map(Into::into),
            ..self.clone()
        }
    }
}

/// How specific a criterion is, rank by rank.
type Specificity = [usize; 7];

impl Catalogue {
    /// A catalogue of these definitions, by name.
    pub fn new(definitions: BTreeMap<String, Revision>) -> Self {
        Self { definitions }
    }

    /// What `definition` says, where that revision is in force here.
    pub fn get(&self, definition: &DefinitionRef) -> Option<&ResourceDefinitionSpec> {
        let found = self.definitions.get(&definition.name)?;
        (found.revision == definition.revision).then_some(&found.spec)
    }

    /// The definitions of a resource type, by name.
    pub(super) fn of_type<'c>(
        &'c self,
        resource_type: &'c str,
    ) -> impl Iterator<Item = (&'c str, &'c ResourceDefinitionSpec)> {
        let all = self
            .definitions
            .iter()
            .map(|(name, held)| (name.as_str(), &held.spec));
        all.filter(move |(_, spec)| spec.resource_type == resource_type)
    }

    /// Names and revisions of the definitions in force.
    pub fn revisions(&self) -> impl Iterator<Item = (&str, u64)> {
        self.definitions
            .iter()
            .map(|(name, held)| (name.as_str(), held.revision))
    }

    /// The definition that meets a need, or what stands in its way.
    pub fn find(
        &self,
        context: &Context,
    ) -> Result<(DefinitionRef, &ResourceDefinitionSpec), Problem> {
        let explanation = self.explain(context);
        let chosen = explanation
            .chosen
            .as_ref()
            .and_then(|chosen| Some((chosen.clone(), &self.definitions.get(&chosen.name)?.spec)));
        chosen.ok_or_else(|| explanation.problem())
    }

    /// Every definition of the type, whether it holds and why, and which is chosen.
    pub fn explain(&self, context: &Context) -> Explanation {
        let mut candidates = Vec::new();
        let mut best: Vec<(Specificity, DefinitionRef)> = Vec::new();
        for (name, Revision { revision, spec }) in &self.definitions {
            if spec.resource_type != context.resource_type {
                continue;
            }
            let definition = DefinitionRef {
                name: name.clone(),
                revision: *revision,
            };
            let all: Vec<_> = if spec.criteria.is_empty() {
                vec![Criterion::default()]
            } else {
                spec.criteria.clone()
            };
            let judged: Vec<_> = all
                .into_iter()
                .map(|criterion| judge(criterion, context))
                .collect();
            let top = judged
                .iter()
                .filter(|j| j.holds)
                .map(|j| specificity(&j.criterion))
                .max();
            if let Some(top) = top {
                match best.first().map(|(held, _)| top.cmp(held)) {
                    Some(std::cmp::Ordering::Less) => {}
                    Some(std::cmp::Ordering::Equal) => best.push((top, definition.clone())),
                    _ => best = vec![(top, definition.clone())],
                }
            }
            candidates.push(Candidate {
                definition,
                holds: top.is_some(),
                learn: spec.learn.clone(),
                criteria: judged,
            });
        }
        let mut leaders: Vec<_> = best.into_iter().map(|(_, definition)| definition).collect();
        let chosen = (leaders.len() == 1).then(|| leaders.remove(0));
        let types = self
            .definitions
            .values()
            .map(|d| d.spec.resource_type.clone());
        Explanation {
            context: context.clone(),
            candidates,
            chosen,
            rivals: leaders,
            params: Vec::new(),
            outputs: Vec::new(),
            known_types: types
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect(),
        }
    }
}

fn specificity(criterion: &Criterion) -> Specificity {
    [
        usize::from(criterion.id.is_some()),
        usize::from(criterion.workload.is_some()),
        usize::from(criterion.environment.is_some()),
        usize::from(criterion.team.is_some()),
        usize::from(criterion.role.is_some()),
        usize::from(criterion.class.is_some()),
        criterion.labels.len(),
    ]
}

fn judge(criterion: Criterion, context: &Context) -> Judged {
    let workload = context.workload.clone().unwrap_or_default();
    let fields = [
        ("id", &criterion.id, &context.id),
        ("workload", &criterion.workload, &workload),
        ("environment", &criterion.environment, &context.environment),
        ("team", &criterion.team, &context.team),
        ("role", &criterion.role, &context.role),
        ("class", &criterion.class, &context.class),
    ];
    let mut failed = Vec::new();
    for (name, wanted, found) in fields {
        if let Some(wanted) = wanted
            && wanted != found
        {
            let found = if found.is_empty() { "none" } else { found };
            failed.push(format!("{name} is {found}, not {wanted}"));
        }
    }
    for (name, wanted) in &criterion.labels {
        match context.labels.get(name) {
            Some(found) if found == wanted => {}
            Some(found) => failed.push(format!("label {name} is {found}, not {wanted}")),
            None => failed.push(format!("label {name} is not set")),
        }
    }
    Judged {
        criterion,
        holds: failed.is_empty(),
        failed,
    }
}
