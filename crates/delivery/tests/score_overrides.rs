//! Overrides files, `--override` and `--image`.

use kernel::Problem;
use towpath_delivery::score::{self, Document, Input, Limits, Source};

const NOTES: &str = r#"apiVersion: score.dev/v1b1
metadata:
  name: notes
  annotations: {example.com/note: old}
containers:
  web:
    image: .
    args: ["--port", "80"]
    variables: {LEVEL: info, MODE: a}
    files:
      - target: /etc/notes
        content: old
"#;

const STATS: &str = "apiVersion: score.dev/v1b1\nmetadata: {name: stats}\n\
                     containers: {main: {image: .}, side: {image: side:1}}\n";

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.into(),
        bytes: text.into(),
    }
}

fn input(overrides: &[&str]) -> Input {
    Input {
        files: vec![source("score.yaml", NOTES)],
        overrides: overrides.iter().map(|text| (*text).to_owned()).collect(),
        ..Input::default()
    }
}

fn load(input: &Input) -> Result<Vec<Document>, Vec<Problem>> {
    score::load(input, &Limits::default())
}

#[test]
fn paths_set_append_and_remove() {
    let document = load(&input(&[
        "containers.web.image=web:2",
        "service.ports.web.port=\"8080\"",
    ]));
    // Text, where a number belongs: told where it comes from.
    let problems = document.unwrap_err();
    assert_eq!(problems.len(), 1);
    let at = problems[0].location.as_ref().unwrap();
    assert_eq!(at.file, "--override service.ports.web.port=\"8080\"");
    assert_eq!((at.line, at.column), (1, 1));
    assert_eq!(
        problems[0].remedy.as_deref(),
        Some("remove the quotes: 8080")
    );

    let document = load(&input(&[
        "containers.web.image=web:2",
        "containers.web.args.1=\"8080\"",
        "containers.web.args.-1=--verbose",
        "containers.web.variables.LEVEL=",
        "containers.web.variables.NEW={a}=b",
        "containers.web.files.0.content=new",
        r"metadata.annotations.example\.com/note=new",
        "resources.db={type: postgres, params: {size: 3}}",
        "service.ports.web.port=80",
    ]));
    // `{a}=b` is no YAML, and `=` belongs to the value.
    let problems = document.unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].rule, "score/yaml");

    let document = load(&input(&[
        "containers.web.image=web:2",
        "containers.web.args.1=\"8080\"",
        "containers.web.args.-1=--verbose",
        "containers.web.variables.LEVEL=",
        "containers.web.variables.NEW=a=b",
        "containers.web.files.0.content=new",
        r"metadata.annotations.example\.com/note=new",
        "resources.db={type: postgres, params: {size: 3}}",
        "service.ports.web.port=80",
    ]))
    .unwrap()
    .remove(0);
    let web = &document.workload.containers["web"];
    assert_eq!(web.image, "web:2");
    assert_eq!(web.args, ["--port", "8080", "--verbose"]);
    assert_eq!(web.files["/etc/notes"].content.as_deref(), Some("new"));
    let variables: Vec<_> = web.variables.iter().collect();
    assert_eq!(
        variables,
        [
            (&"MODE".to_owned(), &"a".to_owned()),
            (&"NEW".to_owned(), &"a=b".to_owned())
        ]
    );
    assert_eq!(
        document.workload.metadata.annotations["example.com/note"],
        "new"
    );
    assert_eq!(document.workload.resources["db"].params["size"], 3);
    assert_eq!(document.workload.service.unwrap().ports["web"].port, 80);
}

#[test]
fn overrides_that_lead_nowhere_are_told() {
    for (text, message) in [
        ("containers.web.image", "no `=`"),
        ("containers..image=x", "empty"),
        ("=x", "empty"),
        ("containers.web.args.7=x", "no item"),
        ("containers.web.args.-1=", "no item"),
        ("containers.web.image.tag=x", "neither a map nor a list"),
        ("containers.api.image=", "nothing to remove"),
        ("nobody:metadata.name=x", "no workload `nobody`"),
        ("metadata.name=a\n---\nb", "several documents"),
        ("metadata.name=[", "not YAML"),
        ("contaners.web.image=x", "not a field"),
        (&format!("{}=x", ["a"; 100].join(".")), "too long"),
    ] {
        let mut input = input(&[text]);
        input.image = Some("web:1".into());
        let problems = load(&input).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(
            problems[0].message.contains(message),
            "{text}: {problems:?}"
        );
        assert!(problems[0].remedy.is_some(), "{text}");
    }
}

#[test]
fn a_misspelt_container_is_told_and_a_new_one_is_added() {
    for (text, near) in [
        ("containers.weeb.image=x", "did you mean `web`?"),
        ("containers.weeb.variables.A=x", "did you mean `web`?"),
        ("containers.sidecar.variables.A=x", "name one of these"),
    ] {
        let mut input = input(&[text]);
        input.image = Some("web:1".into());
        let problems = load(&input).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        let problem = &problems[0];
        assert!(
            problem.message.contains("there is no container"),
            "{text}: {problem:?}"
        );
        assert!(
            problem.message.contains("only `web`"),
            "{text}: {problem:?}"
        );
        let remedy = problem.remedy.as_deref().unwrap_or_default();
        assert!(remedy.contains(near), "{text}: {remedy}");
    }
    for added in [
        &[
            "containers.sidecar.image=side:1",
            "containers.sidecar.variables.A=x",
        ][..],
        &["containers.weeb={image: side:1}"],
    ] {
        let mut input = input(added);
        input.image = Some("web:1".into());
        let document = load(&input).unwrap().remove(0);
        assert_eq!(document.workload.containers.len(), 2, "{added:?}");
    }

    let mut input = input(&[]);
    input.image = Some("web:1".into());
    input.overrides_files = vec![source("over.yaml", "containers: {weeb: {args: [x]}}\n")];
    let problems = load(&input).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let at = problems[0].location.as_ref().unwrap();
    assert_eq!((at.file.as_str(), at.line, at.column), ("over.yaml", 1, 14));
    assert!(
        problems[0].message.contains("no container `weeb`"),
        "{problems:?}"
    );
    input.overrides_files[0] = source("over.yaml", "containers: {side: {image: side:1}}\n");
    assert_eq!(load(&input).unwrap()[0].workload.containers.len(), 2);
}

#[test]
fn overrides_files_merge_deeply_replace_lists_and_remove_by_null() {
    let mut input = input(&["containers.web.variables.LEVEL=trace"]);
    input.overrides_files = vec![
        source(
            "first.yaml",
            "containers:\n  web:\n    image: web:3\n    args: [a]\n    files: null\n    \
             variables: {LEVEL: debug, MODE: null, NONE: null}\n",
        ),
        source("second.yaml", "containers: {web: {args: [b]}}\n"),
    ];
    let document = load(&input).unwrap().remove(0);
    let web = &document.workload.containers["web"];
    assert_eq!(
        (web.image.as_str(), web.args.as_slice()),
        ("web:3", &["b".to_owned()][..])
    );
    assert!(web.files.is_empty());
    assert_eq!(web.variables.len(), 1);
    assert_eq!(web.variables["LEVEL"], "trace");
    assert_eq!(document.file(), "score.yaml");

    input.overrides_files[1] = source("second.yaml", "containers: {web: {imag: x}}\n");
    let problems = load(&input).unwrap_err();
    let at = problems[0].location.as_ref().unwrap();
    assert_eq!(
        (at.file.as_str(), at.line, at.column),
        ("second.yaml", 1, 20)
    );
    assert_eq!(
        input.text("second.yaml").unwrap(),
        "containers: {web: {imag: x}}\n"
    );
}

#[test]
fn several_workloads_are_told_apart_by_name() {
    let mut input = input(&["stats:containers.side.image=side:2"]);
    input.files.push(source("stats.yaml", STATS));
    input.overrides_files = vec![source(
        "over.yaml",
        "metadata: {name: notes}\ncontainers: {web: {args: [x]}}\n",
    )];
    input.image = Some("given:1".into());
    let documents = load(&input).unwrap();
    assert_eq!(documents.len(), 2);
    let [notes, stats] = [&documents[0].workload, &documents[1].workload];
    assert_eq!(notes.containers["web"].image, "given:1");
    assert_eq!(notes.containers["web"].args, ["x"]);
    assert_eq!(stats.containers["main"].image, "given:1");
    assert_eq!(stats.containers["side"].image, "side:2");
    assert_eq!(documents[1].file(), "stats.yaml");

    input.overrides = vec!["containers.side.image=x".into()];
    input.overrides_files[0] = source("over.yaml", "metadata: {name: other}\n");
    let problems = load(&input).unwrap_err();
    let rules: Vec<_> = problems
        .iter()
        .map(|problem| problem.rule.as_str())
        .collect();
    assert_eq!(rules, ["score/override", "score/override"]);

    input.overrides.clear();
    input.overrides_files.clear();
    input.files.push(source("again.yaml", STATS));
    let problems = load(&input).unwrap_err();
    assert_eq!(problems[0].rule, "score/duplicate");
    assert_eq!(problems[0].location.as_ref().unwrap().file, "again.yaml");
}

#[test]
fn mistakes_of_all_files_are_told_at_once() {
    let mut input = input(&["nonsense"]);
    input.files.push(source("broken.yaml", "a: [\n"));
    input.files.push(Source {
        name: "binary.yaml".into(),
        bytes: vec![0xff],
    });
    input.overrides_files = vec![source("empty.yaml", "")];
    let rules: Vec<_> = load(&input)
        .unwrap_err()
        .into_iter()
        .map(|p| p.rule)
        .collect();
    for rule in [
        "score/override",
        "score/empty",
        "score/yaml",
        "score/encoding",
    ] {
        assert!(rules.iter().any(|r| r == rule), "{rule} in {rules:?}");
    }
}

#[test]
fn what_is_written_for_a_text_is_one_without_quotes() {
    let documents = load(&input(&[
        "containers.web.image=1",
        "containers.web.args.1=8080",
        "containers.web.args.-1=true",
        "containers.web.variables.R=1.10",
        "containers.web.variables.S=\"1.10\"",
        "containers.web.variables.T=0x1F # as written",
        "containers.web.files.0.mode=0644",
        "containers.web.resources.limits.cpu=2",
        r"metadata.annotations.example\.com/note=true",
        "resources.db={type: postgres}",
        "resources.db.params.size=3",
        "service.ports.web.port=80",
    ]))
    .unwrap();
    let workload = &documents[0].workload;
    let web = &workload.containers["web"];
    assert_eq!(web.image, "1");
    assert_eq!(web.args, ["--port", "8080", "true"]);
    for (name, text) in [("R", "1.10"), ("S", "1.10"), ("T", "0x1F")] {
        assert_eq!(web.variables[name], text, "{name}");
    }
    assert_eq!(web.files["/etc/notes"].mode.as_deref(), Some("0644"));
    assert_eq!(workload.metadata.annotations["example.com/note"], "true");
    // What may be anything is what YAML says.
    assert_eq!(workload.resources["db"].params["size"], 3);

    // `null` is no text: it removes what is there. What is in brackets is YAML whole.
    let removed = load(&input(&[
        "containers.web.image=x",
        "containers.web.variables.LEVEL=null",
    ]))
    .unwrap();
    let variables = &removed[0].workload.containers["web"].variables;
    assert_eq!(variables.keys().collect::<Vec<_>>(), ["MODE"]);
    for (given, rule) in [
        ("containers.web.variables.R=null", "score/override"),
        ("containers.web.variables={R: 1}", "score/type"),
        ("metadata.name=[notes]", "score/type"),
    ] {
        let problems = load(&input(&["containers.web.image=x", given])).unwrap_err();
        assert_eq!(problems[0].rule, rule, "{given}");
    }
}
