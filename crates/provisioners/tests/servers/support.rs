//! Requests, servers, and the promises that every provisioner keeps.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use delivery::provisioner::{Output, Presence, ProvisionError, Provisioned, Provisioner, Request};
use futures::{FutureExt as _, future::BoxFuture};
use kernel::Secret;
use rand::Rng as _;
use rustix::process::{Pid, Signal};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use towpath_provisioners::{RunningServer, Servers, ServersConfig};
use uuid::Uuid;

/// The servers on this machine's standard ports. All tests share one data directory, so that they
/// share one administrator on each server; each test has a platform of its own in its requests.
pub fn found() -> Servers {
    let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("found-servers");
    Servers::new(ServersConfig {
        allow_start: false,
        docker: false,
        ..ServersConfig::new(Uuid::from_u128(0x7e57), data)
    })
}

/// A data directory on which Towpath starts servers of its own; they end with it.
pub struct Started {
    data: TempDir,
    platform: Uuid,
}

impl Started {
    pub fn new() -> Self {
        // Where any account may enter, so that the servers' files are in it.
        let data = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        Self {
            data,
            platform: Uuid::from_u128(rand::random()),
        }
    }

    /// The servers as the next process of the platform knows them: nothing is kept in memory.
    pub fn servers(&self) -> Servers {
        Servers::new(ServersConfig {
            find_local: false,
            docker: false,
            ..ServersConfig::new(self.platform, self.data.path().to_owned())
        })
    }

    /// What Towpath started here and what of it runs, as it is told where no platform does.
    pub async fn running(&self) -> Vec<RunningServer> {
        let all = towpath_provisioners::running_servers(self.data.path()).await;
        all.into_iter().map(Result::unwrap).collect()
    }

    /// The platform's own login on the server that it runs for `sort`.
    pub fn administrator(&self, sort: &str) -> (String, String) {
        let uid = self.platform.simple().to_string();
        let password = self.data.path().join("servers").join(sort).join("password");
        let password = std::fs::read_to_string(password).unwrap();
        (format!("towpath_{}", &uid[uid.len() - 6..]), password)
    }

    /// The port that the server it runs for `sort` has under `label`.
    pub fn port(&self, sort: &str, label: &str) -> u16 {
        let home = self.data.path().join("servers").join(sort);
        let port = std::fs::read_to_string(home.join(format!("{label}.port"))).unwrap();
        port.trim().parse().unwrap()
    }

    /// The processes that work beneath the data directory.
    pub fn processes(&self) -> Vec<i32> {
        processes_in(self.data.path())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        end_all_in(self.data.path());
    }
}

/// The processes that work in `directory`.
fn processes_in(directory: &Path) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let place = std::fs::read_link(entry.path().join("cwd")).ok()?;
            place.starts_with(directory).then_some(pid)
        })
        .collect()
}

fn end_all_in(directory: &Path) {
    for pid in processes_in(directory)
        .into_iter()
        .filter_map(Pid::from_raw)
    {
        // One that ended by itself meanwhile needs no end.
        let _gone = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// A server's directory outside of a test's own, which goes with the test.
pub struct Outside(pub PathBuf);

impl Drop for Outside {
    fn drop(&mut self) {
        end_all_in(&self.0);
        // Removed already is as good.
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether something listens on `port` of this machine; without it the test is skipped, or fails
/// where `TOWPATH_TEST_REQUIRE` names it.
pub fn listens(name: &str, port: u16) -> bool {
    let there = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    present(name, there, &format!("nothing listens on port {port}"))
}

/// Whether the program is on this machine; the same otherwise.
pub fn installed(name: &str, files: &[&str]) -> bool {
    let there = files.iter().any(|file| std::path::Path::new(file).exists());
    present(name, there, &format!("none of {files:?} is there"))
}

/// Whether a test can run: where it cannot, it is skipped, or fails where it is required.
pub fn present(name: &str, there: bool, reason: &str) -> bool {
    if !there {
        let required = std::env::var("TOWPATH_TEST_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|r| r.trim() == name),
            "TOWPATH_TEST_REQUIRE names {name}, but {reason}"
        );
        println!("SKIP: {name}: {reason}");
    }
    there
}

/// A request as the first one of an instance is.
pub fn request(resource_type: &str, id: &str, team: &str) -> Request {
    Request {
        platform: Uuid::from_u128(rand::random()),
        uid: Uuid::from_u128(rand::random()),
        environment: "dev".to_owned(),
        role: "dev".to_owned(),
        team: team.to_owned(),
        workload: Some("notes".to_owned()),
        resource_type: resource_type.to_owned(),
        class: "default".to_owned(),
        id: id.to_owned(),
        params: Map::new(),
        seed: Secret::new(rand::random::<[u8; 32]>()),
        rotation: 1,
        state: Value::Null,
        machine_host: "127.0.0.1".to_owned(),
    }
}

/// The same with the longest names of environment, workload and resource that there can be, full of what
/// servers' names have no room for.
pub fn longest_names(resource_type: &str) -> Request {
    let name = |letter: &str| format!("{letter}-").repeat(32)[..63].to_owned();
    let workload = name("w");
    Request {
        environment: name("e"),
        id: format!("{workload}.{}", name("r")),
        workload: Some(workload),
        ..request(resource_type, "", "red")
    }
}

/// Another instance of the same platform.
pub fn another(request: &Request, team: &str) -> Request {
    Request {
        uid: Uuid::from_u128(rand::random()),
        seed: Secret::new(rand::random::<[u8; 32]>()),
        team: team.to_owned(),
        ..request.clone()
    }
}

/// An output as text.
pub fn output(provisioned: &Provisioned, name: &str) -> String {
    match &provisioned.outputs[name] {
        Output::Plain(Value::String(text)) => text.clone(),
        Output::Plain(value) => value.to_string(),
        Output::Secret(secret) => secret.expose_str().unwrap().to_owned(),
    }
}

/// The outputs are those that the description promises.
pub fn keeps_its_description(provisioner: &dyn Provisioner, made: &Provisioned) {
    let mut promised: Vec<(String, bool)> = provisioner
        .describe()
        .outputs
        .iter()
        .map(|(name, secret)| ((*name).to_owned(), *secret))
        .collect();
    promised.sort();
    let given: Vec<(String, bool)> = made
        .outputs
        .iter()
        .map(|(name, output)| (name.clone(), matches!(output, Output::Secret(_))))
        .collect();
    assert_eq!(given, promised);
    for output in made.outputs.values() {
        if let Output::Secret(secret) = output {
            let secret = secret.expose_str().unwrap();
            assert!(!made.state.to_string().contains(secret), "state shows it");
            assert!(!made.summary.contains(secret), "summary shows it");
        }
    }
}

/// Twice the same, alone and at once.
pub async fn is_idempotent(provisioner: &dyn Provisioner, request: &Request) -> Provisioned {
    let first = provisioner.provision(request).await.unwrap();
    let again = Request {
        state: first.state.clone(),
        ..request.clone()
    };
    let (second, third) =
        tokio::join!(provisioner.provision(&again), provisioner.provision(&again));
    assert_eq!(second.unwrap().outputs, first.outputs);
    assert_eq!(third.unwrap().outputs, first.outputs);
    first
}

/// Calls that are dropped at random points leave nothing that the next call does not mend, and a
/// removal leaves nothing at all.
pub async fn survives_being_dropped(provisioner: &dyn Provisioner, request: &Request, span: u64) {
    for _ in 0..20 {
        let limit = Duration::from_micros(rand::rng().random_range(0..span));
        let _dropped = tokio::time::timeout(limit, provisioner.provision(request)).await;
    }
    provisioner.provision(request).await.unwrap();
    assert_eq!(provisioner.presence(request).await, Presence::Present);
    for _ in 0..10 {
        let limit = Duration::from_micros(rand::rng().random_range(0..span));
        let _dropped = tokio::time::timeout(limit, provisioner.provision(request)).await;
        let limit = Duration::from_micros(rand::rng().random_range(0..span));
        let _dropped = tokio::time::timeout(limit, provisioner.remove(request)).await;
    }
    removes_all(provisioner, request).await;
}

/// A call that goes on until the server says that it holds the instance's lock, and then no further:
/// as that of a process that was stopped.
pub async fn hangs_with_lock<'a>(
    provisioner: &'a dyn Provisioner,
    request: &'a Request,
    mut is_held: impl AsyncFnMut() -> bool,
) -> BoxFuture<'a, Result<Provisioned, ProvisionError>> {
    for _ in 0..20 {
        let mut call = provisioner.provision(request);
        // One step at a time: each ends where the server is asked for something.
        while call.as_mut().now_or_never().is_none() {
            sleep(Duration::from_millis(5)).await;
            if is_held().await {
                return call;
            }
        }
    }
    panic!("the call was never seen with its lock");
}

/// What somebody changed by hand is noticed, and told in words that hold `why`; made again, it is as it
/// was, with the credentials that the workloads have.
pub async fn heals_a_change(
    provisioner: &dyn Provisioner,
    request: &Request,
    made: &Provisioned,
    why: &str,
) {
    match provisioner.presence(request).await {
        Presence::Changed(words) => assert!(words.contains(why), "{words}"),
        other => panic!("{other:?}"),
    }
    let again = provisioner.provision(request).await.unwrap();
    assert_eq!(again.outputs, made.outputs);
    assert_eq!(provisioner.presence(request).await, Presence::Present);
}

/// After its removal the server lists nothing of the instance; removing it twice is no error. What the server still
/// does for a call that was dropped is waited for, as the platform waits: by trying again.
pub async fn removes_all(provisioner: &dyn Provisioner, request: &Request) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = provisioner.remove(request).await {
        assert!(error.retry, "{error}");
        assert!(Instant::now() < deadline, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(provisioner.presence(request).await, Presence::Absent);
    let listed = provisioner.inventory(request.platform).await.unwrap();
    let name = provisioner.listed_as(request).unwrap();
    assert!(!listed.contains(&name), "{name} is still in {listed:?}");
    provisioner.remove(request).await.unwrap();
}

/// What is asked of the provisioner while its server is away heals by itself when it is back.
pub async fn heals(provisioner: &dyn Provisioner, request: &Request) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while let Err(error) = provisioner.provision(request).await {
        assert!(error.retry, "{error}");
        assert!(Instant::now() < deadline, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
}
