//! Templates that others write (in a starter kit, in a resource definition), rendered within bounds: no
//! files, no includes, a bounded number of steps, and a bounded text. The one place where that is seen to.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod guards;

use std::{
    collections::HashSet,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use minijinja::{
    AutoEscape, Environment, UndefinedBehavior, filters,
    functions::Function,
    syntax::SyntaxConfig,
    value::{FunctionArgs, FunctionResult, Kwargs, Serde, Value},
};
use serde::Serialize;

pub use minijinja::ErrorKind;

/// Statements that keep a value, or what they give, for later ones: by them text could double with every line.
const FORBIDDEN: [&str; 6] = ["set", "macro", "call", "filter", "with", "block"];

/// Filters that make more of a value than the template is long.
const MULTIPLYING: [&str; 8] = [
    "replace", "join", "indent", "batch", "slice", "format", "tojson", "pprint",
];

/// Renders templates within bounds: steps and output are counted, and so is whatever a template makes of values,
/// before it makes it.
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
        // It gives all that is there, and nobody counts how much.
        engine.remove_global("debug");
        engine.add_function("range", guards::range);
        // The operator is guarded; what the test of the same name goes through would not be.
        engine.remove_test("in");
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

    /// Adds the filter `tojson`, for templates that give JSON. It takes a value and nothing else.
    #[must_use]
    pub fn with_json(mut self) -> Self {
        self.engine.add_filter("tojson", json);
        self
    }

    /// What is wrong with a template, as far as that shows without what it is about.
    pub fn check(&self, template: &str) -> Result<(), Fault> {
        let template = self.guarded(template)?;
        caught(|| self.engine.template_from_str(&template).map(drop)).map_err(Fault::Template)
    }

    /// The words that a template speaks of, with what it asks of them: `team`, `team.members`.
    pub fn spoken_of(&self, template: &str) -> Result<HashSet<String>, Fault> {
        let template = self.guarded(template)?;
        caught(|| {
            let parsed = self.engine.template_from_str(&template)?;
            Ok(parsed.undeclared_variables(true))
        })
        .map_err(Fault::Template)
    }

    /// The template with the guards of what it makes.
    fn guarded(&self, template: &str) -> Result<String, Fault> {
        if let Some(statement) = forbidden(template) {
            return Err(Fault::Forbidden(statement));
        }
        guards::guarded(template, self.engine.syntax()).map_err(Fault::Forbidden)
    }

    /// What the template gives about `words`.
    pub fn render(&self, template: &str, words: &impl Serialize) -> Result<String, Fault> {
        let template = self.guarded(template)?;
        let mut engine = self.engine.clone();
        guards::install(&mut engine);
        let words = Value::from(Serde(words));
        let mut given = Bounded {
            bytes: Vec::new(),
            most: self.most,
            is_full: false,
        };
        let rendered = caught(|| {
            let template = engine.template_from_str(&template)?;
            template.render_captured_to(&words, &mut given).map(drop)
        });
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

/// What the engine gives. It panics over some templates, which is a fault of theirs like any other: what it was
/// about to give is thrown away.
fn caught<T>(work: impl FnOnce() -> Result<T, minijinja::Error>) -> Result<T, minijinja::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let why = "the template engine failed";
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, why))
    })
}

fn json(value: &Value) -> Result<Value, minijinja::Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let none: [(&str, Value); 0] = [];
    filters::tojson(value, None, Kwargs::from_iter(none))
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
            "{% block a %}a{% endblock %}{{ self.a() }}",
            "{% for a in [name] recursive %}{{ loop([a]) }}{% endfor %}",
            "{% for a in [name] if a recursive %}{{ loop([a]) }}{% endfor %}",
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
        let many = "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}";
        let Err(Fault::Template(error)) = render(many) else {
            panic!("it renders");
        };
        assert_eq!(error.kind(), ErrorKind::OutOfFuel);
        for (template, expected) in [
            ("{{ nobody }}", ErrorKind::UndefinedError),
            ("{{ nobody * 2 }}", ErrorKind::UndefinedError),
            ("{% include \"/etc/passwd\" %}", ErrorKind::TemplateNotFound),
            ("{{ namespace() }}", ErrorKind::UnknownFunction),
            ("{{ debug() }}", ErrorKind::UnknownFunction),
        ] {
            let Err(Fault::Template(error)) = render(template) else {
                panic!("{template}: it renders");
            };
            assert_eq!(error.kind(), expected, "{template}: {error}");
        }
    }

    /// What the engine says of a template that does not render.
    fn refused(template: &str) -> String {
        match render(template) {
            Err(Fault::Template(error)) => error.to_string(),
            other => panic!("{template}: {other:?}"),
        }
    }

    #[test]
    fn a_template_over_which_the_engine_panics_is_refused_like_any_other() {
        let why = refused("{% for a in [1] %}{{ loop.cycle() }}{% endfor %}");
        assert!(why.contains("the template engine failed"), "{why}");
    }

    #[test]
    fn what_slices_copy_has_an_end() {
        let words = BTreeMap::from([("name", "x".repeat(1024 * 1024))]);
        let slices = "name[1:], ".repeat(20);
        let template = format!("{{{{ [{slices}][0] }}}}");
        match Sandbox::new(10_000, 2 * 1024 * 1024).render(&template, &words) {
            Err(Fault::Template(error)) => {
                let why = error.to_string();
                assert!(why.contains("come to more than"), "{why}");
            }
            other => panic!("it renders: {}", other.is_ok()),
        }
    }

    #[test]
    fn nothing_is_repeated_neither_when_it_is_rendered_nor_when_it_is_read() {
        for template in [
            "{{ \"x\" * 100000000 }}",
            "{{ 100000000 * name }}",
            "{{ (\"x\",) * 100000000 }}",
            "{{ (([\"x\" * 1000000] * 1000000) ~ \"\")|length }}",
            "{{ 2 * 3 * [name][0] }}",
            "{{ 2 * name|length * name|upper }}",
            "{% if [1] * 100000000 %}{% endif %}",
        ] {
            let why = refused(template);
            assert!(why.contains("`*` multiplies numbers"), "{template}: {why}");
            assert!(Sandbox::new(1, 1).check(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn what_doubles_from_loop_to_loop_has_an_end() {
        for double in [
            "a ~ a",
            "a + a",
            "[a, a]",
            "(a ~ \"\")|string ~ a",
            "[a]|list + [a]",
        ] {
            let begins = format!("{{% for a in [{double}] %}}").repeat(40);
            let ends = "{% endfor %}".repeat(40);
            let template = format!(
                "{{% for a in [name] %}}{begins}{{{{ (a ~ \"\")|length }}}}{ends}{{% endfor %}}"
            );
            let why = refused(&template);
            assert!(why.contains("come to more than"), "{double}: {why}");
        }
    }

    #[test]
    fn what_is_gone_through_again_and_again_has_an_end() {
        for compared in [
            "-1 in b",
            "[-1] not in b",
            "b == range(1000)",
            "range(1000) != b",
            "[a] + b|list > [a] + b|list",
            "b is eq(range(1000))",
            "b is lt range(1000)",
        ] {
            // With steps for all of it.
            let template = format!(
                "{{% for b in [range(1000)] %}}{{% for a in range(1000) %}}{{% for c in range(1000) %}}\
                 {{% if {compared} %}}{{% endif %}}{{% endfor %}}{{% endfor %}}{{% endfor %}}"
            );
            let words: BTreeMap<&str, &str> = BTreeMap::new();
            match Sandbox::new(u64::MAX >> 1, 1024).render(&template, &words) {
                Err(Fault::Template(error)) => {
                    let why = error.to_string();
                    assert!(why.contains("come to more than"), "{compared}: {why}");
                }
                other => panic!("{compared}: {other:?}"),
            }
        }
        for long in ["range(1001)", "range(5, 99999)", "range(0, -99999, -2)"] {
            let why = refused(&format!("{{{{ {long} == {long} }}}}"));
            assert!(why.contains("more than 1000 items"), "{long}: {why}");
        }
    }

    #[test]
    fn what_is_guarded_gives_what_it_gave() {
        for (template, expected) in [
            ("{{ 2 * 3 + 1 }}", "7"),
            ("{{ name ~ \"-\" ~ 2 * -3 }}", "shop--6"),
            ("{{ (name|length + 1) * 2 }}", "10"),
            ("{{ \"a\" \"b\" ~ name[:1] ~ [1, 2][1] }}", "abs2"),
            ("{{ \"yes\" if \"o\" in name }}", "yes"),
            (
                "{{ name[1:][:2] ~ name[:1]|upper ~ {\"a\": [1, 2][1:]}.a|first }} {{ name is eq name[0:] }}",
                "hoS2 True",
            ),
            (
                "{{ \"yes\" if \"x\" not in name and name in [name] }}",
                "yes",
            ),
            ("{{ nobody|default(name)|upper }}", "SHOP"),
            (
                "{{ nobody is defined }} {{ name is not eq(\"x\") }} {{ name is defined and name == \"shop\" }}",
                "False True True",
            ),
            (
                "{{ 1 < 2 == 2 <= 1 + 1 }} {{ not 2 * 3 != 6 }} {{ -1 >= -(name|length) }}",
                "True True True",
            ),
            ("{{ range(2, 9, 3)|list == [2, 5, 8] }}", "True"),
            (
                "{{ {\"in\": [name]}.in|first ~ {\"a\": 2}.a * 2 }}",
                "shop4",
            ),
            (
                "{% for a in [1, 2, 3] if a in [2, 3] %}{{ a }}{% endfor %}",
                "23",
            ),
            (
                "{% for a in range(*[1, 3]) %}{{ a }}{{ \",\" if not loop.last }}{% endfor %}",
                "1,2",
            ),
            (
                "{% for k, v in {\"a\": {\"b\": 1}}|items -%} {{ k ~ v.b }} {%- endfor %}",
                "a1",
            ),
            ("{% raw %}{{ a * b }}{% endraw %}{# a ~ b #}", "{{ a * b }}"),
            ("\u{e4} {{ \"\u{e4}\" ~ '*~' }}", "\u{e4} \u{e4}*~"),
        ] {
            assert_eq!(
                render(template).ok().as_deref(),
                Some(expected),
                "{template}"
            );
        }
    }

    #[test]
    fn json_is_there_where_it_is_wanted_and_makes_nothing_else() {
        let words = BTreeMap::from([("name", "a \"b\"")]);
        let sandbox = Sandbox::new(1000, 1024).with_json();
        let rendered = sandbox.render("{{ [name]|tojson }}", &words);
        assert_eq!(rendered.ok().as_deref(), Some("[\"a \\\"b\\\"\"]"));
        for template in [
            "{{ name|tojson(indent=1000000000) }}",
            "{{ nobody|tojson }}",
        ] {
            assert!(
                matches!(sandbox.render(template, &words), Err(Fault::Template(_))),
                "{template}"
            );
        }
        // Each would be twice as long as the one before it.
        let many = format!("{{{{ (name{})|length }}}}", "|tojson".repeat(60));
        let Err(Fault::Template(error)) = sandbox.render(&many, &words) else {
            panic!("it renders");
        };
        assert!(error.to_string().contains("come to more than"), "{error}");
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
