//! From a workload to a release.

use std::{collections::BTreeMap, path::Path};

use kernel::Secret;
use serde_json::{Map, Value, json};
use towpath_delivery::{
    engine::{Before, Probe, Release, ReleaseRef},
    provisioner::Output,
    score::{self, Limits, Service, Source, Workload},
};

const CANARY: &str = "canary-7f0c";

fn full() -> Workload {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/score/valid/full.yaml");
    let source = Source {
        name: "full.yaml".into(),
        bytes: std::fs::read(path).unwrap(),
    };
    score::parse(&source, &Limits::default())
        .unwrap()
        .remove(0)
        .workload
}

fn outputs(password: &str) -> BTreeMap<&'static str, BTreeMap<String, Output>> {
    let plain = |value: Value| Output::Plain(value);
    [
        (
            "db",
            vec![
                ("host", plain(json!("127.0.0.1"))),
                ("name", plain(json!("bookshop"))),
                ("username", plain(json!("clerk"))),
                ("password", Output::Secret(Secret::from(password))),
            ],
        ),
        (
            "my.cache",
            vec![("host", plain(json!("${resources.db.password}")))],
        ),
        ("data", vec![("source", plain(json!("/srv/data")))]),
    ]
    .into_iter()
    .map(|(name, outputs)| {
        let outputs = outputs
            .into_iter()
            .map(|(name, output)| (name.to_owned(), output));
        (name, outputs.collect())
    })
    .collect()
}

fn release_with(
    workload: &Workload,
    password: &str,
    key: &str,
) -> Result<Release, Vec<kernel::Problem>> {
    let id = ReleaseRef {
        environment: "dev".into(),
        workload: workload.metadata.name.clone(),
        release: 1,
    };
    let outputs = outputs(password);
    score::release(
        workload,
        (id, "readers".into()),
        Vec::new(),
        &|name, path| score::output_at(outputs.get(name)?, path),
        &Secret::from(key),
    )
}

fn release(workload: &Workload) -> Release {
    release_with(workload, CANARY, "key").unwrap()
}

#[test]
fn everything_reaches_the_engine_resolved() {
    let release = release(&full());
    let web = &release.containers["web"];
    let variable = |name: &str| web.variables[name].expose_str().unwrap().to_owned();
    assert_eq!(
        variable("DATABASE_URL"),
        format!("postgres://clerk:{CANARY}@127.0.0.1/bookshop")
    );
    assert_eq!(variable("OWNER"), "readers");
    assert_eq!(variable("PRICE"), "5$ or ${metadata.name}");

    let file = |target: &str| {
        web.files
            .iter()
            .find(|f| f.target == Path::new(target))
            .unwrap()
    };
    let config = file("/etc/bookshop/config.ini");
    assert_eq!(config.mode, 0o640);
    // What an output holds is not searched for placeholders again.
    assert_eq!(
        config.content.expose_str(),
        Some("[cache]\nhost = ${resources.db.password}\n")
    );
    assert_eq!(
        file("/etc/bookshop/raw.sh").content.expose_str(),
        Some("echo ${HOME}")
    );
    assert_eq!(file("/etc/bookshop/raw.sh").mode, 0o644);
    let logo = file("/etc/bookshop/logo.png").content.expose();
    assert_eq!(logo, b"\x89PNG\r\n\x1a\n");

    let [volume] = web.volumes.as_slice() else {
        panic!("one volume");
    };
    assert_eq!(volume.source, Path::new("/srv/data"));
    assert_eq!(volume.path, Path::new("covers"));
    assert!(volume.read_only);

    assert_eq!(web.cpu_limit_millis, Some(1500));
    assert_eq!(web.memory_limit_bytes, Some(1_000_000_000));
    assert_eq!(web.cpu_request_millis, Some(100));
    assert_eq!(web.memory_request_bytes, Some(64 << 20));
    assert!(matches!(&web.liveness, Some(Probe::Exec { command }) if command == &["/bin/alive"]));
    let Some(Probe::Http(ready)) = &web.readiness else {
        panic!("an HTTP probe");
    };
    assert!(ready.https && ready.port == 8080 && ready.path == "/ready");
    assert_eq!(ready.headers, [("X-Probe".to_owned(), "yes".to_owned())]);
    assert_eq!(
        release.containers["migrate"].before["web"],
        Before::Complete
    );
    assert_eq!(
        (release.ports["web"].port, release.ports["web"].target),
        (80, 8080)
    );
    assert!(release.ports["dns"].udp && release.ports["dns"].target == 53);
    assert!(!format!("{release:?}").contains(CANARY));
}

#[test]
fn the_main_port_is_tcp_and_has_a_usual_name_where_one_has() {
    for (ports, main) in [
        (json!({ "admin": "TCP", "web": "TCP" }), Some("web")),
        (
            json!({ "http": "TCP", "web": "TCP", "www": "UDP" }),
            Some("web"),
        ),
        (
            json!({ "dns": "UDP", "grpc": "TCP", "zoo": "TCP" }),
            Some("grpc"),
        ),
        (json!({ "dns": "UDP" }), None),
    ] {
        let ports = ports.as_object().unwrap().iter();
        let ports: Map<String, Value> = ports
            .map(|(name, protocol)| (name.clone(), json!({ "port": 80, "protocol": protocol })))
            .collect();
        let service: Service = serde_json::from_value(json!({ "ports": ports })).unwrap();
        assert_eq!(service.main_port(), main, "{service:?}");
    }
}

#[test]
fn the_digest_follows_the_content_and_tells_nothing_without_the_key() {
    let workload = full();
    let digest = |workload: &Workload, password: &str, key: &str| {
        release_with(workload, password, key).unwrap().digest
    };
    let first = digest(&workload, CANARY, "key");
    assert_eq!(first, digest(&workload, CANARY, "key"));
    assert_ne!(first, digest(&workload, "another", "key"));
    assert_ne!(first, digest(&workload, CANARY, "another key"));
    let changes: [fn(&mut Workload); 6] = [
        |w| {
            w.containers
                .get_mut("web")
                .unwrap()
                .args
                .push(String::new())
        },
        |w| w.containers.get_mut("web").unwrap().image.push('x'),
        |w| w.containers.get_mut("web").unwrap().readiness_probe = None,
        |w| w.containers.get_mut("migrate").unwrap().before.clear(),
        |w| w.service = None,
        |w| {
            let annotations = &mut w.metadata.annotations;
            annotations.insert(score::FIXED_PORT.into(), "true".into());
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = workload.clone();
        change(&mut changed);
        assert_ne!(first, digest(&changed, CANARY, "key"), "change {index}");
    }
}

#[test]
fn what_cannot_be_resolved_is_told_all_at_once_and_without_secrets() {
    let mut workload = full();
    let web = workload.containers.get_mut("web").unwrap();
    let variables = &mut web.variables;
    variables.insert(
        "A".into(),
        "${resources.db.password} ${resources.db.nope}".into(),
    );
    variables.insert("B".into(), "${resources.my\\.cache.host.deeper}".into());
    web.volumes.get_mut("/var/lib/bookshop").unwrap().source = "${resources.db.host}".into();
    web.files.get_mut("/etc/bookshop/logo.png").unwrap().source = Some("x".into());
    let problems = release_with(&workload, CANARY, "key").unwrap_err();
    let told: Vec<_> = problems
        .iter()
        .map(|p| (p.rule.as_str(), p.path.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("score/placeholder", "containers.web.variables.A"),
            ("score/placeholder", "containers.web.variables.B"),
            (
                "score/volume",
                "containers.web.volumes./var/lib/bookshop.source"
            ),
        ]
    );
    assert!(!format!("{problems:?}").contains(CANARY));
}

#[test]
fn what_cannot_be_deployed_is_refused_before_anything_is_made() {
    let mut workload = full();
    let clean = score::deployable(&workload);
    let rules: Vec<_> = clean
        .iter()
        .map(|p| (p.rule.as_str(), p.path.as_str()))
        .collect();
    assert_eq!(rules, [("score/image", "containers.web.image")]);

    let web = workload.containers.get_mut("web").unwrap();
    web.image = "example/web:1".into();
    let volume = web.volumes.get_mut("/var/lib/bookshop").unwrap();
    volume.source = "/srv/nowhere".into();
    volume.path = Some("a/../../b".into());
    let compute = web.resources.as_mut().unwrap();
    compute.requests.as_mut().unwrap().memory = Some("2G".into());
    compute.requests.as_mut().unwrap().cpu = Some("2".into());
    web.liveness_probe
        .as_mut()
        .unwrap()
        .exec
        .as_mut()
        .unwrap()
        .command
        .clear();
    let file = web.files.get_mut("/etc/bookshop/raw.sh").unwrap();
    file.content = None;
    file.source = Some("raw.sh".into());
    let rules: Vec<_> = score::deployable(&workload)
        .into_iter()
        .map(|p| p.rule)
        .collect();
    assert_eq!(
        rules,
        [
            "score/source",
            "score/volume",
            "score/volume",
            "score/probe"
        ]
    );
}

#[test]
fn annotations_of_ours_are_known_and_say_what_they_may() {
    let told = |name: &str, value: &str| {
        let mut workload = full();
        workload.containers.get_mut("web").unwrap().image = "example/web:1".into();
        let annotations = &mut workload.metadata.annotations;
        annotations.insert(name.into(), value.into());
        score::deployable(&workload)
    };
    for value in ["true", "false"] {
        assert_eq!(told("towpath.dev/fixed-port", value), []);
    }
    assert_eq!(told("example.com/fixed-port", "yes"), []);
    for (name, value, remedy) in [
        ("towpath.dev/fixed-port", "yes", "write \"true\""),
        (
            "towpath.dev/fixed-ports",
            "true",
            "did you mean `towpath.dev/fixed-port`?",
        ),
        (
            "towpath.dev/colour",
            "red",
            "there is `towpath.dev/fixed-port`",
        ),
    ] {
        let problems = told(name, value);
        let [problem] = problems.as_slice() else {
            panic!("{name}: {problems:?}");
        };
        assert_eq!(problem.rule, "score/annotation");
        assert!(
            problem.path.starts_with("metadata.annotations."),
            "{problem:?}"
        );
        assert!(
            problem.remedy.as_deref().unwrap().contains(remedy),
            "{problem:?}"
        );
    }
}

#[test]
fn annotations_of_ours_are_refused_of_resources() {
    let told = |name: &str| {
        let mut workload = full();
        workload.containers.get_mut("web").unwrap().image = "example/web:1".into();
        let resource = workload.resources.values_mut().next().unwrap();
        let annotations = json!({ name: "true" });
        resource.metadata.insert("annotations".into(), annotations);
        score::deployable(&workload)
    };
    assert_eq!(told("example.com/colour"), []);
    for (name, remedy) in [
        (
            "towpath.dev/fixed-prt",
            "write it into its `metadata.annotations`",
        ),
        ("towpath.dev/colour", "there is `towpath.dev/fixed-port`"),
    ] {
        let problems = told(name);
        let [problem] = problems.as_slice() else {
            panic!("{name}: {problems:?}");
        };
        assert_eq!(problem.rule, "score/annotation");
        assert!(problem.path.starts_with("resources."), "{problem:?}");
        assert!(
            problem.remedy.as_deref().unwrap().contains(remedy),
            "{problem:?}"
        );
    }
}

#[test]
fn placeholders_where_there_are_none_are_advised_against() {
    let mut workload = full();
    assert_eq!(score::advice(&workload), []);
    let web = workload.containers.get_mut("web").unwrap();
    web.image = "example/${metadata.name}:1".into();
    web.command = vec!["sh".into(), "-c".into()];
    web.args = vec![
        "echo ${HOME} $${resources.db.host}".into(),
        "--db=${resources.db.host}".into(),
    ];
    let told: Vec<_> = score::advice(&workload)
        .into_iter()
        .map(|problem| (problem.rule, problem.path))
        .collect();
    let unused = |path: &str| ("score/placeholder-unused".to_owned(), path.to_owned());
    assert_eq!(
        told,
        [
            unused("containers.web.image"),
            unused("containers.web.args.1")
        ]
    );
}

#[test]
fn nothing_can_be_below_a_file() {
    let mut workload = full();
    let web = workload.containers.get_mut("web").unwrap();
    web.image = "example/web:1".into();
    let file = web.files["/etc/bookshop/raw.sh"].clone();
    web.files.insert("/var".into(), file.clone());
    web.files
        .insert("/etc/bookshop/raw.sh/more".into(), file.clone());
    web.files.insert("/etc/bookshop/raw.shell".into(), file);
    let problems = score::deployable(&workload);
    let told: Vec<_> = problems
        .iter()
        .map(|p| (p.path.as_str(), p.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "containers.web.files./etc/bookshop/raw\\.sh",
                "there is a file at `/etc/bookshop/raw.sh`, so nothing else can be at \
                 `/etc/bookshop/raw.sh/more`"
            ),
            (
                "containers.web.files./var",
                "there is a file at `/var`, so nothing else can be at `/var/lib/bookshop`"
            ),
        ]
    );
}

#[test]
fn a_plain_name_and_a_rooted_path_mean_the_volume() {
    let mut workload = full();
    let web = workload.containers.get_mut("web").unwrap();
    let volume = web.volumes.get_mut("/var/lib/bookshop").unwrap();
    volume.source = "data".into();
    volume.path = Some("/covers/./large".into());
    let mount = release(&workload).containers["web"].volumes[0].clone();
    assert_eq!(mount.source, Path::new("/srv/data"));
    assert_eq!(mount.path, Path::new("covers/large"));
}

#[test]
fn a_request_above_its_limit_is_advised_against_and_counts_as_the_limit() {
    let mut workload = full();
    let web = workload.containers.get_mut("web").unwrap();
    let requests = web.resources.as_mut().unwrap().requests.as_mut().unwrap();
    (requests.cpu, requests.memory) = (Some("2".into()), Some("10Gi".into()));
    let advice = score::advice(&workload);
    let places: Vec<_> = advice.iter().map(|it| it.path.as_str()).collect();
    let place = "containers.web.resources.requests";
    assert_eq!(places, [format!("{place}.cpu"), format!("{place}.memory")]);
    let web = &release(&workload).containers["web"];
    assert_eq!(web.cpu_request_millis, Some(1500));
    assert_eq!(web.memory_request_bytes, Some(1_000_000_000));
}

#[test]
fn of_two_questions_of_a_probe_the_command_is_asked() {
    let mut workload = full();
    let web = workload.containers.get_mut("web").unwrap();
    let exec = web.liveness_probe.clone().unwrap().exec;
    web.readiness_probe.as_mut().unwrap().exec = exec;
    let probe = release(&workload).containers["web"].readiness.clone();
    let Probe::Exec { command } = probe.unwrap() else {
        panic!("it is asked over HTTP");
    };
    assert_eq!(command, ["/bin/alive"]);
}

#[test]
fn a_probe_of_a_port_that_is_not_declared_is_advised_against() {
    let mut workload = full();
    assert_eq!(score::advice(&workload), []);
    let web = workload.containers.get_mut("web").unwrap();
    let probe = web.readiness_probe.as_mut().unwrap();
    probe.http_get.as_mut().unwrap().port = 9;
    let advice = score::advice(&workload);
    assert_eq!(advice[0].path, "containers.web.readinessProbe.httpGet.port");
}
