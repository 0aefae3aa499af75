//! Starter kits: what one call writes works, to the end of its own pipeline.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use serde_json::{Value, json};
use site::Site;
use tokio::process::Command;

const LONG: Duration = Duration::from_mins(1);

/// A kit, and what is done with what it writes.
struct Tried {
    kit: &'static str,
    /// The program that its language needs.
    language: &'static str,
    build: Option<&'static str>,
    /// What then runs.
    program: &'static str,
    with: &'static str,
    /// What it says that it has.
    needs: &'static [&'static str],
}

/// One of them with all that can be had.
const KITS: [Tried; 3] = [
    Tried {
        kit: "python-service",
        language: "python3",
        build: None,
        program: "service.py",
        with: "postgres,amqp,s3,route",
        needs: &["DATABASE_URL", "AMQP_URL", "S3_ENDPOINT"],
    },
    Tried {
        kit: "node-service",
        language: "node",
        build: None,
        program: "service.js",
        with: "postgres",
        needs: &["DATABASE_URL"],
    },
    Tried {
        kit: "rust-service",
        language: "cargo",
        build: Some("cargo build --offline"),
        program: "target/debug/service",
        with: "postgres",
        needs: &["DATABASE_URL"],
    },
];

/// A repository that `towpath new` has written.
struct Written<'a> {
    site: &'a Site,
    root: PathBuf,
}

impl Written<'_> {
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    fn workflow(&self) -> Value {
        serde_yaml_ng::from_str(&self.read(".github/workflows/delivery.yaml")).unwrap()
    }

    /// What the step of this name of a job of its pipeline runs.
    fn step(&self, job: &str, name: &str) -> String {
        let workflow = self.workflow();
        let steps = workflow["jobs"][job]["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name);
        step.unwrap()["run"].as_str().unwrap().to_owned()
    }

    /// Runs a script as the pipeline does: in the repository, with `towpath` at hand.
    async fn run(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let towpath = Path::new(env!("CARGO_BIN_EXE_towpath")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        Command::new("bash")
            .args(["-e", "-c", script])
            .current_dir(&self.root)
            .env("PATH", format!("{}:{path}", towpath.display()))
            .env("CARGO_TARGET_DIR", self.root.join("target"))
            .env("TOWPATH_DATA", &self.site.data)
            .env("TOWPATH_SERVER", self.site.server())
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap()
    }

    async fn done(&self, script: &str, variables: &[(&str, &str)]) -> String {
        let ended = self.run(script, variables).await;
        let said = [&ended.stdout[..], &ended.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(ended.status.success(), "{script}: {said}");
        said
    }

    /// The environment that the pipeline chooses for a push of `reference`.
    async fn chosen(&self, reference: &str) -> String {
        let kept = self.root.join("github-env");
        let variables = [
            ("GITHUB_REF", reference),
            ("GITHUB_ENV", kept.to_str().unwrap()),
        ];
        self.done(&self.step("deploy", "Choose the environment"), &variables)
            .await;
        let said = fs::read_to_string(&kept).unwrap();
        fs::remove_file(&kept).unwrap();
        said.trim().strip_prefix("ENVIRONMENT=").unwrap().to_owned()
    }
}

/// What lies in `directory`, by path below it.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(directory).unwrap().display().to_string();
                found.insert(below, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn what_a_kit_writes_tests_itself_deploys_itself_and_answers() {
    if testkit::servers::postgres().await.is_none() || testkit::servers::amqp().is_none() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = tempfile::tempdir().unwrap();
    let listed = site.cli(&["get", "starter-kits"]).await.out;
    for tried in KITS {
        let Tried { kit, language, .. } = tried;
        assert!(listed.contains(kit), "{listed}");
        if testkit::servers::require(language, testkit::servers::program(language)).is_none() {
            continue;
        }
        let root = desk.path().join(kit);
        let into = root.to_str().unwrap();
        let ended = site
            .cli(&[
                "new", kit, "--kit", kit, "--with", tried.with, "--into", into,
            ])
            .await;
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let written = Written { site: &site, root };
        let score = written.read("score.yaml");
        for option in ["postgres", "mysql", "redis", "amqp", "s3", "route"] {
            let is_wanted = tried.with.split(',').any(|one| one == option);
            let has = score.contains(&format!("type: {option}\n"));
            assert_eq!(has, is_wanted, "{option}: {score}");
        }

        let tests = written.step("test", "Test");
        written.done(&tests, &[]).await;
        let readme = written.read("README.md");
        assert!(readme.contains(&tests), "{readme}");
        // It was made without a team.
        assert!(readme.contains("towpath team onboard TEAM"), "{readme}");
        assert!(ended.err.contains("a CI runner elsewhere"), "{}", ended.err);
        if let Some(build) = tried.build {
            written.done(build, &[]).await;
        }
        let environment = written.chosen("refs/heads/main").await;
        assert_eq!(environment, "dev");
        assert_eq!(written.chosen("refs/tags/qa-7").await, "qa");
        assert_eq!(written.chosen("refs/tags/v1.0").await, "prod");
        let program = written.root.join(tried.program);
        let variables = [
            ("IMAGE", program.to_str().unwrap()),
            ("ENVIRONMENT", environment.as_str()),
            ("GITHUB_SHA", "0123abcd"),
        ];
        written
            .done(&written.step("deploy", "Deploy"), &variables)
            .await;

        let host = format!("{kit}.dev.localhost");
        let (status, body) = testkit::eventually("it answers", LONG, || async {
            site.get(&host)
                .await
                .ok()
                .filter(|(status, _)| *status == 200)
        })
        .await;
        let body: Value = serde_json::from_str(&body).unwrap();
        let needs: BTreeMap<_, _> = tried.needs.iter().map(|name| (*name, true)).collect();
        assert_eq!(
            (status, body),
            (200, json!({ "service": kit, "needs": needs }))
        );
        if tried.with.contains("route") {
            let routes = site.cli(&["get", "routes", "-o", "json"]).await.out;
            assert!(routes.contains(&host), "{routes}");
        }
    }
    let ended = site.cli(&["env", "delete", "dev", "--with-data"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[tokio::test]
async fn every_kit_of_a_service_knows_every_option() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = tempfile::tempdir().unwrap();
    let options = ["amqp", "mysql", "postgres", "redis", "route", "s3"];
    for Tried { kit, program, .. } in KITS {
        let root = desk.path().join(kit);
        let (into, all) = (root.to_str().unwrap(), options.join(","));
        let made = site
            .cli(&["new", kit, "--kit", kit, "--with", &all, "--into", into])
            .await;
        assert_eq!(made.code, 0, "{}{}", made.out, made.err);
        let source = if program.starts_with("target") {
            "src/main.rs"
        } else {
            program
        };
        let written = Written { site: &site, root };
        let (score, source) = (written.read("score.yaml"), written.read(source));
        for url in ["DATABASE_URL", "MYSQL_URL", "REDIS_URL", "AMQP_URL"] {
            assert!(score.contains(&format!("{url}: $")), "{kit} {url}: {score}");
            assert!(source.contains(url), "{kit} {url}: {source}");
        }
        let file = written.root.join("score.yaml");
        let plan = ["plan", file.to_str().unwrap(), "--image", "/bin/true"];
        let planned = site.cli(&plan).await;
        assert_eq!(planned.code, 0, "{kit}: {}{}", planned.out, planned.err);
        for option in options {
            let added = format!("{option}.default#{kit}.");
            let is_added = option == "route" || planned.out.contains(&added);
            assert!(is_added, "{added}: {}", planned.out);
        }
    }
}

#[tokio::test]
async fn a_consumer_takes_an_event_of_the_platform() {
    let python = testkit::servers::program("python3");
    if testkit::servers::require("python", python).is_none() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let mut site = Site::new(data.path());
    site.options = vec!["--webhooks-allow".into(), "127.0.0.1/32".into()];
    let _running = site.start().await;
    let desk = tempfile::tempdir().unwrap();
    let root = desk.path().join("board");
    let into = root.to_str().unwrap();
    let ended = site
        .cli(&["new", "board", "--kit", "python-consumer", "--into", into])
        .await;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let written = Written { site: &site, root };
    written.done(&written.step("test", "Test"), &[]).await;

    // As its README says, but for the port, which may be taken here.
    let readme = written.read("README.md");
    let (_, here) = readme.split_once("towpath up").unwrap();
    let (_, commands) = here.split_once('\n').unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let free = testkit::free_port();
    let port = free.to_string();
    let script = commands
        .replace(
            "python3 consumer.py &",
            "PORT=PORT_HERE python3 consumer.py >/dev/null 2>&1 &\nended=$!",
        )
        .replace("curl http", "sleep 2; curl --noproxy '*' -s http")
        .replace("9000", &port)
        .replace("PORT_HERE", &port)
        + "\nkill $ended";
    let said = written.done(&script, &[]).await;
    let board = r#"{"Environment/trial": "dev.towpath.environment.created"}"#;
    assert!(said.contains(board), "{script}: {said}");

    // What it is deployed with can be planned, once its secret is kept.
    let secret = written.root.join("secret");
    fs::write(&secret, "whsec_c2VjcmV0").unwrap();
    let secret = secret.to_str().unwrap();
    let kept = [
        "secret",
        "set",
        "webhooks/board",
        "--team",
        "default",
        "--from-file",
        secret,
    ];
    let ended = site.cli(&kept).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let score = written.root.join("score.yaml");
    let program = written.root.join("consumer.py");
    let plan = [
        "plan",
        score.to_str().unwrap(),
        "--image",
        program.to_str().unwrap(),
    ];
    let ended = site.cli(&plan).await;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
}

#[tokio::test]
async fn a_repository_is_written_whole_or_not_at_all() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = tempfile::tempdir().unwrap();
    let new = |into: &Path, more: &[&str]| {
        let into = into.to_str().unwrap().to_owned();
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        let site = &site;
        async move {
            let fixed = ["new", "shop", "--into", &into];
            let more = more.iter().map(String::as_str);
            site.cli(&fixed.into_iter().chain(more).collect::<Vec<_>>())
                .await
        }
    };

    let taken = desk.path().join("taken");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("mine"), "mine").unwrap();
    let refused = new(&taken, &["--kit", "python-service"]).await;
    assert_eq!(refused.code, 6, "{}", refused.err);
    assert!(
        refused.err.contains("is not an empty directory"),
        "{}",
        refused.err
    );
    assert_eq!(files(&taken).len(), 1);

    let free = desk.path().join("free");
    let refused = new(&free, &["--kit", "python-service", "--with", "postgras"]).await;
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused
            .err
            .contains("choose of: amqp, mysql, postgres, redis, route, s3"),
        "{}",
        refused.err
    );
    let refused = new(&free, &["--kit", "cobol-service"]).await;
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(!free.exists());

    // A kit of one's own; of another team, whose environments bear its name.
    let kit = json!({
        "apiVersion": "towpath.dev/v1", "kind": "StarterKit", "metadata": { "name": "ours" },
        "spec": {
            "description": "As we do it",
            "files": [{ "path": "bin/{x}", "content": "{{ name }} of {{ team }}\n", "executable": true }],
        },
    });
    let file = desk.path().join("kit.json");
    let apply = async |kit: &Value| {
        fs::write(&file, kit.to_string()).unwrap();
        site.cli(&["apply", "-f", file.to_str().unwrap()]).await
    };
    let applied = apply(&kit).await;
    assert_eq!(applied.code, 0, "{}", applied.err);
    fs::create_dir(&free).unwrap();
    let made = new(&free, &["--kit", "ours", "--team", "payments"]).await;
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(
        files(&free),
        BTreeMap::from([("bin/{x}".to_owned(), "shop of payments\n".to_owned())])
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(free.join("bin/{x}")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o100, 0o100);

    for (pointer, bad, word) in [
        (
            "/spec/files/0/path",
            "../x",
            "is no path below a repository",
        ),
        (
            "/spec/files/0/path",
            ".git/hooks/pre-commit",
            "is no path below a repository",
        ),
        ("/spec/files/0/content", "{% if %}", "bin/{x}"),
    ] {
        let mut wrong = kit.clone();
        *wrong.pointer_mut(pointer).unwrap() = bad.into();
        let refused = apply(&wrong).await;
        assert_eq!(refused.code, 3, "{bad}: {}", refused.err);
        assert!(refused.err.contains(word), "{bad}: {}", refused.err);
    }
    let beside: Vec<_> = fs::read_dir(desk.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(beside.len(), 3, "no draft is left: {beside:?}");
}
