use std::path::Path;

use delivery::provisioner::{Presence, Provisioner, Request};
use redis::{AsyncTypedCommands as _, Client, aio::MultiplexedConnection};
use serde_json::json;
use towpath_provisioners::{Redis, Servers, ServersConfig, running_servers};

use crate::support::{
    Outside, Started, another, found, heals_a_change, installed, is_idempotent,
    keeps_its_description, listens, longest_names, output, removes_all, request,
    survives_being_dropped,
};

async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    Client::open(url)?.get_multiplexed_async_connection().await
}

fn is_installed() -> bool {
    installed(
        "redis",
        &["/usr/bin/redis-server", "/usr/local/bin/redis-server"],
    )
}

/// Servers that Towpath starts itself, on a data directory of their own.
fn started() -> (Started, Servers) {
    let started = Started::new();
    let servers = started.servers();
    (started, servers)
}

fn prefixed(id: &str) -> Request {
    let mut request = request("redis", id, "red");
    request.params.insert("isolation".into(), json!("prefix"));
    request
}

#[tokio::test]
async fn a_program_uses_its_prefix_until_it_is_removed() {
    if !listens("redis", 6379) {
        return;
    }
    let redis = Redis::new(found());
    let request = prefixed("cache");
    let made = is_idempotent(&redis, &request).await;
    keeps_its_description(&redis, &made);
    let mut program = connect(&output(&made, "url")).await.unwrap();
    let key = format!("{}greeting", output(&made, "prefix"));
    program.set(&key, "hello").await.unwrap();
    assert_eq!(program.get(&key).await.unwrap().as_deref(), Some("hello"));

    let listed = redis.inventory(request.platform).await.unwrap();
    assert_eq!(listed, [redis.listed_as(&request).unwrap()]);
    removes_all(&redis, &request).await;
    assert!(connect(&output(&made, "url")).await.is_err());
    let mut administrator = connect("redis://127.0.0.1:6379").await.unwrap();
    assert!(!administrator.exists(&key).await.unwrap(), "its keys stay");
}

#[tokio::test]
async fn names_of_any_length_fit() {
    let (_started, servers) = started();
    let (own, shared) = (Redis::new(servers), Redis::new(found()));
    let mut cases = Vec::new();
    if is_installed() {
        cases.push((&own, "server"));
    }
    if listens("redis", 6379) {
        cases.push((&shared, "prefix"));
    }
    for (redis, isolation) in cases {
        let mut request = longest_names("redis");
        request.params.insert("isolation".into(), json!(isolation));
        let made = is_idempotent(redis, &request).await;
        let mut program = connect(&output(&made, "url")).await.unwrap();
        let key = format!("{}greeting", output(&made, "prefix"));
        program.set(&key, "hello").await.unwrap();
        removes_all(redis, &request).await;
    }
}

#[tokio::test]
async fn a_teams_user_sees_nothing_of_another_teams_prefix() {
    if !listens("redis", 6379) {
        return;
    }
    let redis = Redis::new(found());
    let red = prefixed("cache");
    let blue = another(&red, "blue");
    let (for_red, for_blue) =
        tokio::try_join!(redis.provision(&red), redis.provision(&blue)).unwrap();
    let secret = format!("{}secret", output(&for_blue, "prefix"));
    let mut blue_program = connect(&output(&for_blue, "url")).await.unwrap();
    blue_program.set(&secret, "s3cret").await.unwrap();

    let mut program = connect(&output(&for_red, "url")).await.unwrap();
    let channel = format!("{}news", output(&for_blue, "prefix"));
    let attempts: Vec<Vec<&str>> = vec![
        vec!["GET", &secret],
        vec!["DEL", &secret],
        vec!["EVAL", "return redis.call('GET', KEYS[1])", "1", &secret],
        vec!["PUBLISH", &channel, "x"],
        vec!["KEYS", "*"],
        vec!["SCAN", "0"],
        vec!["RANDOMKEY"],
        vec!["FLUSHDB"],
        vec!["CONFIG", "GET", "requirepass"],
        vec!["ACL", "LIST"],
        vec!["CLIENT", "LIST"],
        vec!["CLIENT", "TRACKING", "ON", "BCAST"],
        vec!["PUBSUB", "CHANNELS"],
        vec!["MONITOR"],
        vec!["FUNCTION", "FLUSH"],
    ];
    for attempt in attempts {
        let mut command = redis::cmd(attempt[0]);
        command.arg(&attempt[1..]);
        let outcome = command.query_async::<redis::Value>(&mut program).await;
        let refused = outcome.expect_err(&attempt.join(" ")).to_string();
        assert!(
            refused.contains("NOPERM")
                || refused.contains("No permissions")
                || refused.contains("no permissions")
                || refused.contains("ACL failure"),
            "{attempt:?}: {refused}"
        );
    }
    removes_all(&redis, &red).await;
    removes_all(&redis, &blue).await;
}

#[tokio::test]
async fn old_and_new_passwords_work_until_the_old_are_retired() {
    if !is_installed() {
        return;
    }
    let (_started, servers) = started();
    let own = Redis::new(servers.clone());
    let shared = Redis::new(found());
    let cases: Vec<(&Redis, Request)> = if listens("redis", 6379) {
        vec![
            (&own, request("redis", "cache", "red")),
            (&shared, prefixed("cache")),
        ]
    } else {
        vec![(&own, request("redis", "cache", "red"))]
    };
    for (redis, first) in cases {
        let old = redis.provision(&first).await.unwrap();
        let second = Request {
            rotation: 2,
            state: old.state.clone(),
            ..first.clone()
        };
        let new = redis.provision(&second).await.unwrap();
        assert_ne!(output(&old, "password"), output(&new, "password"));
        connect(&output(&old, "url")).await.unwrap();
        connect(&output(&new, "url")).await.unwrap();
        redis.retire(&second).await.unwrap();
        redis.retire(&second).await.unwrap();
        assert!(connect(&output(&old, "url")).await.is_err());
        connect(&output(&new, "url")).await.unwrap();
        removes_all(redis, &second).await;
    }
}

#[tokio::test]
async fn an_instance_has_a_server_of_its_own_that_outlives_the_platform() {
    if !is_installed() {
        return;
    }
    let (started, servers) = started();
    let redis = Redis::new(servers);
    let request = request("redis", "cache", "red");
    let made = is_idempotent(&redis, &request).await;
    keeps_its_description(&redis, &made);
    assert_eq!(output(&made, "prefix"), "");
    let url = output(&made, "url");
    let mut program = connect(&url).await.unwrap();
    program.set("any key", "kept").await.unwrap();
    let wrong = url.replace(&output(&made, "password"), "wrong");
    assert!(connect(&wrong).await.is_err());

    // The next platform on the same data directory adopts it: the connection lives on.
    drop(redis);
    let redis = Redis::new(started.servers());
    let again = redis.provision(&request).await.unwrap();
    assert_eq!(again.outputs, made.outputs);
    assert_eq!(
        program.get("any key").await.unwrap().as_deref(),
        Some("kept")
    );
    assert_eq!(
        redis.inventory(request.platform).await.unwrap(),
        [redis.listed_as(&request).unwrap()]
    );
    removes_all(&redis, &request).await;
    assert!(connect(&url).await.is_err());
}

/// A server's own account may not enter what is root's alone: its files are elsewhere then.
#[tokio::test]
async fn files_outside_of_the_data_directory_are_found_after_it_was_moved_and_not_by_its_copy() {
    if !is_installed() || !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [before, after, copy] = ["before", "after", "copy"].map(|name| directory.path().join(name));
    let platform = uuid::Uuid::from_u128(rand::random());
    let servers_in = |data: &Path| {
        Servers::new(ServersConfig {
            find_local: false,
            docker: false,
            ..ServersConfig::new(platform, data.to_owned())
        })
    };
    let servers = servers_in(&before);
    let redis = Redis::new(servers.clone());
    let request = request("redis", "cache", "red");
    let made = redis.provision(&request).await.unwrap();
    let name = redis.listed_as(&request).unwrap();
    let note = before.join("servers/redis-instances").join(&name);
    let files = std::fs::read_to_string(note.join("directory")).unwrap();
    assert!(files.starts_with("/var/lib/towpath/"), "{files}");
    let files = Outside(files.into());
    let mut program = connect(&output(&made, "url")).await.unwrap();
    program.set("any key", "kept").await.unwrap();

    // The copy has the note as well, and neither runs, ends nor removes what that names.
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&before, &copy])
        .status();
    assert!(copied.unwrap().success());
    let of_copy = Redis::new(servers_in(&copy));
    for refused in [
        of_copy.provision(&request).await.map(drop),
        of_copy.remove(&request).await,
    ] {
        let message = refused.unwrap_err().message;
        assert!(
            message.contains("has the files of the platform in"),
            "{message}"
        );
    }
    let running = running_servers(&copy).await;
    assert!(matches!(running.as_slice(), [Err(_)]), "{running:?}");
    let running = running_servers(&before).await;
    assert!(matches!(running.as_slice(), [Ok(_)]), "{running:?}");
    assert_eq!(
        program.get("any key").await.unwrap().as_deref(),
        Some("kept")
    );

    std::fs::remove_dir_all(&copy).unwrap();
    servers.stop_all().await.unwrap();
    std::fs::rename(&before, &after).unwrap();
    let moved = Redis::new(servers_in(&after));
    let made = moved.provision(&request).await.unwrap();
    let mut program = connect(&output(&made, "url")).await.unwrap();
    assert_eq!(
        program.get("any key").await.unwrap().as_deref(),
        Some("kept")
    );
    removes_all(&moved, &request).await;
    assert!(!files.0.exists(), "its files stay");
}

#[tokio::test]
async fn calls_that_are_dropped_anywhere_are_made_again() {
    if listens("redis", 6379) {
        let shared = Redis::new(found());
        let request = prefixed("cache");
        assert_eq!(shared.presence(&request).await, Presence::Absent);
        survives_being_dropped(&shared, &request, 5_000).await;
        assert!(shared.inventory(request.platform).await.unwrap().is_empty());
    }
    if is_installed() {
        let (_started, servers) = started();
        let own = Redis::new(servers);
        let request = request("redis", "cache", "red");
        survives_being_dropped(&own, &request, 60_000).await;
        assert!(own.inventory(request.platform).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_login_that_no_longer_works_is_noticed_and_mended() {
    if !listens("redis", 6379) {
        return;
    }
    let redis = Redis::new(found());
    let request = prefixed("cache");
    let made = redis.provision(&request).await.unwrap();
    let user = output(&made, "username");
    let mut administrator = connect("redis://127.0.0.1:6379").await.unwrap();
    for change in [
        &["resetpass", ">other"][..],
        &["off"],
        &["resetkeys"],
        &["-exists"],
    ] {
        let mut words = redis::cmd("ACL");
        words.arg("SETUSER").arg(&user).arg(change);
        words.query_async::<()>(&mut administrator).await.unwrap();
        heals_a_change(&redis, &request, &made, "does not work").await;
        connect(&output(&made, "url")).await.unwrap();
    }
    removes_all(&redis, &request).await;
}
