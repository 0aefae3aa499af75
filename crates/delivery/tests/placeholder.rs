//! The placeholder engine, as Score and resource definitions use it.

use std::convert::Infallible;

use proptest::prelude::*;
use serde_json::json;
use towpath_delivery::score::placeholder::{
    self, ExpandError, Part, Reference, Resolved, Template, escape, expand, expand_value,
    join_path, split_path,
};

/// Resolves every reference to its own text between angle brackets.
fn brackets(reference: &Reference) -> Result<Resolved, Infallible> {
    Ok(Resolved::plain(format!("<{}>", reference.path.join("/"))))
}

fn text(template: &str) -> String {
    expand(template, &mut brackets).unwrap().into_text()
}

#[test]
fn placeholders_and_escapes() {
    for (template, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("${metadata.name}", "<metadata/name>"),
        ("a ${x.y} b ${z} c", "a <x/y> b <z> c"),
        (r"${resources.a\.b.c}", "<resources/a.b/c>"),
        (r"${a.b\\.c}", r"<a/b\/c>"),
        ("$$", "$"),
        ("$", "$"),
        ("costs 5$", "costs 5$"),
        ("$HOME", "$HOME"),
        ("$${HOME}", "${HOME}"),
        ("$$${x}", "$<x>"),
        ("$$$${x}", "$${x}"),
        ("$$$$${x}", "$$<x>"),
        ("$${unclosed", "${unclosed"),
        ("$${a${b}}", "${a${b}}"),
        ("ü${x}ü", "ü<x>ü"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
}

#[test]
fn malformed_texts_say_where() {
    for (template, offset, length) in [
        ("ab ${x", 3, 2),
        ("${}", 0, 3),
        ("x${a..b}", 1, 7),
        ("${.a}", 0, 5),
        ("${a.}", 0, 5),
    ] {
        let malformed = Template::parse(template).unwrap_err();
        assert_eq!(
            (malformed.offset, malformed.length),
            (offset, length),
            "{template}: {malformed}"
        );
    }
    let long = format!("${{{}}}", "x".repeat(513));
    assert!(Template::parse(&long).is_err());
}

#[test]
fn what_is_resolved_is_not_searched_again() {
    let cyclic = expand("${a}-${a}", &mut |_| {
        Ok::<_, Infallible>(Resolved::plain("${a}"))
    });
    assert_eq!(cyclic.unwrap().value, json!("${a}-${a}"));
}

#[test]
fn growth_is_bounded() {
    let bomb = "${a}".repeat(1000);
    let error = expand(&bomb, &mut |_| {
        Ok::<_, Infallible>(Resolved::plain("x".repeat(1 << 20)))
    })
    .unwrap_err();
    assert_eq!(error, ExpandError::TooLong);
}

#[test]
fn a_single_reference_keeps_its_type_and_a_secret_taints_the_whole() {
    let mut lookup = |reference: &Reference| match reference.text.as_str() {
        "port" => Ok(Resolved::plain(5432)),
        "password" => Ok(Resolved::secret("canary-8d1f")),
        _ => Err("is not known"),
    };
    let params = json!({"port": "${port}", "url": "x:${port}", "list": ["${port}", true, null]});
    let resolved = expand_value(&params, &mut lookup).unwrap();
    assert_eq!(
        resolved,
        Resolved::plain(json!({"port": 5432, "url": "x:5432", "list": [5432, true, null]}))
    );

    let params = json!({"deep": [{"url": "redis://:${password}@host"}]});
    let resolved = expand_value(&params, &mut lookup).unwrap();
    assert!(resolved.secret);
    assert_eq!(
        resolved.value["deep"][0]["url"],
        "redis://:canary-8d1f@host"
    );
    assert_eq!(format!("{resolved:?}"), "[secret]");

    let error = expand("${password} ${nope.x}", &mut lookup).unwrap_err();
    assert_eq!(error.to_string(), "${nope.x}: is not known");
}

#[test]
fn every_text_is_visited_with_its_path() {
    let value = json!({"a": ["x", {"b": "y"}], "c": 1});
    let mut seen = Vec::new();
    placeholder::for_each_text(&value, &mut Vec::new(), &mut |path, text| {
        seen.push((path.join("."), text.to_owned()));
    });
    assert_eq!(
        seen,
        [("a.0".into(), "x".into()), ("a.1.b".into(), "y".into())]
    );
}

proptest! {
    #[test]
    fn parsing_never_panics_and_displays_what_it_parsed(text in r"[${}.\\a-cü \n]{0,40}") {
        if let Ok(template) = Template::parse(&text) {
            let shown = template.to_string();
            let again = Template::parse(&shown).unwrap();
            prop_assert_eq!(again.to_string(), shown);
            let plain = |t: &Template| t.parts().iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Reference(reference) => format!("<{}>", reference.text),
            }).collect::<String>();
            prop_assert_eq!(plain(&again), plain(&template));
        }
    }

    #[test]
    fn escaped_text_stands_for_itself(text_in in r"[${}a-cü]{0,40}") {
        prop_assert_eq!(text(&escape(&text_in)), text_in);
    }

    #[test]
    fn a_reference_covers_what_it_says(before in "[a-zü]{0,5}", name in "[a-z]{1,5}") {
        let whole = format!("{before}${{metadata.{name}}}!");
        let template = Template::parse(&whole).unwrap();
        let reference = template.references().next().unwrap();
        prop_assert_eq!(
            &whole[reference.offset..reference.offset + reference.to_string().len()],
            reference.to_string()
        );
    }

    #[test]
    fn paths_join_and_split(names in prop::collection::vec(r"[a-z.\\]{1,6}", 1..5)) {
        prop_assert_eq!(split_path(&join_path(names.iter().map(String::as_str))), names);
    }
}
