//! The program as its own platform: started, used, stopped and started again.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// What a start, a deployment or a stop takes on a busy machine, at the most.
const LONG: Duration = Duration::from_mins(1);

fn towpath(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TOWPATH_DATA", data)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A platform on free ports, with these variables.
fn platform(data: &Path, variables: &[(&str, &str)]) -> Command {
    let free = "127.0.0.1:0";
    let mut command = towpath(data);
    command
        .args([
            "up",
            "--no-start-servers",
            "--listen",
            free,
            "--gateway-listen",
            free,
        ])
        .args(["--s3-listen", free])
        .envs(variables.iter().copied());
    command
}

/// Starts a platform on free ports, and gives its address.
async fn up(data: &Path) -> (Child, String) {
    up_with(data, &[]).await
}

/// The same, with these variables.
async fn up_with(data: &Path, variables: &[(&str, &str)]) -> (Child, String) {
    started(platform(data, variables)).await
}

/// What `command` starts, and its address.
async fn started(mut command: Command) -> (Child, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = timeout(LONG, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(rest) = line.strip_prefix("towpath is up: the API at ") {
                return rest.split(',').next().unwrap().to_owned();
            }
        }
        panic!("it ended before it was up");
    });
    let address = address.await.unwrap();
    // Read on, so that it is never kept from writing.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

async fn run(data: &Path, server: &str, arguments: &[&str]) -> Output {
    let run = towpath(data)
        .args(arguments)
        .args(["--server", server])
        .output();
    timeout(LONG, run).await.unwrap().unwrap()
}

async fn succeeds(data: &Path, server: &str, arguments: &[&str]) -> String {
    let output = run(data, server, arguments).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A workload that needs nothing but a shell.
const SCORE: &str = r#"
apiVersion: score.dev/v1b1
metadata: {name: clock}
containers:
  main:
    image: /bin/sh
    command: ["/bin/sh", "-c", "echo \"$WORDS\"; exec sleep 1000"]
    variables: {WORDS: tick}
"#;

#[tokio::test]
async fn a_workload_is_deployed_changed_returned_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let score = directory.path().join("score.yaml");
    std::fs::write(&score, SCORE).unwrap();
    let score = score.to_str().unwrap();
    let (mut platform, server) = up(&data).await;

    succeeds(
        &data,
        &server,
        &["deploy", score, "--env", "pr-1", "--ttl", "1h"],
    )
    .await;
    let env = ["--env", "pr-1"];
    let plan = succeeds(&data, &server, &[&["plan", score][..], &env].concat()).await;
    assert!(plan.contains("nothing changes"), "{plan}");
    let other = [
        "deploy",
        score,
        "--override",
        "containers.main.variables.WORDS=tock",
    ];
    succeeds(&data, &server, &[&other[..], &env].concat()).await;
    let logs = succeeds(&data, &server, &[&["logs", "clock"][..], &env].concat()).await;
    assert!(logs.contains("tick") && logs.contains("tock"), "{logs}");
    succeeds(&data, &server, &[&["rollback"][..], &env].concat()).await;
    let status = succeeds(&data, &server, &["status", "--env", "pr-1", "-o", "json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["workloads"][0]["phase"], "ready", "{status}");

    succeeds(&data, &server, &["env", "delete", "pr-1", "--with-data"]).await;
    let gone = run(&data, &server, &["env", "describe", "pr-1"]).await;
    assert_eq!(gone.status.code(), Some(4));

    succeeds(&data, &server, &["down"]).await;
    assert!(
        timeout(LONG, platform.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
    assert_eq!(run(&data, &server, &["down"]).await.status.code(), Some(4));
    assert_eq!(
        run(&data, &server, &["status"]).await.status.code(),
        Some(7)
    );
}

/// Has a platform with these variables run, do this, and end.
async fn once(data: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let (mut platform, server) = up_with(data, variables).await;
    let said = match arguments {
        [] => String::new(),
        arguments => succeeds(data, &server, arguments).await,
    };
    succeeds(data, &server, &["down"]).await;
    timeout(LONG, platform.wait()).await.unwrap().unwrap();
    said
}

#[tokio::test]
async fn the_platforms_key_may_be_in_its_environment() {
    const KEY: &str = "TOWPATH_PLATFORM_KEY";
    let directory = tempfile::tempdir().unwrap();
    let places = ["own", "other"].map(|name| directory.path().join(name));
    for place in &places {
        once(place, &[], &[]).await;
    }
    let [own, other] = places
        .each_ref()
        .map(|place| std::fs::read_to_string(place.join("platform.key")).unwrap());
    let (own, other) = (own.trim(), other.trim());
    let data = &places[0];
    std::fs::remove_file(data.join("platform.key")).unwrap();

    let refused = timeout(LONG, platform(data, &[(KEY, other)]).output()).await;
    let refused = refused.unwrap().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("the platform's key is not the one"), "{said}");
    once(data, &[(KEY, own)], &[]).await;

    let both = [(KEY, other), ("TOWPATH_FORMER_PLATFORM_KEY", own)];
    let done = once(data, &both, &["rekey", "-o", "json"]).await;
    let state: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!(state["former"], serde_json::json!([]), "{done}");
    once(data, &[(KEY, other)], &[]).await;
    assert!(
        !data.join("platform.key").exists(),
        "none is drawn beside it"
    );
}

#[tokio::test]
async fn a_key_in_the_environment_is_changed_while_the_platform_serves() {
    const KEY: &str = "TOWPATH_PLATFORM_KEY";
    let directory = tempfile::tempdir().unwrap();
    let [data, other] = ["own", "other"].map(|name| directory.path().join(name));
    for place in [&data, &other] {
        once(place, &[], &[]).await;
    }
    let file = other.join("platform.key");
    let [old, new] = [&data.join("platform.key"), &file]
        .map(|place| std::fs::read_to_string(place).unwrap().trim().to_owned());
    let (old, new) = (old.as_str(), new.as_str());
    std::fs::remove_file(data.join("platform.key")).unwrap();

    let (mut platform, server) = up_with(&data, &[(KEY, old)]).await;
    let drawn = run(&data, &server, &["rekey", "--new-key"]).await;
    let said = String::from_utf8_lossy(&drawn.stderr);
    assert!(
        !drawn.status.success() && said.contains("--new-key-file"),
        "{said}"
    );
    let change = ["rekey", "--new-key-file", file.to_str().unwrap()];
    let done = succeeds(&data, &server, &change).await;
    assert!(done.contains("--forget-former"), "{done}");
    assert!(!done.contains(old) && !done.contains(new), "{done}");
    platform.kill().await.unwrap();

    // Until it was started with the new one, the former one starts it, too.
    for (given, is_kept) in [(old, true), (new, false)] {
        let status = once(&data, &[(KEY, given)], &["rekey", "--status", "-o", "json"]).await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["remaining"], 0, "{status}");
        assert_eq!(status["change"].is_object(), is_kept, "{status}");
    }
    let refused = timeout(LONG, crate::platform(&data, &[(KEY, old)]).output()).await;
    let refused = refused.unwrap().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("the platform's key is not the one"), "{said}");
}

#[tokio::test]
async fn a_workload_lives_on_while_the_platform_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let score = directory.path().join("score.yaml");
    std::fs::write(&score, SCORE).unwrap();
    let (mut platform, server) = up(&data).await;
    succeeds(&data, &server, &["deploy", score.to_str().unwrap()]).await;
    let pid = async |server: &str| {
        let workload = succeeds(&data, server, &["get", "workload", "clock", "-o", "json"]).await;
        let workload: serde_json::Value = serde_json::from_str(&workload).unwrap();
        workload["status"]["releases"]["1"]["containers"]["main"]["handle"].clone()
    };
    let before = pid(&server).await;
    assert!(before.is_string(), "{before}");

    succeeds(&data, &server, &["down"]).await;
    timeout(LONG, platform.wait()).await.unwrap().unwrap();
    let (_platform, server) = up(&data).await;
    assert_eq!(pid(&server).await, before);
    succeeds(&data, &server, &["delete", "workload", "clock"]).await;
    succeeds(&data, &server, &["down"]).await;
}

/// The servers of a test, which would outlive it.
struct StopsServers<'a>(&'a Path);

impl Drop for StopsServers<'_> {
    fn drop(&mut self) {
        // Stopped already is as good.
        let _ = std::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["down", "--servers"])
            .env("TOWPATH_DATA", self.0)
            .output();
    }
}

/// Whether the Redis of the one instance that there is accepts connections.
fn listens(data: &Path) -> Option<()> {
    let homes = std::fs::read_dir(data.join("servers/servers/redis-instances")).ok()?;
    let home = homes.flatten().next()?.path();
    let port = std::fs::read_to_string(home.join("redis.port")).ok()?;
    let port = port.trim().parse::<u16>().ok()?;
    let connected = std::net::TcpStream::connect(("127.0.0.1", port));
    connected.ok().map(drop)
}

#[tokio::test]
async fn servers_that_towpath_started_go_on_unless_they_are_stopped_as_well() {
    let program = testkit::servers::program("redis-server");
    if testkit::servers::require("redis", program).is_none() {
        return;
    }
    // Where any account may enter, so that the server's files are in it.
    let directory = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let data = directory.path().join("data");
    let score = directory.path().join("score.yaml");
    let with_redis = "resources:\n  cache: {type: redis}\n";
    let words = SCORE.replace("tick", "'${resources.cache.port}'");
    std::fs::write(&score, words + with_redis).unwrap();
    let free = "127.0.0.1:0";
    let up = async || {
        let mut command = towpath(&data);
        command.args(["up", "--listen", free, "--gateway-listen", free]);
        command.args(["--s3-listen", free]);
        started(command).await
    };
    let _servers = StopsServers(&data);
    let (mut platform, server) = up().await;
    succeeds(&data, &server, &["deploy", score.to_str().unwrap()]).await;
    listens(&data).expect("its Redis listens");

    let said = succeeds(&data, &server, &["down"]).await;
    timeout(LONG, platform.wait()).await.unwrap().unwrap();
    assert!(said.contains("Redis (tp-"), "{said}");
    assert!(said.contains("(process "), "{said}");
    assert!(said.contains("`towpath down --servers`"), "{said}");
    listens(&data).expect("it goes on");

    let stopped = succeeds(&data, &server, &["down", "--servers", "-o", "json"]).await;
    let stopped: serde_json::Value = serde_json::from_str(&stopped).unwrap();
    assert_eq!(stopped["platform"], "absent", "{stopped}");
    assert_eq!(stopped["servers"][0]["state"], "stopped", "{stopped}");
    assert!(listens(&data).is_none(), "it still listens");
    let again = run(&data, &server, &["down", "--servers"]).await;
    assert_eq!(again.status.code(), Some(4));

    let (mut platform, server) = up().await;
    testkit::eventually("its Redis is started again", LONG, || async {
        listens(&data)
    })
    .await;
    succeeds(&data, &server, &["env", "delete", "dev", "--with-data"]).await;
    let said = succeeds(&data, &server, &["down", "--servers"]).await;
    timeout(LONG, platform.wait()).await.unwrap().unwrap();
    assert!(!said.contains("Redis"), "{said}");
}
