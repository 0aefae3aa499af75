//! Env files and templates: what is read, what is refused, and where.

use std::collections::BTreeMap;

use kernel::Secret;
use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};
use secrets::{env_file, model::SecretRef, template::Template};

fn variables(text: &str) -> Vec<(String, String)> {
    let read = env_file::parse("app.env", text).unwrap();
    read.into_iter().map(|v| (v.name, v.value)).collect()
}

#[test]
fn env_files_are_read_as_shells_read_them() {
    let text = "\u{feff}# comment\n\nA=1\nexport B = two words  # said\n  C='it''s'\n";
    let refused = env_file::parse("app.env", text).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].location.as_ref().unwrap().line, 5);

    let text = "A=1\r\nexport B = two words  # said\nC='$x \\n' # c\nD=\"a\\n\\\"b\\$\\q\"\nE=\nF=a#b\nG='one\ntwo'\nH=#c\nI=towpath://t/n\n";
    let pairs = [
        ("A", "1"),
        ("B", "two words"),
        ("C", "$x \\n"),
        ("D", "a\n\"b$\\q"),
        ("E", ""),
        ("F", "a#b"),
        ("G", "one\ntwo"),
        ("H", ""),
        ("I", "towpath://t/n"),
    ];
    let expected: Vec<_> = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    assert_eq!(variables(text), expected);
    let lines = env_file::parse("app.env", text).unwrap();
    assert_eq!((lines[6].line, lines[7].line), (7, 9));
}

#[test]
fn all_that_is_wrong_with_an_env_file_is_said_at_its_line() {
    let text = "good=1\nno variable\n1st=a\nok='x'y\nlast=\"open\nmore";
    let problems = env_file::parse("app.env", text).unwrap_err();
    let lines: Vec<_> = problems
        .iter()
        .map(|p| p.location.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines, [2, 3, 4, 5]);
    assert!(problems.iter().all(|p| p.remedy.is_some()));
}

#[test]
fn a_template_says_where_a_reference_is_none() {
    let text = "a {{ towpath://Bad/x }}\nü {{towpath://t/n\n";
    let problems = Template::parse("t.tpl", text).unwrap_err();
    let places: Vec<_> = problems
        .iter()
        .map(|p| p.location.as_ref().unwrap())
        .map(|l| (l.line, l.column))
        .collect();
    assert_eq!(places, [(1, 3), (2, 3)]);
}

proptest! {
    #[test]
    fn quoted_values_are_read_as_they_were_written(
        values in vec("[ -~äß\n\t]{0,20}", 0..6),
    ) {
        let mut text = String::new();
        let mut expected = Vec::new();
        for (number, value) in values.iter().enumerate() {
            let quoted = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('$', "\\$");
            text.push_str(&format!("V{number}=\"{quoted}\" # comment\n"));
            expected.push((format!("V{number}"), value.clone()));
        }
        prop_assert_eq!(variables(&text), expected);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        if let Err(problems) = env_file::parse("f", &text) {
            prop_assert!(!problems.is_empty());
            let last = text.matches('\n').count() + 1;
            for problem in problems {
                prop_assert!(problem.location.unwrap().line <= last);
            }
        }
    }

    #[test]
    fn a_template_without_references_stays_as_it_is(text in "(?s)[{}a ü\n]{0,60}") {
        let template = Template::parse("f", &text).unwrap();
        prop_assert_eq!(template.references().count(), 0);
        let rendered = template.render(|_| None).unwrap();
        prop_assert_eq!(rendered.expose_str().unwrap(), text);
    }

    #[test]
    fn references_are_replaced_and_nothing_else(
        pieces in vec(("[{a \n]{0,8}", 0..3usize, " {0,2}"), 0..6),
        end in "[}a\n]{0,5}",
    ) {
        let names = ["a", "b/c", "d"].map(|name| SecretRef::new("t", name).unwrap());
        let values: BTreeMap<_, _> = names
            .iter()
            .map(|name| (name.clone(), Secret::from(format!("<{{{{ {name} }}}}>"))))
            .collect();
        let (mut text, mut expected) = (String::new(), String::new());
        for (plain, which, space) in &pieces {
            text.push_str(&format!("{plain}{{{{{space}{}{space}}}}}", names[*which]));
            expected.push_str(plain);
            expected.push_str(values[&names[*which]].expose_str().unwrap());
        }
        text.push_str(&end);
        expected.push_str(&end);
        let template = Template::parse("f", &text).unwrap();
        prop_assert_eq!(template.references().count(), pieces.len());
        let rendered = template.render(|name| values.get(name)).unwrap();
        prop_assert_eq!(rendered.expose_str().unwrap(), expected);
        if !pieces.is_empty() {
            prop_assert!(template.render(|_| None).is_none());
        }
    }
}
