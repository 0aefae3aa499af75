//! A server in a container, where there are no binaries but a Docker engine.

use std::process::Command;

use delivery::provisioner::{Presence, Provisioner};
use serde_json::json;
use towpath_provisioners::{Redis, Servers, ServersConfig};
use uuid::Uuid;

use crate::support::{is_idempotent, output, present, removes_all, request};

/// Removes what the test leaves to Docker.
struct Cleanup {
    container: String,
    made_image: bool,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.container]);
        docker(&["volume", "rm", &self.container]);
        if self.made_image {
            docker(&["rmi", IMAGE]);
        }
    }
}

const IMAGE: &str = "redis:7";

fn docker(args: &[&str]) -> bool {
    let output = Command::new("docker").args(args).output();
    output.is_ok_and(|output| output.status.success())
}

/// Makes the image of this machine's `redis-server` and its libraries, so that no registry is
/// needed.
fn make_image() -> bool {
    let script = r"
        program=$(command -v redis-server) || exit 1
        libraries=$(ldd $program | grep -o '/[^ ]*')
        tar -chPf - --transform 's,^/,,' $program $libraries |
            docker import -c 'ENV PATH=/usr/local/bin:/usr/bin' - redis:7
    ";
    let output = Command::new("sh").args(["-c", script]).output();
    output.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_container_is_started_once_and_adopted() {
    if !present("docker", docker(&["version"]), "no engine answers") {
        return;
    }
    let has_image = docker(&["image", "inspect", IMAGE]);
    let made_image = !has_image && make_image();
    assert!(
        has_image || made_image,
        "no image `{IMAGE}`, and none can be made"
    );
    let data = tempfile::tempdir().unwrap();
    let platform = Uuid::from_u128(rand::random());
    let uid = platform.simple().to_string();
    let _cleanup = Cleanup {
        container: format!("towpath-{}-redis", &uid[uid.len() - 6..]),
        made_image,
    };
    let config = ServersConfig {
        find_local: false,
        allow_start: false,
        ..ServersConfig::new(platform, data.path().to_owned())
    };
    let servers = Servers::new(config.clone());
    let redis = Redis::new(servers.clone());
    let request = request("redis", "cache", "red");
    let made = is_idempotent(&redis, &request).await;
    assert!(!output(&made, "prefix").is_empty(), "it is shared");

    servers.stop_all().await.unwrap();
    let redis = Redis::new(Servers::new(config));
    // Without a file of users they go with the server: the reconciler makes them again.
    assert_eq!(redis.presence(&request).await, Presence::Absent);
    let again = redis.provision(&request).await.unwrap();
    assert_eq!(again.outputs, made.outputs);
    removes_all(&redis, &request).await;
}

#[tokio::test]
async fn without_any_way_the_error_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let config = ServersConfig {
        find_local: false,
        allow_start: false,
        docker: false,
        ..ServersConfig::new(Uuid::from_u128(1), data.path().to_owned())
    };
    let mut request = request("redis", "cache", "red");
    let redis = Redis::new(Servers::new(config.clone()));
    let error = redis.provision(&request).await.unwrap_err();
    assert!(!error.retry);
    let remedy = error.remedy.unwrap();
    assert!(remedy.contains("apt-get install redis-server"), "{remedy}");
    assert!(remedy.contains("TOWPATH_REDIS_URL="), "{remedy}");
    request.params.insert("isolation".into(), json!("server"));
    let error = redis.provision(&request).await.unwrap_err();
    assert!(error.remedy.unwrap().contains("isolation: prefix"));
    let postgres = towpath_provisioners::Postgres::new(Servers::new(config));
    let error = postgres.provision(&request).await.unwrap_err();
    assert!(error.remedy.unwrap().contains("apt-get install postgresql"));
    // Nothing was made, so nothing is in the way of a removal.
    postgres.remove(&request).await.unwrap();
}
