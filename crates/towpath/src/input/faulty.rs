//! Workloads with mistakes: a platform may find more in the rest of them, and all are told at once.

use std::collections::{BTreeMap, BTreeSet};

use delivery::{
    api::NewDeployment,
    score::{self, Limits},
};
use kernel::Problem;

use super::workloads::{Request, folder, images, mistakes};
use crate::failure::Failure;

/// Why files are not ready to be sent.
#[derive(Debug)]
pub(crate) enum Unready {
    /// They cannot be read.
    Failed(Failure),
    /// They have mistakes.
    Faulty(Box<Faulty>),
}

/// Files with mistakes.
#[derive(Debug)]
pub(crate) struct Faulty {
    problems: Vec<Problem>,
    /// The workloads without their mistakes.
    rest: Request,
    /// By workload, what was taken out with them.
    left_out: BTreeMap<String, Vec<String>>,
    /// Whether a resource is among these.
    lacks_resources: bool,
    /// Whether every workload, and all that they serve, is in the rest.
    serves_all: bool,
}

impl Faulty {
    /// `problems` are those of `documents` and `drafts`, which `given` images were meant for.
    pub(super) fn new(
        input: score::Input,
        mut documents: Vec<score::Document>,
        drafts: &[score::Draft],
        given: &[String],
        problems: Vec<Problem>,
    ) -> Self {
        let mut left_out = BTreeMap::new();
        let mut rests = Vec::new();
        let whole = documents.iter().map(|it| &it.workload.metadata.name);
        let whole: BTreeSet<String> = whole.cloned().collect();
        for score::Rest {
            document,
            left_out: paths,
        } in drafts.iter().filter_map(score::Draft::rest)
        {
            let name = &document.workload.metadata.name;
            if !whole.contains(name) && left_out.insert(name.clone(), paths).is_none() {
                rests.push(document);
            }
        }
        let serves_all = rests.len() == drafts.len()
            && !left_out.values().flatten().any(|path: &String| {
                matches!(path.as_str(), "service" | "metadata" | "metadata.name")
            });
        let mut out = left_out.values().flatten();
        let lacks_resources = out.any(|path: &String| path.starts_with("resources"));
        // What is wrong with these is told already.
        let _ = images(&mut rests, &[], given);
        for document in &mut rests {
            let folder = folder(document.file());
            let _ = score::inline_sources(document, &folder, &Limits::default());
        }
        documents.extend(rests);
        Self {
            problems,
            rest: Request::new(input, documents),
            left_out,
            lacks_resources,
            serves_all,
        }
    }

    /// The rest of the workloads, to ask a platform what is wrong with it: it is not what was meant, and never to
    /// be deployed.
    pub(crate) fn body(&mut self) -> &mut NewDeployment {
        &mut self.rest.body
    }

    /// The mistakes, and those that the platform refuses the rest for.
    pub(crate) fn with(mut self, error: client::Error) -> Failure {
        let mut found = self.rest.failure(error);
        let found = std::mem::take(&mut found.problems);
        let judged = found.into_iter().filter(|problem| self.judges(problem));
        let judged: Vec<Problem> = judged.collect();
        self.problems.extend(judged);
        self.into()
    }

    /// Whether a problem of the rest is one of the whole: it does not come from what was taken out.
    fn judges(&self, problem: &Problem) -> bool {
        let leads_nowhere = [
            "resource/no-port",
            "resource/no-workload",
            "resource/udp-port",
        ];
        let rule = problem.rule.as_str();
        if rule == "score/source" || leads_nowhere.contains(&rule) && !self.serves_all {
            return false;
        }
        // The volume may be there that one names: taken out, it is missed, or another is taken for it.
        if rule == "score/volume" && self.lacks_resources {
            return false;
        }
        let path = problem.path.strip_prefix("workloads.");
        let path = path.unwrap_or(&problem.path);
        // No workload's name has a dot.
        let Some((workload, below)) = path.split_once('.') else {
            return true;
        };
        let is_of = |out: &String| {
            let rest = below.strip_prefix(out.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut out = self.left_out.get(workload).into_iter().flatten();
        !out.any(is_of)
    }
}

impl From<Faulty> for Failure {
    fn from(faulty: Faulty) -> Self {
        mistakes(&faulty.rest, faulty.problems)
    }
}

impl From<Box<Faulty>> for Failure {
    fn from(faulty: Box<Faulty>) -> Self {
        (*faulty).into()
    }
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Unready> for Failure {
    fn from(unready: Unready) -> Self {
        match unready {
            Unready::Failed(failure) => failure,
            Unready::Faulty(faulty) => faulty.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::{Changes, File, workloads};
    use super::*;

    #[test]
    fn thousands_of_faulty_documents_take_no_longer_each() {
        /// Beyond what they take on a busy machine; read again for each, they took a minute.
        const LONG: Duration = Duration::from_secs(20);
        let documents = 5_000;
        let text: String = (0..documents)
            .map(|n| {
                format!(
                    "---\napiVersion: score.dev/v1b1\nmetadata:\n  name: app{n}\ncontainers:\n  web:\n    \
                     image: x\nresources:\n  db:\n    typ: x\n"
                )
            })
            .collect();
        let file = File {
            name: "many.yaml".into(),
            bytes: text.into(),
        };
        let begun = Instant::now();
        let mut faulty = workloads(vec![file], Changes::default()).unwrap_err();
        assert_eq!(faulty.body().workloads.len(), documents);
        let refused = |n| {
            let path = format!("workloads.app{n}.containers.web.image");
            Problem::new("engine/program", path, "it is an image")
        };
        let refused = client::ProblemDocument {
            status: 422,
            problems: (0..documents).map(refused).collect(),
            ..client::ProblemDocument::default()
        };
        let failure = faulty.with(client::Error::Refused(Box::new(refused)));
        let mut problems = failure.problems.iter();
        let last = problems.rfind(|it| it.rule == "engine/program").unwrap();
        assert_eq!(last.location.as_ref().unwrap().line, documents * 10 - 3);
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    }
}
