//! The placeholder engine takes any text: what it parses, it shows in a form that parses to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use towpath_delivery::score::placeholder::{Resolved, Template, escape, expand, join_path, split_path};

fuzz_target!(|text: &str| {
    let mut lookup = |reference: &_| {
        Ok::<_, std::convert::Infallible>(Resolved::plain(format!("<{reference}>")))
    };
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
    assert_eq!(split_path(&join_path(names.iter().map(String::as_str))), names);
});
