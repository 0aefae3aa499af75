//! Workloads with mistakes: a platform may find more in the rest of them, and all are told at once.

use std::collections::BTreeMap;

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
        for score::Rest {
            document,
            left_out: paths,
        } in drafts.iter().filter_map(score::Draft::rest)
        {
            let name = &document.workload.metadata.name;
            if documents
                .iter()
                .all(|it| it.workload.metadata.name != *name)
                && left_out.insert(name.clone(), paths).is_none()
            {
                rests.push(document);
            }
        }
        let serves_all = rests.len() == drafts.len()
            && !left_out.values().flatten().any(|path: &String| {
                matches!(path.as_str(), "service" | "metadata" | "metadata.name")
            });
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
        let mut out = self.left_out.values().flatten();
        if rule == "score/volume" && out.any(|path| path.starts_with("resources")) {
            return false;
        }
        let path = problem.path.strip_prefix("workloads.");
        let path = path.unwrap_or(&problem.path);
        !self.left_out.iter().any(|(workload, paths)| {
            let below = path
                .strip_prefix(workload.as_str())
                .and_then(|rest| rest.strip_prefix('.'));
            let is_of = |out: &String| {
                let rest = below.and_then(|below| below.strip_prefix(out.as_str()));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            paths.iter().any(is_of)
        })
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
