//! What the samples of the Score specification use can be planned and deployed: the same files that its parser's
//! tests read. And what is wrong with a file, all at once.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use site::{Site, work::Ended};

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
        // Their volumes are declared nowhere.
        let undeclared: &[(&str, &str)] = match name.as_str() {
            "everything.yaml" => &[("ledger", ":41:15: "), ("photos", ":45:15: ")],
            "lists.yaml" => &[("boxes", ":14:15: ")],
            _ => &[],
        };
        for (volume, place) in undeclared {
            let said = format!(
                "{name}{place}volume `{volume}` is not among the workload's resources: a volume of that name is \
                 made for it"
            );
            assert!(ended.out.contains(&said), "{said}: {}", ended.out);
        }
        let many = ended.out.matches("is not among the workload's").count();
        assert_eq!(many, undeclared.len(), "{}", ended.out);
    }
}

/// What each workload has written into its volume.
fn marks(data: &Path) -> Vec<String> {
    let below = |place: PathBuf| std::fs::read_dir(place).into_iter().flatten();
    // Those of each platform have a directory of their own.
    let volumes = below(data.join("volumes")).flat_map(|platform| below(platform.unwrap().path()));
    let marks = volumes.map(|volume| volume.unwrap().path().join("mark"));
    let mut marks: Vec<String> = marks
        .filter_map(|it| std::fs::read_to_string(it).ok())
        .collect();
    marks.sort();
    marks
}

#[tokio::test]
async fn a_volume_that_is_declared_nowhere_is_made_and_mounted_for_each_workload() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("all.yaml");
    let workload = |name: &str| {
        format!(
            "apiVersion: score.dev/v1b1\nmetadata: {{name: {name}}}\ncontainers:\n  main:\n    image: /bin/sh\n    \
             args: [-c, 'echo {name} > boxes/mark; exec sleep 1000']\n    volumes:\n    - {{source: store, \
             target: boxes}}\n"
        )
    };
    std::fs::write(
        &file,
        format!("{}---\n{}", workload("one"), workload("two")),
    )
    .unwrap();
    let deploy = ["deploy", file.to_str().unwrap()];
    let ended = site.cli(&deploy).await;
    assert_eq!(ended.code, 0, "{ended:?}\n{}", site.log());
    testkit::eventually("both have written", Duration::from_mins(1), || async {
        (marks(&site.data) == ["one\n", "two\n"]).then_some(())
    })
    .await;

    // As what is declared: it is there already, and outlives its workload.
    let plan = ["plan", file.to_str().unwrap()];
    let ended = site.cli(&plan).await;
    assert!(ended.out.contains("nothing changes"), "{ended:?}");
    let ended = site.cli(&["delete", "workload", "one"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(marks(&site.data), ["one\n", "two\n"]);
}

#[tokio::test]
async fn mistakes_of_every_stage_are_told_at_once_in_the_order_of_the_file() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("all.yaml");
    let text = "\
apiVersion: score.dev/v1b1
metadata:
  name: shop
containers:
  web:
    image: /bin/sh
    variables:
      DB: ${resources.db.hots}
      KEY: ${resources.kye.value}
  side:
    imge: x
resources:
  cash: {type: reddis}
  db: {type: postgres}
  zone: {type: dns, params: {hosst: shop.localhost}}
";
    std::fs::write(&file, text).unwrap();
    let said = |ended: Ended| ended.err.replace(file.to_str().unwrap(), "all.yaml");
    let told = said(site.cli(&["plan", file.to_str().unwrap()]).await);
    let lines = told.lines().filter(|line| line.starts_with("all.yaml:"));
    let lines: Vec<&str> = lines.collect();
    for (line, (place, rule)) in lines.iter().zip([
        ("all.yaml:8:", "[graph/unknown-output]"),
        ("all.yaml:9:", "[score/placeholder]"),
        ("all.yaml:10:", "[score/missing-field]"),
        ("all.yaml:11:", "[score/unknown-field]"),
        ("all.yaml:13:", "[definition/unknown-type]"),
        ("all.yaml:15:", "[graph/unread-parameter]"),
    ]) {
        assert!(line.starts_with(place) && line.ends_with(rule), "{told}");
    }
    assert_eq!(lines.len(), 6, "{told}");
    insta::assert_snapshot!(told);
    let again = said(site.cli(&["deploy", file.to_str().unwrap()]).await);
    assert_eq!(again, told, "and nothing is deployed");
    let ended = site.cli(&["get", "workloads", "-o", "json"]).await;
    assert!(!ended.out.contains("shop"), "{ended:?}");
}
