//! Score files, made ready to be sent: read, changed, and with what lies beside them taken in.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use delivery::{
    api::NewDeployment,
    plan::Plan,
    score::{self, Limits},
};
use kernel::{Location, Problem};

use super::{File, Texts, faulty::Faulty};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// What is changed in workloads before they are sent.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// `[WORKLOAD:]PATH=VALUE`
    pub(crate) overrides: Vec<String>,
    /// Files that are laid over.
    pub(crate) override_files: Vec<File>,
    /// `[NAME=]IMAGE`: NAME is a container, or a workload and a container as `WORKLOAD.CONTAINER`.
    pub(crate) images: Vec<String>,
}

/// Workloads that are ready to be sent.
#[derive(Debug)]
pub(crate) struct Request {
    /// What is sent.
    pub(crate) body: NewDeployment,
    documents: Vec<score::Document>,
    /// Which of them each workload is, by name: of two with one name the first.
    by_name: BTreeMap<String, usize>,
    input: score::Input,
}

impl Request {
    /// `documents`, which were read of `input`.
    pub(super) fn new(input: score::Input, documents: Vec<score::Document>) -> Self {
        let workloads = documents.iter().map(|document| {
            let value = serde_json::to_value(&document.workload).expect("our own types are JSON");
            (document.workload.metadata.name.clone(), value)
        });
        let body = NewDeployment {
            workloads: workloads.collect(),
            ..NewDeployment::default()
        };
        let mut by_name = BTreeMap::new();
        for (index, document) in documents.iter().enumerate() {
            let name = &document.workload.metadata.name;
            by_name.entry(name.clone()).or_insert(index);
        }
        Self {
            body,
            documents,
            by_name,
            input,
        }
    }

    /// Says of the remarks of a plan where in the files each is of: the platform knows the field alone.
    pub(crate) fn place(&self, plan: &mut Plan) {
        for remark in &mut plan.warnings {
            let placed = remark.split_once(": ").and_then(|(path, words)| {
                let (_, below) = path.split_once('.')?;
                let at = is_of_score(below).then(|| self.locate(&format!("workloads.{path}")));
                let Location {
                    file, line, column, ..
                } = at.flatten()?;
                Some(format!("{file}:{line}:{column}: {words}"))
            });
            if let Some(placed) = placed {
                *remark = placed;
            }
        }
    }

    /// The platform's refusal, with the places in the files that it speaks of.
    pub(crate) fn failure(&self, error: client::Error) -> Failure {
        let mut failure: Failure = error.into();
        for problem in &mut failure.problems {
            if problem.location.is_none() {
                problem.location = self.locate(&problem.path);
            }
        }
        let texts = texts(&self.input, &failure.problems);
        failure.sources(texts)
    }

    /// Where `path` stands: within the workload that it names, else within the only one.
    fn locate(&self, path: &str) -> Option<Location> {
        let of_workload = |path: &'_ str| {
            let (name, below) = path.split_once('.').unwrap_or((path, ""));
            self.documents[*self.by_name.get(name)?].locate(below)
        };
        if let Some(rest) = path.strip_prefix("workloads.") {
            return of_workload(rest);
        }
        match &self.documents[..] {
            [only] if is_of_score(path) => only.locate(path),
            // A resource, by who asks for it: `notes.resources.db`. The first, where several do.
            _ => of_workload(path.split(", ").next()?),
        }
    }
}

/// Whether `path` begins with a field of a workload.
fn is_of_score(path: &str) -> bool {
    let first = path.split(['.', '[']).next().unwrap_or_default();
    [
        "apiVersion",
        "metadata",
        "service",
        "containers",
        "resources",
    ]
    .contains(&first)
}

/// Reads `files`, with everything that is wrong with any of them told at once.
pub(crate) fn workloads(files: Vec<File>, changes: Changes) -> Result<Request, Box<Faulty>> {
    let limits = Limits::default();
    let input = score::Input {
        files: files.into_iter().map(source).collect(),
        overrides_files: changes.override_files.into_iter().map(source).collect(),
        overrides: changes.overrides,
        image: None,
    };
    let score::Examined {
        mut documents,
        drafts,
        mut problems,
    } = score::examine(&input, &limits);
    problems.extend(images(&mut documents, &drafts, &changes.images));
    for document in &mut documents {
        let folder = folder(document.file());
        if let Err(found) = score::inline_sources(document, &folder, &limits) {
            problems.extend(found);
        }
    }
    for draft in &drafts {
        problems.extend(draft.check_sources(&folder(draft.file()), &limits));
    }
    if problems.is_empty() {
        Ok(Request::new(input, documents))
    } else {
        let faulty = Faulty::new(input, documents, &drafts, &changes.images, problems);
        Err(Box::new(faulty))
    }
}

fn source(file: File) -> score::Source {
    score::Source {
        name: file.name,
        bytes: file.bytes,
    }
}

/// Where a workload's file lies: what it names is looked for there.
pub(super) fn folder(file: &str) -> PathBuf {
    let parent = Path::new(file).parent();
    parent.unwrap_or(Path::new("")).to_owned()
}

/// The texts that the problems point into.
fn texts(input: &score::Input, problems: &[Problem]) -> Texts {
    let names: BTreeSet<&String> = problems
        .iter()
        .filter_map(|problem| Some(&problem.location.as_ref()?.file))
        .collect();
    names
        .into_iter()
        .filter_map(|name| Some((name.clone(), input.text(name)?)))
        .collect()
}

/// That what `request` was read of has these mistakes.
pub(super) fn mistakes(request: &Request, problems: Vec<Problem>) -> Failure {
    let message = match problems.len() {
        1 => "the workloads cannot be deployed: there is 1 mistake".to_owned(),
        many => format!("the workloads cannot be deployed: there are {many} mistakes"),
    };
    let texts = texts(&request.input, &problems);
    Failure::new(Exit::Invalid, message)
        .problems(problems)
        .sources(texts)
}

/// Puts the images in, and makes the paths of programs absolute: those of the command line are
/// relative to the working directory, those of a file to the file. One that is meant for a draft is no
/// mistake.
pub(super) fn images(
    documents: &mut [score::Document],
    drafts: &[score::Draft],
    images: &[String],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for document in documents.iter_mut() {
        let folder = folder(document.file());
        for container in document.workload.containers.values_mut() {
            container.image = absolute(&container.image, &folder);
        }
    }
    for given in images {
        let (name, image) = match given.split_once('=') {
            Some((name, image)) if !name.contains(['/', ':', '@']) => (Some(name), image),
            _ => (None, given.as_str()),
        };
        // What is a file here is meant as that file, also where it could be a reference.
        let image = if Path::new(image).is_file() {
            whole(Path::new(image), image)
        } else {
            absolute(image, Path::new(""))
        };
        let is_of_draft = |draft: &score::Draft| match name {
            Some(name) => draft.containers().any(|container| {
                name == container || name == format!("{}.{container}", draft.name())
            }),
            None => true,
        };
        let mut fits = drafts.iter().filter(|draft| is_of_draft(draft)).count();
        let single = documents
            .iter()
            .map(|d| d.workload.containers.len())
            .sum::<usize>()
            == 1;
        for document in documents.iter_mut() {
            let workload = document.workload.metadata.name.clone();
            for (container_name, container) in &mut document.workload.containers {
                let wanted = match name {
                    Some(name) => {
                        name == container_name || name == format!("{workload}.{container_name}")
                    }
                    None => single || container.image == ".",
                };
                if wanted {
                    container.image.clone_from(&image);
                    fits += 1;
                }
            }
        }
        if fits == 0 {
            let wrong = match name {
                Some(name) => format!("there is no container `{name}` for --image"),
                None => {
                    "--image does not say for which container, and none has the image `.`".into()
                }
            };
            problems.push(
                Problem::new("cli/image", "", wrong)
                    .remedy("write --image CONTAINER=IMAGE, or WORKLOAD.CONTAINER=IMAGE"),
            );
        }
    }
    for document in documents.iter_mut() {
        let folder = folder(document.file());
        for container in document.workload.containers.values_mut() {
            program(container, &folder);
        }
    }
    problems
}

/// Makes the path of the program that a command begins with absolute, as that of `image` is, where the container
/// runs a program of this machine. Not one that the workload brings itself, which is in its working directory; and
/// not one of an image, which is in that.
fn program(container: &mut score::Container, folder: &Path) {
    let is_of_machine = container.image == "." || container.image.starts_with('/');
    let Some(first) = container.command.first().filter(|_| is_of_machine) else {
        return;
    };
    if !container.brings(first) {
        container.command[0] = absolute(first, folder);
    }
}

/// An image that is a path of a program, absolute; any other as it is.
fn absolute(image: &str, folder: &Path) -> String {
    let is_path = image.starts_with("./") || image.starts_with("../");
    if !is_path {
        return image.to_owned();
    }
    whole(&folder.join(image), image)
}

/// `path` from the root on; `image` as it was given where there is no working directory.
fn whole(path: &Path, image: &str) -> String {
    std::path::absolute(path).map_or_else(|_| image.to_owned(), |path| normal(&path))
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> String {
    use std::path::Component;
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    whole.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{context::Terminal, render};

    fn file(name: &str, text: &str) -> File {
        File {
            name: name.into(),
            bytes: text.into(),
        }
    }

    fn score(name: &str, containers: &[(&str, &str)]) -> String {
        let text = format!("apiVersion: score.dev/v1b1\nmetadata:\n  name: {name}\ncontainers:\n");
        containers.iter().fold(text, |text, (name, image)| {
            format!("{text}  {name}:\n    image: \"{image}\"\n")
        })
    }

    fn images_of(files: Vec<File>, images: &[&str]) -> Result<Vec<String>> {
        let images: Vec<String> = images.iter().map(ToString::to_string).collect();
        let request = workloads(
            files,
            Changes {
                images,
                ..Changes::default()
            },
        )?;
        let all = request
            .documents
            .iter()
            .flat_map(|d| d.workload.containers.values());
        Ok(all.map(|container| container.image.clone()).collect())
    }

    #[test]
    fn images_go_where_they_are_meant_to() {
        let two = || {
            vec![
                file("a.yaml", &score("aa", &[("side", "x:1"), ("web", ".")])),
                file("b.yaml", &score("bb", &[("web", "y:1")])),
            ]
        };
        let all = |images: &[&str]| images_of(two(), images).unwrap();
        assert_eq!(all(&["z:2"]), ["x:1", "z:2", "y:1"]);
        assert_eq!(all(&["web=z:2"]), ["x:1", "z:2", "z:2"]);
        assert_eq!(all(&["bb.web=z:2", "side=w"]), ["w", ".", "z:2"]);
        assert_eq!(
            images_of(two(), &["db=z:2"]).unwrap_err().problems[0].rule,
            "cli/image"
        );
        let one = vec![file("b.yaml", &score("bb", &[("web", "y:1")]))];
        assert_eq!(
            images_of(one, &["z@sha256:00=="]).unwrap(),
            ["z@sha256:00=="]
        );
    }

    #[test]
    fn paths_of_programs_are_absolute() {
        let one = vec![file(
            "/srv/app/score.yaml",
            &score("aa", &[("side", "../bin/side"), ("web", ".")]),
        )];
        let here = std::env::current_dir()
            .unwrap()
            .join("target/web")
            .display()
            .to_string();
        assert_eq!(
            images_of(one, &["./target/web"]).unwrap(),
            ["/srv/bin/side", here.as_str()]
        );
    }

    #[test]
    fn a_command_beside_the_score_file_is_the_same_wherever_this_runs() {
        let command = |image: &str, more: &str| {
            let text = score("aa", &[("web", image)]);
            let text = format!("{text}    command: [./run.sh]\n{more}");
            let request = workloads(vec![file("/srv/app/a.yaml", &text)], Changes::default());
            request.unwrap().documents[0].workload.containers["web"].command[0].clone()
        };
        assert_eq!(command("/bin/app", ""), "/srv/app/run.sh");
        // In an image it is in that, and what the workload brings is in its working directory.
        assert_eq!(command("app:1", ""), "./run.sh");
        let brought = "    files: { run.sh: { content: x } }\n";
        assert_eq!(command("/bin/app", brought), "./run.sh");
    }

    #[test]
    fn mistakes_of_all_files_are_told_at_once() {
        let files = vec![
            file(
                "a.yaml",
                "apiVersion: score.dev/v1b1\nmetadata:\n  name: A!\n  annotations: []\ncontainers:\n  web:\n    imge: x\n",
            ),
            file(
                "b.yaml",
                "apiVersion: score.dev/v1b1\nmetadata: {name: bb}\ncontainers: {}\n",
            ),
        ];
        let failure: Failure = workloads(files, Changes::default()).unwrap_err().into();
        assert_eq!(failure.exit, Exit::Invalid);
        let plain = Terminal {
            live: false,
            fancy: false,
            color: false,
        };
        insta::assert_snapshot!(render::failure::text(&failure, plain));
    }

    #[test]
    fn a_mistake_hides_none_in_another_place() {
        let files = "files:\n      /a: { source: away.txt }\n      /b: { source: gone.txt, noExpand: true }\n";
        let sound = format!("{}    {files}", score("aa", &[("web", "x:1")]));
        let broken = format!("{}    imge: y\n    {files}", score("bb", &[("web", "y:1")]));
        let faulty = workloads(
            vec![file("a.yaml", &sound), file("b.yaml", &broken)],
            Changes {
                images: vec!["db=z:2".into(), "bb.web=z:2".into()],
                ..Changes::default()
            },
        );
        let failure: Failure = faulty.unwrap_err().into();
        let told: Vec<(&str, Option<usize>)> = failure
            .problems
            .iter()
            .map(|p| (p.rule.as_str(), p.location.as_ref().map(|at| at.line)))
            .collect();
        assert_eq!(
            told,
            [
                ("score/source", Some(8)),
                ("score/source", Some(9)),
                ("score/unknown-field", Some(7)),
                ("score/source", Some(9)),
                ("score/source", Some(10)),
                ("cli/image", None),
            ]
        );
    }

    #[test]
    fn what_the_platform_refuses_is_found_in_the_file() {
        let text = score("notes", &[("web", "y:1")]);
        let request = workloads(vec![file("a.yaml", &text)], Changes::default()).unwrap();
        let refused = client::ProblemDocument {
            status: 422,
            detail: "no".into(),
            problems: vec![
                Problem::new(
                    "engine/image",
                    "workloads.notes.containers.web.image",
                    "not here",
                ),
                Problem::new("engine/image", "containers.web.image", "not here"),
                Problem::new("api/name", "environment", "no name"),
            ],
            ..client::ProblemDocument::default()
        };
        let failure = request.failure(client::Error::Refused(Box::new(refused)));
        let lines: Vec<Option<usize>> = failure
            .problems
            .iter()
            .map(|p| Some(p.location.as_ref()?.line))
            .collect();
        assert_eq!(lines, [Some(6), Some(6), None]);
    }
}
