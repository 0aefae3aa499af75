//! Score files, made ready to be sent: read, changed, and with what lies beside them taken in.

use std::path::Path;

use delivery::{
    api::NewDeployment,
    score::{self, Limits},
};
use kernel::{Location, Problem};

use super::{File, Texts};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// What is changed in workloads before they are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changes<'a> {
    /// `[NAME=]IMAGE`: NAME is a container, or a workload and a container as `WORKLOAD.CONTAINER`.
    pub(crate) images: &'a [String],
}

/// Workloads that are ready to be sent.
#[derive(Debug)]
pub(crate) struct Request {
    /// What is sent.
    pub(crate) body: NewDeployment,
    documents: Vec<score::Document>,
    texts: Texts,
}

impl Request {
    /// The platform's refusal, with the places in the files that it speaks of.
    pub(crate) fn failure(&self, error: client::Error) -> Failure {
        let mut failure: Failure = error.into();
        for problem in &mut failure.problems {
            if problem.location.is_none() {
                problem.location = self.locate(&problem.path);
            }
        }
        failure.sources(&self.texts)
    }

    /// Where `path` stands: within the workload that it names, else within the only one.
    fn locate(&self, path: &str) -> Option<Location> {
        let named = path.strip_prefix("workloads.").and_then(|rest| {
            let (name, below) = rest.split_once('.').unwrap_or((rest, ""));
            let document = self
                .documents
                .iter()
                .find(|d| d.workload.metadata.name == name)?;
            Some((document, below))
        });
        let (document, below) = match (named, &self.documents[..]) {
            (Some(found), _) => found,
            (None, [only]) if is_of_score(path) => (only, path),
            _ => return None,
        };
        document.locate(below)
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
pub(crate) fn workloads(files: Vec<File>, changes: &Changes<'_>) -> Result<Request> {
    let mut problems = Vec::new();
    let mut documents: Vec<score::Document> = Vec::new();
    let mut texts = Texts::new();
    for file in files {
        texts.insert(
            file.name.clone(),
            String::from_utf8_lossy(&file.bytes).into_owned(),
        );
        let source = score::Source {
            name: file.name,
            bytes: file.bytes,
        };
        match score::parse(&source, &Limits::default()) {
            Ok(found) => documents.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    for (index, document) in documents.iter().enumerate() {
        let name = &document.workload.metadata.name;
        if documents[..index]
            .iter()
            .any(|earlier| earlier.workload.metadata.name == *name)
        {
            let mut problem = Problem::new(
                "score/duplicate",
                "metadata.name",
                format!("two workloads are called `{name}`"),
            )
            .remedy("give each workload a name of its own");
            problem.location = document.locate("metadata.name");
            problems.push(problem);
        }
    }
    if problems.is_empty() {
        problems = images(&mut documents, changes.images);
    }
    if !problems.is_empty() {
        let message = match problems.len() {
            1 => "the workloads cannot be deployed: there is 1 mistake".to_owned(),
            many => format!("the workloads cannot be deployed: there are {many} mistakes"),
        };
        return Err(Failure::new(Exit::Invalid, message)
            .problems(problems)
            .sources(&texts));
    }
    let workloads = documents.iter().map(|document| {
        let value = serde_json::to_value(&document.workload).expect("our own types are JSON");
        (document.workload.metadata.name.clone(), value)
    });
    Ok(Request {
        body: NewDeployment {
            workloads: workloads.collect(),
            ..NewDeployment::default()
        },
        documents,
        texts,
    })
}

/// Puts the images in, and makes the paths of programs absolute: those of the command line are
/// relative to the working directory, those of a file to the file.
fn images(documents: &mut [score::Document], images: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for document in documents.iter_mut() {
        let folder = Path::new(document.file())
            .parent()
            .unwrap_or(Path::new(""))
            .to_owned();
        for container in document.workload.containers.values_mut() {
            container.image = absolute(&container.image, &folder);
        }
    }
    for given in images {
        let (name, image) = match given.split_once('=') {
            Some((name, image)) if !name.contains(['/', ':', '@']) => (Some(name), image),
            _ => (None, given.as_str()),
        };
        let image = absolute(image, Path::new(""));
        let mut fits = 0;
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
    problems
}

/// An image that is a path of a program, absolute; any other as it is.
fn absolute(image: &str, folder: &Path) -> String {
    let is_path = image.starts_with("./") || image.starts_with("../");
    if !is_path {
        return image.to_owned();
    }
    match std::path::absolute(folder.join(image)) {
        Ok(path) => normal(&path),
        // Without a working directory: the platform says what is wrong with it.
        Err(_) => image.to_owned(),
    }
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> String {
    use std::path::{Component, PathBuf};
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
        let containers: String = containers
            .iter()
            .map(|(name, image)| format!("  {name}:\n    image: \"{image}\"\n"))
            .collect();
        format!("apiVersion: score.dev/v1b1\nmetadata:\n  name: {name}\ncontainers:\n{containers}")
    }

    fn images_of(files: Vec<File>, images: &[&str]) -> Result<Vec<String>> {
        let images: Vec<String> = images.iter().map(ToString::to_string).collect();
        let request = workloads(files, &Changes { images: &images })?;
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
        let failure = workloads(files, &Changes { images: &[] }).unwrap_err();
        assert_eq!(failure.exit, Exit::Invalid);
        let plain = Terminal {
            live: false,
            fancy: false,
            color: false,
        };
        insta::assert_snapshot!(render::failure::text(&failure, plain));
    }

    #[test]
    fn what_the_platform_refuses_is_found_in_the_file() {
        let text = score("notes", &[("web", "y:1")]);
        let request = workloads(vec![file("a.yaml", &text)], &Changes { images: &[] }).unwrap();
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
