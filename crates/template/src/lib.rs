//! Templates that others write (in a starter kit, in a resource definition), rendered within bounds: no
//! files, no includes, a bounded number of steps, and a bounded text. The one place where that is seen to.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

use std::{fmt, io};

use minijinja::{
    AutoEscape, Environment, UndefinedBehavior,
    functions::Function,
    syntax::SyntaxConfig,
    value::{FunctionArgs, FunctionResult, Serde},
};
use serde::Serialize;

pub use minijinja::ErrorKind;

/// Statements that keep a value for later ones: by them text could double with every line.
const FORBIDDEN: [&str; 5] = ["set", "macro", "call", "filter", "with"];

/// Filters that make more of a value than the template is long.
const MULTIPLYING: [&str; 8] = [
    "replace", "join", "indent", "batch", "slice", "format", "tojson", "pprint",
];

/// Renders templates in which no value grows faster than the template that makes it: steps and output are
/// counted, memory is not.
pub struct Sandbox {
    engine: Environment<'static>,
    most: usize,
}

/// What is wrong with a template.
#[derive(Debug)]
pub enum Fault {
    /// It uses this statement.
    Forbidden(&'static str),
    /// It gives more than this many bytes.
    TooLarge(usize),
    /// It gives what is no text.
    NotText,
    /// It is none, or does not render.
    Template(minijinja::Error),
}

impl Sandbox {
    /// One in which a template may take `steps` and give `most` bytes.
    pub fn new(steps: u64, most: usize) -> Self {
        let mut engine = Environment::new();
        engine.remove_global("namespace");
        for filter in MULTIPLYING {
            engine.remove_filter(filter);
        }
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_fuel(Some(steps));
        engine.set_auto_escape_callback(|_| AutoEscape::None);
        Self { engine, most }
    }

    /// The same for whole files, which stay as they are written: a line of a statement leaves none behind.
    ///
    /// # Panics
    /// Never: the delimiters are those that every template has.
    #[must_use]
    pub fn for_files(mut self) -> Self {
        let syntax = SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .expect("the delimiters are those that every template has");
        self.engine.set_syntax(syntax);
        self
    }

    /// Adds a function that templates may call. What it gives counts as output only.
    #[must_use]
    pub fn with<F, Rv, Args>(mut self, name: &'static str, function: F) -> Self
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        self.engine.add_function(name, function);
        self
    }

    /// What is wrong with a template, as far as that shows without what it is about.
    pub fn check(&self, template: &str) -> Result<(), Fault> {
        if let Some(statement) = forbidden(template) {
            return Err(Fault::Forbidden(statement));
        }
        let parsed = self.engine.template_from_str(template);
        parsed.map(drop).map_err(Fault::Template)
    }

    /// What the template gives about `words`.
    pub fn render(&self, template: &str, words: &impl Serialize) -> Result<String, Fault> {
        if let Some(statement) = forbidden(template) {
            return Err(Fault::Forbidden(statement));
        }
        let words = minijinja::Value::from(Serde(words));
        let mut given = Bounded {
            bytes: Vec::new(),
            most: self.most,
            is_full: false,
        };
        let rendered = self
            .engine
            .template_from_str(template)
            .and_then(|template| template.render_captured_to(&words, &mut given).map(drop));
        match rendered {
            Err(_) if given.is_full => Err(Fault::TooLarge(self.most)),
            Err(error) => Err(Fault::Template(error)),
            Ok(()) => String::from_utf8(given.bytes).map_err(|_| Fault::NotText),
        }
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("most", &self.most)
            .finish_non_exhaustive()
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

/// Takes `most` bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            self.is_full = true;
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "output too large",
            ));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn render(template: &str) -> Result<String, Fault> {
        let words = BTreeMap::from([("name", "shop")]);
        Sandbox::new(10_000, 1024).render(template, &words)
    }

    #[test]
    fn what_could_double_with_every_line_is_refused_when_it_is_written_and_when_it_is_rendered() {
        for template in [
            "{% set a = name %}{{ a }}",
            "{%- set a = name -%}",
            "{%+ macro a() %}{% endmacro %}",
            "{% \n with a = 1 %}{% endwith %}",
            "{% call a() %}{% endcall %}",
            "{% filter upper %}a{% endfilter %}",
        ] {
            let checked = Sandbox::new(1, 1).check(template);
            assert!(matches!(checked, Err(Fault::Forbidden(_))), "{template}");
            let rendered = render(template);
            assert!(matches!(rendered, Err(Fault::Forbidden(_))), "{template}");
        }
        for filter in MULTIPLYING {
            let rendered = render(&format!("{{{{ name|{filter} }}}}"));
            assert!(matches!(rendered, Err(Fault::Template(_))), "{filter}");
        }
    }

    #[test]
    fn steps_and_output_have_an_end_and_nothing_else_is_reached() {
        let long = "{% for a in range(1000) %}{{ name }}{{ name }}{% endfor %}";
        assert!(matches!(render(long), Err(Fault::TooLarge(1024))));
        let many =
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
        let Err(Fault::Template(error)) = render(many) else {
            panic!("it renders");
        };
        assert_eq!(error.kind(), ErrorKind::OutOfFuel);
        for template in [
            "{{ nobody }}",
            "{% include \"/etc/passwd\" %}",
            "{{ namespace() }}",
            "{{ \"x\" * 100000000 }}",
        ] {
            assert!(render(template).is_err(), "{template}");
        }
    }

    #[test]
    fn files_keep_their_lines_and_functions_are_those_that_are_given() {
        let sandbox = Sandbox::new(1000, 1024)
            .for_files()
            .with("twice", |text: &str| format!("{text}{text}"));
        let words = BTreeMap::from([("name", "a")]);
        let rendered = sandbox.render(
            "{% if name %}\n{{ twice(name) }}\n{% endif %}\nend\n",
            &words,
        );
        assert_eq!(rendered.ok().as_deref(), Some("aa\nend\n"));
    }
}
