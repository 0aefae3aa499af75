//! What holds for any input of the parsers. `cargo fuzz` looks for one that breaks it; the tests hold it
//! for what is checked in, and the programs for the files that they are given.

use std::convert::Infallible;

use delivery::score::{
    self, Limits, Source,
    placeholder::{Resolved, Template, escape, expand, join_path, split_path},
};

/// The placeholder engine takes any text: what it parses, it shows in a form that parses to the same.
///
/// # Panics
/// Where that does not hold.
pub fn placeholder(text: &str) {
    let mut lookup = |reference: &_| Ok::<_, Infallible>(Resolved::plain(format!("<{reference}>")));
    if let Ok(template) = Template::parse(text) {
        let shown = template.to_string();
        let again = Template::parse(&shown).expect("what is shown can be parsed");
        assert_eq!(again.to_string(), shown);
        for reference in template.references() {
            let end = reference.offset + reference.text.len() + 3;
            assert_eq!(&text[reference.offset..end], reference.to_string());
        }
        if let Ok(resolved) = template.resolve(&mut lookup) {
            assert_eq!(again.resolve(&mut lookup), Ok(resolved));
        }
    }
    let escaped = expand(&escape(text), &mut lookup).expect("escaped text has no placeholders");
    assert_eq!(escaped.into_text(), text);
    let names = split_path(text);
    assert_eq!(
        split_path(&join_path(names.iter().map(String::as_str))),
        names
    );
}

/// The Score parser takes any bytes: it ends, says where every mistake is and how to mend it, and what it
/// accepts is accepted again as JSON, as the same workload.
///
/// # Panics
/// Where that does not hold.
pub fn score_parse(bytes: &[u8]) {
    let source = Source {
        name: "score.yaml".into(),
        bytes: bytes.to_vec(),
    };
    match score::parse(&source, &Limits::default()) {
        Ok(documents) => {
            for document in documents {
                let json = serde_json::to_value(&document.workload).expect("a workload is JSON");
                let again = score::validate(&json).expect("what was accepted is accepted again");
                assert_eq!(again, document.workload);
                score::deployable(&again);
                score::advice(&again);
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| problem.remedy.is_some()));
        }
    }
}

/// Gives `target` the content of each file that the command line names: what a fuzzer has found is seen
/// again without one.
///
/// # Errors
/// Where a file cannot be read.
pub fn replay(target: impl Fn(&[u8])) -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        target(&std::fs::read(file)?);
    }
    Ok(())
}
