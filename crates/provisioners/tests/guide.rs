//! The guide names places: they must exist.

use std::path::Path;

#[test]
fn every_place_that_the_guide_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = std::fs::read_to_string(root.join("docs/adding-a-provisioner.md")).unwrap();
    let places: Vec<&str> = guide
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| quoted.contains('/') && !quoted.contains('<'))
        .collect();
    assert!(places.len() > 10, "{places:?}");
    for place in places {
        assert!(root.join(place).exists(), "{place} does not exist");
    }
}
