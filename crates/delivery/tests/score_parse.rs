//! Reading Score files: what is accepted, and what a person is told about what is not.

use std::{fmt::Write as _, fs, path::Path};

use kernel::Problem;
use serde_json::{Value, json};
use towpath_delivery::score::{self, Document, Limits, Source, Workload};

fn source(name: &str, bytes: impl Into<Vec<u8>>) -> Source {
    Source {
        name: name.into(),
        bytes: bytes.into(),
    }
}

fn parse(text: &str) -> Result<Vec<Document>, Vec<Problem>> {
    score::parse(&source("score.yaml", text), &Limits::default())
}

fn rules(problems: &[Problem]) -> Vec<&str> {
    problems
        .iter()
        .map(|problem| problem.rule.as_str())
        .collect()
}

fn dir(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/score")
        .join(name)
}

/// Problems as a person sees them: the line, the offending text underlined, and how to mend it.
fn shown(text: &str, problems: &[Problem]) -> String {
    let mut shown = String::new();
    for problem in problems {
        writeln!(shown, "{}: {}", problem.rule, problem.message).unwrap();
        if let Some(at) = &problem.location {
            let line = text.lines().nth(at.line - 1).unwrap_or_default();
            let gutter = at.line.to_string();
            let blank = " ".repeat(gutter.len());
            writeln!(shown, "{blank}--> {}:{}:{}", at.file, at.line, at.column).unwrap();
            writeln!(shown, "{gutter} | {}", line.replace('\t', " ")).unwrap();
            let underline = "^".repeat(at.length.max(1));
            writeln!(shown, "{blank} | {}{underline}", " ".repeat(at.column - 1)).unwrap();
        }
        if !problem.path.is_empty() {
            writeln!(shown, "  field:  {}", problem.path).unwrap();
        }
        if let Some(remedy) = &problem.remedy {
            writeln!(shown, "  remedy: {remedy}").unwrap();
        }
        shown.push('\n');
    }
    shown
}

#[test]
fn mistakes_are_all_told_with_place_and_remedy() {
    let mut files: Vec<_> = fs::read_dir(dir("mistakes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 10);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&file).unwrap();
        let problems = score::parse(&source(name, bytes.clone()), &Limits::default()).unwrap_err();
        for problem in &problems {
            assert!(problem.remedy.is_some(), "{problem:?}");
            assert!(
                problem.location.is_some() || name == "empty.yaml",
                "{problem:?}"
            );
        }
        let shown = shown(&String::from_utf8_lossy(&bytes), &problems);
        insta::with_settings!({ snapshot_path => "score/snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name.trim_end_matches(".yaml"), shown);
        });
    }
}

fn valid(name: &str) -> Workload {
    let text = fs::read_to_string(dir("valid").join(name)).unwrap();
    let documents = parse(&text).unwrap_or_else(|problems| panic!("{}", shown(&text, &problems)));
    assert_eq!(documents.len(), 1);
    documents.into_iter().next().unwrap().workload
}

#[test]
fn every_field_is_read() {
    let workload = valid("full.yaml");
    insta::with_settings!({ snapshot_path => "score/snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("full", workload);
    });
}

#[test]
fn lists_anchors_and_merges_mean_the_same_as_what_they_stand_for() {
    let workload = valid("lists.yaml");
    let [one, two] = ["one", "two"].map(|name| &workload.containers[name]);
    assert_eq!(one.files["/etc/one"].content.as_deref(), Some("one"));
    assert_eq!(one.files["/etc/two"].mode.as_deref(), Some("600"));
    assert_eq!(one.volumes["/data"].source, "data");
    assert_eq!(two.files, one.files);
    assert_eq!(
        two.variables,
        [("LEVEL", "info"), ("MODE", "second")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    );
}

/// Files that use the constructs of the samples of score-spec, and of the examples of its implementations, in the
/// same way. Two of those samples are no workloads by the schema beside them, which needs `containers`: the minimal
/// one, and the one with extensions. `extensions.yaml` has a container; see the next test.
#[test]
fn what_the_specifications_own_samples_use_is_read() {
    let files = fs::read_dir(dir("samples")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|it| it == "yaml"))
        .collect();
    assert!(files.len() >= 9);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut documents =
            parse(&text).unwrap_or_else(|problems| panic!("{}", shown(&text, &problems)));
        let [document] = documents.as_mut_slice() else {
            panic!("{}: one workload", file.display());
        };
        score::inline_sources(document, &dir("samples"), &Limits::default()).unwrap();
        let workload = &document.workload;
        let json = serde_json::to_value(workload).unwrap();
        let mut sent = score::validate(&json).unwrap();
        assert_eq!(sent, *workload);
        score::declare_volumes(&mut sent);
        // An image of `.` is given with the deployment.
        let mut problems = score::deployable(&sent);
        problems.retain(|problem| problem.rule != "score/image");
        assert_eq!(problems, [], "{}", file.display());
    }
}

#[test]
fn a_workload_without_containers_is_refused_as_the_schema_says() {
    for more in [
        "",
        "x-other-tool: {bundle: lamp.tgz}\nresources: {lamp: {type: Light-House}}\n",
    ] {
        let text = format!("apiVersion: score.dev/v1b1\nmetadata: {{name: bare}}\n{more}");
        assert_eq!(rules(&parse(&text).unwrap_err()), ["score/missing-field"]);
    }
}

#[test]
fn a_volume_that_is_not_declared_is_taken_for_a_resource_of_that_name() {
    let text = r#"
apiVersion: score.dev/v1b1
metadata: {name: keeper}
containers:
  main:
    image: keeper:1
    variables:
      LEDGER: ${resources.ledger.source}
    volumes:
    - {source: ledger, target: /var/ledger}
    - {source: photos, target: /var/photos}
  side:
    image: side:1
    volumes:
      /ledger: {source: ledger}
      /photos: {source: "${resources.album}"}
resources:
  album: {type: volume}
  photo: {type: bucket}
"#;
    let mut documents = parse(text).unwrap();
    let document = documents.remove(0);
    let mut workload = document.workload.clone();
    let said = score::declare_volumes(&mut workload);
    let told: Vec<_> = said
        .iter()
        .map(|problem| {
            let line = document.locate(&problem.path).map(|at| at.line);
            (problem.path.as_str(), line, problem.remedy.as_deref())
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "containers.main.volumes./var/ledger.source",
                Some(10),
                Some("declare it: `resources.ledger: { type: volume }`")
            ),
            (
                "containers.main.volumes./var/photos.source",
                Some(11),
                Some(
                    "did you mean `photo`? If not, declare it: `resources.photos: { type: volume }`"
                )
            ),
        ]
    );
    let declared = ["ledger", "photos"].map(|name| workload.resources[name].resource_type.as_str());
    assert_eq!(declared, ["volume", "volume"]);
    assert_eq!(score::deployable(&workload), []);
    // What is declared stays what it is, and nothing is said twice.
    assert_eq!(score::declare_volumes(&mut workload), []);

    // Who misspells a volume that is there would find it empty.
    let misspelt = text.replace("source: photos", "source: ablum");
    let document = parse(&misspelt).unwrap().remove(0);
    let mut workload = document.workload.clone();
    let said = score::declare_volumes(&mut workload);
    assert_eq!(said.len(), 1, "of the ledger: {said:?}");
    assert!(!workload.resources.contains_key("ablum"));
    let refused = score::deployable(&workload);
    let [problem] = refused.as_slice() else {
        panic!("{refused:?}");
    };
    assert_eq!(problem.rule, "score/volume");
    assert_eq!(document.locate(&problem.path).map(|at| at.line), Some(11));
    assert_eq!(problem.message, "there is no resource `ablum`");
    assert_eq!(
        problem.remedy.as_deref(),
        Some("did you mean `album`? If not, declare it: `resources.ablum: { type: volume }`")
    );

    let stray = text.replace("source: ledger", r#"source: "${resources.ledger}""#);
    assert!(rules(&parse(&stray).unwrap_err()).contains(&"score/placeholder"));
    let place = text.replace("source: photos", "source: /srv/photos");
    let mut workload = parse(&place).unwrap().remove(0).workload;
    score::declare_volumes(&mut workload);
    assert_eq!(rules(&score::deployable(&workload)), ["score/volume"]);
}

#[test]
fn a_workload_survives_the_way_through_json() {
    for name in ["full.yaml", "lists.yaml"] {
        let workload = valid(name);
        let json = serde_json::to_value(&workload).unwrap();
        assert_eq!(score::validate(&json).unwrap(), workload);
    }
}

fn minimal() -> Value {
    json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": {"name": "minimal"},
        "containers": {"main": {"image": "example/main:1"}},
    })
}

#[test]
fn json_is_held_against_the_same_rules_with_paths() {
    assert!(score::validate(&minimal()).is_ok());
    let mut broken = minimal();
    broken["containers"]["main"]["variables"] = json!({"A.B": 1, "C": "${resources.db.host}"});
    broken["metadata"]["name"] = json!("-");
    let problems = score::validate(&broken).unwrap_err();
    let told: Vec<_> = problems
        .iter()
        .map(|p| (p.rule.as_str(), p.path.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("score/pattern", "metadata.name"),
            ("score/type", r"containers.main.variables.A\.B"),
            ("score/placeholder", "containers.main.variables.C"),
        ]
    );
    for not_a_workload in [json!(null), json!([]), json!("x"), json!({})] {
        assert!(score::validate(&not_a_workload).is_err());
    }
}

#[test]
fn a_word_of_another_type_is_told_which_there_are() {
    let mut broken = minimal();
    broken["containers"]["side"] = json!({ "image": "x", "before": { "main": { "ready": true } } });
    let problems = score::validate(&broken).unwrap_err();
    assert_eq!(rules(&problems), ["score/type"]);
    assert_eq!(
        problems[0].remedy.as_deref(),
        Some("write `started`, `healthy` or `complete`")
    );
}

#[test]
fn names_at_their_limits() {
    let with_name = |name: &str| {
        let mut workload = minimal();
        workload["metadata"]["name"] = json!(name);
        score::validate(&workload).is_ok()
    };
    assert!(with_name(&"a".repeat(63)));
    assert!(with_name("a0"));
    for wrong in [
        "a",
        "",
        "-a",
        "a-",
        "A0",
        "a_b",
        "a.b",
        "ä0",
        &"a".repeat(64),
    ] {
        assert!(!with_name(wrong), "{wrong}");
    }
    let with_annotation = |name: &str| {
        let mut workload = minimal();
        workload["metadata"]["annotations"] = json!({ name: "x" });
        score::validate(&workload).is_ok()
    };
    assert!(with_annotation("example.com/Some_Name.2"));
    for wrong in [
        "a",
        "x/",
        "/xy",
        "Ex.com/ab",
        "a/b/c",
        "ab_",
        &"a".repeat(64),
    ] {
        assert!(!with_annotation(wrong), "{wrong}");
    }
    let with_port = |port: Value| {
        let mut workload = minimal();
        workload["service"] = json!({"ports": {"web": {"port": port}}});
        score::validate(&workload).is_ok()
    };
    assert!(with_port(json!(1)) && with_port(json!(65535)));
    for wrong in [json!(0), json!(65536), json!(-1), json!(1.5), json!("80")] {
        assert!(!with_port(wrong.clone()), "{wrong}");
    }
}

#[test]
fn several_documents_are_several_workloads() {
    let one = |name: &str| {
        format!(
            "apiVersion: score.dev/v1b1\nmetadata: {{name: {name}}}\ncontainers: {{main: {{image: x}}}}\n"
        )
    };
    let documents = parse(&format!(
        "---\n{}---\n---\n{}...\n",
        one("first"),
        one("second")
    ))
    .unwrap();
    let names: Vec<_> = documents
        .iter()
        .map(|d| d.workload.metadata.name.as_str())
        .collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn a_problem_that_the_server_finds_is_located_in_the_file() {
    let text = fs::read_to_string(dir("valid/full.yaml")).unwrap();
    let document = parse(&text).unwrap().remove(0);
    let at = document
        .locate("containers.web.resources.limits.cpu")
        .unwrap();
    let line = text.lines().nth(at.line - 1).unwrap();
    let underlined: String = line.chars().skip(at.column - 1).take(at.length).collect();
    assert_eq!(underlined, "\"1.5\"");
    let at = document.locate("containers.web.nowhere").unwrap();
    assert!(text.lines().nth(at.line - 1).unwrap().contains("web:"));
}

mod hostile {
    use std::time::{Duration, Instant};

    use super::*;

    /// Far more than any of these takes, far less than what a runaway would.
    const PROMPTLY: Duration = Duration::from_secs(5);

    fn refused(bytes: impl Into<Vec<u8>>) -> Vec<Problem> {
        let started = Instant::now();
        let problems = score::parse(&source("x.yaml", bytes), &Limits::default()).unwrap_err();
        assert!(started.elapsed() < PROMPTLY, "took {:?}", started.elapsed());
        assert!(problems.len() <= 101, "{} problems", problems.len());
        problems
    }

    #[test]
    fn ten_megabytes() {
        assert_eq!(
            rules(&refused("a: b\n".repeat(2 << 20))),
            ["score/too-large"]
        );
    }

    #[test]
    fn deep_nesting() {
        for (open, close) in [
            ("[", "]"),
            ("{a: ", "}"),
            ("- ", ""),
            ("? ", ""),
            ("a:\n", ""),
        ] {
            let bytes = format!("a: {}x{}", open.repeat(10_000), close.repeat(10_000));
            assert!(!refused(bytes).is_empty(), "{open}");
        }
        let mut blocks = String::new();
        for depth in 0..1000 {
            writeln!(blocks, "{}a:", " ".repeat(depth)).unwrap();
        }
        assert_eq!(rules(&refused(blocks))[0], "score/too-deep");
    }

    #[test]
    fn alias_bombs() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let previous = format!("*a{}, ", n - 1).repeat(10);
            writeln!(laughs, "a{n}: &a{n} [{previous}]").unwrap();
        }
        assert_eq!(rules(&refused(laughs))[0], "score/too-large");

        let mut deep = "a0: &a0 [x]\n".to_owned();
        for n in 1..200 {
            writeln!(deep, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
        }
        assert_eq!(rules(&refused(deep))[0], "score/too-deep");

        let mut merges = "a0: &a0 {k0: x}\n".to_owned();
        for n in 1..2000 {
            writeln!(merges, "a{n}: &a{n} {{<<: *a{}, k{n}: x}}", n - 1).unwrap();
        }
        assert_eq!(rules(&refused(merges))[0], "score/too-large");
    }

    #[test]
    fn thousands_of_mistakes_and_of_names() {
        let many: String = (0..9_000).map(|n| format!("k{n}: 1\n")).collect();
        let problems = refused(many);
        assert_eq!(problems.last().unwrap().rule, "score/too-many");
        refused("k: 1\n".repeat(100_000));
        let mut variables = String::from("containers: {web: {variables: {\n");
        for n in 0..9_000 {
            writeln!(variables, "  V{n}: '${{resources.r{n}.x}}',").unwrap();
        }
        refused(variables + "}}}");
    }

    #[test]
    fn circles_of_placeholders() {
        let mut text = "apiVersion: score.dev/v1b1\nmetadata: {name: circle}\n\
                        containers: {main: {image: x}}\nresources:\n"
            .to_owned();
        for n in 0..500 {
            let next = (n + 1) % 500;
            writeln!(
                text,
                "  r{n}: {{type: redis, params: {{x: '${{resources.r{next}.x}}'}}}}"
            )
            .unwrap();
        }
        // Names of one letter and a digit are names.
        assert_eq!(rules(&refused(text)), ["score/cycle"]);
    }

    #[test]
    fn nonsense() {
        for bytes in [
            &b"\xff\xfe"[..],
            b"\0",
            b"\xef\xbb\xbf",
            b"&",
            b"*a",
            b"!!binary x",
            b"!x {}",
            b"%YAML 9.9\n---\n",
            b"? {a: b}\n: c",
            b"? [a]\n: c",
            b"a: |\n b\n  c\n d: e",
            b"- \"\n",
            b"{<<: 1}",
            b"<<: [*x]",
        ] {
            refused(bytes);
        }
    }
}
