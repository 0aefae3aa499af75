//! Why a definition was chosen, for `towpath explain` and for errors.

use std::fmt::Write as _;

use kernel::Problem;
use serde::{Deserialize, Serialize};

use super::{Catalogue, Context, Given, unread::read_by};
use crate::{
    model::{Criterion, DefinitionRef},
    score::suggest::nearest,
};

/// The rule that one definition meets a need better than all others.
pub(super) const AMBIGUOUS: &str = "definition/ambiguous";

/// Every definition of a type, whether it holds in a context and why, and which is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What was asked.
    pub context: Context,
    /// Every definition of the type, by name.
    pub candidates: Vec<Candidate>,
    /// The one that is chosen; none where none holds, or several equally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<DefinitionRef>,
    /// Those that hold equally: the ambiguity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<DefinitionRef>,
    /// The parameters that the chosen one reads, of whoever asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<String>,
    /// The outputs of the chosen one, as far as they are known before it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// The types that there are definitions for.
    pub known_types: Vec<String>,
}

/// A definition, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Which, at which revision.
    pub definition: DefinitionRef,
    /// Whether any of its criteria holds.
    pub holds: bool,
    /// Where people learn to use what it makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<String>,
    /// Its criteria; one that names nothing stands for "everywhere".
    pub criteria: Vec<Judged>,
}

/// A criterion, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// What it names.
    pub criterion: Criterion,
    /// Whether all of that holds.
    pub holds: bool,
    /// What does not, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Explanation {
    /// With what the chosen one of `catalogue` takes and gives.
    #[must_use]
    pub fn with_use(mut self, catalogue: &Catalogue, given: &Given<'_>) -> Self {
        let chosen = self.chosen.as_ref();
        if let Some(spec) = chosen.and_then(|chosen| catalogue.get(chosen)) {
            self.params = read_by(spec).into_iter().collect();
            self.outputs = match given(&spec.provisioner, &spec.params) {
                Some(names) => names.into_iter().collect(),
                None => spec.outputs.clone(),
            };
        }
        self
    }

    /// What stands in the way where nothing was chosen.
    pub(super) fn problem(&self) -> Problem {
        let need = self.need();
        if !self.rivals.is_empty() {
            let rivals: Vec<_> = self
                .rivals
                .iter()
                .map(|rival| self.with_criteria(rival))
                .collect();
            return Problem::new(
                AMBIGUOUS,
                "",
                format!("{need} is met equally well by {}", rivals.join(" and ")),
            )
            .remedy("make the criteria of one of them more specific, or delete one");
        }
        if self.candidates.is_empty() {
            let asked = &self.context.resource_type;
            let problem = Problem::new(
                "definition/unknown-type",
                "",
                format!("nothing here provides resources of type `{asked}`"),
            );
            let known = self.known_types.iter().map(String::as_str);
            return match nearest(asked, known) {
                Some(near) => problem.remedy(format!("did you mean `{near}`?")),
                None => problem.remedy(format!(
                    "use one of {}, or have a platform engineer apply a ResourceDefinition for it",
                    self.known_types.join(", ")
                )),
            };
        }
        let reasons: Vec<_> = self
            .candidates
            .iter()
            .map(|candidate| {
                let why: Vec<_> = candidate
                    .criteria
                    .iter()
                    .map(|judged| judged.failed.join(", "))
                    .collect();
                format!("{} ({})", candidate.definition, why.join("; or "))
            })
            .collect();
        Problem::new(
            "definition/none-holds",
            "",
            format!("{need} is met by no definition: {}", reasons.join("; ")),
        )
        .remedy("ask for another class, or have a platform engineer apply a definition for it")
    }

    fn need(&self) -> String {
        let Context {
            resource_type,
            class,
            id,
            ..
        } = &self.context;
        if id.is_empty() {
            return format!("`{resource_type}` (class {class})");
        }
        format!("`{resource_type}` (class {class}, id {id})")
    }

    fn with_criteria(&self, rival: &DefinitionRef) -> String {
        let held: Vec<_> = self
            .candidates
            .iter()
            .filter(|candidate| candidate.definition == *rival)
            .flat_map(|candidate| candidate.criteria.iter().filter(|judged| judged.holds))
            .map(|judged| describe(&judged.criterion))
            .collect();
        format!("`{rival}` ({})", held.join("; "))
    }

    /// What a Score file may write with the chosen one.
    fn tell_use(&self, text: &mut String) {
        for (what, names, none) in [
            ("params", &self.params, "none"),
            (
                "outputs",
                &self.outputs,
                "none that are known before it is made",
            ),
        ] {
            let told = if names.is_empty() {
                none.to_owned()
            } else {
                names.join(", ")
            };
            let _ = writeln!(text, "    {what}: {told}");
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Context {
            environment,
            role,
            team,
            workload,
            ..
        } = &self.context;
        let workload = workload
            .as_ref()
            .map_or_else(String::new, |name| format!(", for workload {name}"));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}\n  in environment {environment} (role {role}, team {team}){workload}",
            self.need()
        );
        for candidate in &self.candidates {
            let mark = match &self.chosen {
                Some(chosen) if *chosen == candidate.definition => "chosen",
                _ if self.rivals.contains(&candidate.definition) => "rival",
                _ if candidate.holds => "less specific",
                _ => "does not hold",
            };
            let _ = writeln!(text, "\n  {}: {mark}", candidate.definition);
            for judged in &candidate.criteria {
                let sign = if judged.holds { "holds" } else { "fails" };
                let _ = write!(text, "    {sign}: {}", describe(&judged.criterion));
                if !judged.failed.is_empty() {
                    let _ = write!(text, " ({})", judged.failed.join(", "));
                }
                text.push('\n');
            }
            if mark == "chosen" {
                self.tell_use(&mut text);
                if let Some(learn) = &candidate.learn {
                    let _ = writeln!(text, "    learn more: {learn}");
                }
            }
        }
        if self.chosen.is_none() {
            let problem = self.problem();
            let _ = writeln!(text, "\n{}", problem.message);
            if let Some(remedy) = problem.remedy {
                let _ = writeln!(text, "{remedy}");
            }
        }
        text
    }
}

/// What a criterion names, in words.
fn describe(criterion: &Criterion) -> String {
    let fields = [
        ("id", &criterion.id),
        ("workload", &criterion.workload),
        ("environment", &criterion.environment),
        ("team", &criterion.team),
        ("role", &criterion.role),
        ("class", &criterion.class),
    ];
    let mut named: Vec<_> = fields
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)))
        .collect();
    named.extend(
        criterion
            .labels
            .iter()
            .map(|(name, value)| format!("label {name}={value}")),
    );
    if named.is_empty() {
        "everywhere".into()
    } else {
        named.join(", ")
    }
}
