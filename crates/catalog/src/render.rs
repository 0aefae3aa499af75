//! From a kit to the files of a repository: bounded, and with no reach beyond the kit.

use std::collections::BTreeMap;

use kernel::Problem;
use serde::Serialize;
use template::{ErrorKind, Fault, Sandbox};

use crate::{api::RepositoryFile, model::StarterKitSpec};

/// Steps of the template engine for one file: far more than a source file needs, and done in
/// milliseconds.
const FUEL: u64 = 200_000;

/// The most that one file may be, in bytes.
const MOST: usize = 256 * 1024;

/// What templates know.
#[derive(Debug, Serialize)]
pub(crate) struct Words<'a> {
    pub(crate) name: &'a str,
    pub(crate) team: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) server: &'a str,
    pub(crate) with: &'a [String],
    pub(crate) values: &'a BTreeMap<String, String>,
}

fn sandbox() -> Sandbox {
    Sandbox::new(FUEL, MOST).for_files()
}

/// What is wrong with the templates of `spec`, which stands at `place`.
pub(crate) fn problems(spec: &StarterKitSpec, place: &str) -> Vec<Problem> {
    let sandbox = sandbox();
    let mut problems = Vec::new();
    for (index, file) in spec.files.iter().enumerate() {
        let at = format!("{place}.files[{index}].content");
        if file.content.len() > MOST {
            let message = format!("`{}` is larger than {MOST} bytes", file.path);
            problems.push(Problem::new("kit/size", at, message));
        } else if let Err(found) = sandbox.check(&file.content) {
            problems.push(fault(&file.path, found, at));
        }
    }
    problems
}

/// The files that `spec` makes with `words`; else all that is wrong.
pub(crate) fn files(
    spec: &StarterKitSpec,
    words: &Words<'_>,
) -> Result<Vec<RepositoryFile>, Vec<Problem>> {
    let sandbox = sandbox();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for (index, file) in spec.files.iter().enumerate() {
        match sandbox.render(&file.content, words) {
            Ok(content) => files.push(RepositoryFile {
                path: file.path.clone(),
                content,
                executable: file.executable,
            }),
            Err(found) => {
                let at = format!("spec.files[{index}].content");
                problems.push(fault(&file.path, found, at));
            }
        }
    }
    if problems.is_empty() {
        Ok(files)
    } else {
        Err(problems)
    }
}

fn fault(path: &str, fault: Fault, at: String) -> Problem {
    let error = match fault {
        Fault::Forbidden(statement) => {
            let message = format!("`{path}` uses `{{% {statement} %}}`, which kits cannot");
            return Problem::new("kit/template", at, message)
                .remedy("write it where it is used; `if`, `for` and `raw` are there");
        }
        Fault::TooLarge(most) => {
            let message = format!("`{path}` becomes larger than {most} bytes");
            return Problem::new("kit/size", at, message);
        }
        Fault::NotText => {
            let message = format!("`{path}` becomes what is no text");
            return Problem::new("kit/template", at, message);
        }
        Fault::Template(error) => error,
    };
    let line = error
        .line()
        .map_or_else(String::new, |line| format!(", line {line}"));
    let problem = Problem::new("kit/template", at, format!("`{path}`{line}: {error}"));
    match error.kind() {
        ErrorKind::OutOfFuel => problem.remedy("take fewer steps: a file is not computed"),
        ErrorKind::UndefinedError => {
            problem.remedy("templates know `name`, `team`, `prefix`, `server`, `with` and `values`")
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KitFile;

    fn render(content: &str) -> Result<Vec<RepositoryFile>, Vec<Problem>> {
        let file = KitFile {
            path: "a".into(),
            content: content.into(),
            executable: false,
        };
        let spec = StarterKitSpec {
            files: vec![file],
            ..StarterKitSpec::default()
        };
        let (with, values) = (["postgres".to_owned()], BTreeMap::new());
        let words = Words {
            name: "shop",
            team: "pay",
            prefix: "pay-",
            server: "http://t",
            with: &with,
            values: &values,
        };
        files(&spec, &words)
    }

    #[test]
    fn what_could_double_with_every_line_is_refused() {
        let content = "{% set a = name %}{{ a }}";
        let file = KitFile {
            path: "a".into(),
            content: content.into(),
            executable: false,
        };
        let spec = StarterKitSpec {
            files: vec![file],
            ..StarterKitSpec::default()
        };
        let found = super::problems(&spec, "spec");
        assert!(found[0].message.contains("{% set %}"), "{found:?}");
    }

    #[test]
    fn templates_know_what_is_wanted_and_nothing_else() {
        let rendered = render("{{ name }}\n{% if \"postgres\" in with %}\ndb\n{% endif %}\nend\n");
        assert_eq!(rendered.expect("it renders")[0].content, "shop\ndb\nend\n");
        for bad in [
            "{{ nobody }}",
            "{% include \"/etc/passwd\" %}",
            "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}",
            "{{ \"x\" * 100000000 }}",
        ] {
            assert_eq!(render(bad).expect_err(bad).len(), 1, "{bad}");
        }
    }
}
