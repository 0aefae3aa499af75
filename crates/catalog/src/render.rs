//! From a kit to the files of a repository: bounded, and with no reach beyond the kit.

use std::{collections::BTreeMap, io};

use kernel::Problem;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, syntax::SyntaxConfig};
use serde::Serialize;

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

/// Statements that keep a value for later ones: by them text could double with every line.
const FORBIDDEN: [&str; 5] = ["set", "macro", "call", "filter", "with"];

/// An engine in which no value grows faster than the template that makes it: steps and output are
/// counted, memory is not.
fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.remove_global("namespace");
    for filter in [
        "replace", "join", "indent", "batch", "slice", "format", "tojson", "pprint",
    ] {
        engine.remove_filter(filter);
    }
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    // Files stay as they are written: a line of a block leaves none behind.
    let syntax = SyntaxConfig::builder()
        .keep_trailing_newline(true)
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the delimiters are those that every template has");
    engine.set_syntax(syntax);
    engine
}

/// What is wrong with the templates of `spec`, which stands at `place`.
pub(crate) fn problems(spec: &StarterKitSpec, place: &str) -> Vec<Problem> {
    let engine = engine();
    let mut problems = Vec::new();
    for (index, file) in spec.files.iter().enumerate() {
        let at = format!("{place}.files[{index}].content");
        if file.content.len() > MOST {
            let message = format!("`{}` is larger than {MOST} bytes", file.path);
            problems.push(Problem::new("kit/size", at, message));
        } else if let Some(statement) = forbidden(&file.content) {
            let message = format!(
                "`{}` uses `{{% {statement} %}}`, which kits cannot",
                file.path
            );
            let problem = Problem::new("kit/template", at, message);
            problems
                .push(problem.remedy("write it where it is used; `if`, `for` and `raw` are there"));
        } else if let Err(error) = engine.template_from_str(&file.content) {
            problems.push(fault(&file.path, &error, at));
        }
    }
    problems
}

/// The files that `spec` makes with `words`; else all that is wrong.
pub(crate) fn files(
    spec: &StarterKitSpec,
    words: &Words<'_>,
) -> Result<Vec<RepositoryFile>, Vec<Problem>> {
    let engine = engine();
    let words = minijinja::Value::from(minijinja::value::Serde(words));
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for (index, file) in spec.files.iter().enumerate() {
        let at = format!("spec.files[{index}].content");
        let mut content = Bounded(Vec::new());
        let rendered = engine
            .template_from_str(&file.content)
            .and_then(|template| template.render_captured_to(&words, &mut content).map(drop));
        match (rendered, String::from_utf8(content.0)) {
            (Err(_), Ok(content)) if content.len() >= MOST => {
                let message = format!("`{}` becomes larger than {MOST} bytes", file.path);
                problems.push(Problem::new("kit/size", at, message));
            }
            (Err(error), _) => problems.push(fault(&file.path, &error, at)),
            (Ok(()), Ok(content)) => files.push(RepositoryFile {
                path: file.path.clone(),
                content,
                executable: file.executable,
            }),
            (Ok(()), Err(_)) => {
                let message = format!("`{}` becomes what is no text", file.path);
                problems.push(Problem::new("kit/template", at, message));
            }
        }
    }
    if problems.is_empty() {
        Ok(files)
    } else {
        Err(problems)
    }
}

/// A statement of `text` that is not allowed.
fn forbidden(text: &str) -> Option<&'static str> {
    text.split("{%").skip(1).find_map(|statement| {
        let statement = statement.trim_start_matches(['-', '+']).trim_start();
        let word: String = statement
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        FORBIDDEN.into_iter().find(|forbidden| *forbidden == word)
    })
}

/// Takes [`MOST`] bytes and no more.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MOST - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "output too large",
            ));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fault(path: &str, error: &minijinja::Error, at: String) -> Problem {
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
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "{{ \"x\" * 100000000 }}",
        ] {
            assert_eq!(render(bad).expect_err(bad).len(), 1, "{bad}");
        }
    }
}
