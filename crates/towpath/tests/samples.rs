//! What the samples of the Score specification use can be planned: the same files that its parser's
//! tests read.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::path::{Path, PathBuf};

use site::Site;

/// Types that the samples name as an organization's own, and values that one of them asks its
/// environment for.
const THEIR_TYPES: &str = r#"
apiVersion: towpath.dev/v1
kind: ResourceDefinition
metadata: { name: light-house }
spec:
  type: Light-House
  provisioner: template
  params: { outputs: { address: "12, Mole Street", flashes: "${params.flashes.every}" } }
---
apiVersion: towpath.dev/v1
kind: ResourceDefinition
metadata: { name: tide-table }
spec:
  type: Tide-Table
  provisioner: template
  params: { outputs: { high: "06:12" } }
---
apiVersion: towpath.dev/v1
kind: ResourceDefinition
metadata: { name: greeters-environment }
spec:
  type: environment
  provisioner: template
  criteria: [{ workload: greeter }]
  params: { outputs: { VISITOR: Ann } }
"#;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../delivery/tests/score/samples")
}

#[tokio::test]
async fn what_the_specifications_own_samples_use_can_be_planned() {
    let data = tempfile::tempdir().unwrap();
    let mut site = Site::new(data.path());
    // They name images; a plan makes nothing, and so needs no daemon.
    site.options = vec!["--engine".into(), "docker".into()];
    let _running = site.start().await;
    let types = data.path().join("types.yaml");
    std::fs::write(&types, THEIR_TYPES).unwrap();
    let ended = site.cli(&["apply", "-f", types.to_str().unwrap()]).await;
    assert_eq!(ended.code, 0, "{ended:?}");

    let mut names: Vec<String> = std::fs::read_dir(samples())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml") && name != "shared-two.yaml")
        .collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let mut files = vec![samples().join(&name)];
        if name == "shared-one.yaml" {
            files.push(samples().join("shared-two.yaml"));
        }
        let mut arguments = vec!["plan"];
        arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
        if std::fs::read_to_string(&files[0])
            .unwrap()
            .contains("image: .\n")
        {
            arguments.extend(["--image", "harbour/lamp:1"]);
        }
        let ended = site.cli(&arguments).await;
        assert_eq!(ended.code, 0, "{name}: {ended:?}");
        assert!(ended.out.contains("+ workload "), "{name}: {}", ended.out);
    }
}
