//! What the engines' tests share: releases of small shell scripts, and waiting with a deadline.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stderr,
    clippy::unnecessary_wraps
)] // Each test program uses its own part.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use delivery::engine::{
    Container, ContainerState, Engine, HttpProbe, LogQuery, Objection, Phase, Port, Probe, Release,
    ReleaseRef, ReleaseState,
};
use futures::StreamExt as _;
use towpath_engines::{
    Timing,
    docker::{DockerConfig, DockerEngine},
    process::{ProcessConfig, ProcessEngine},
};
use uuid::Uuid;

/// A Score workload of one container.
pub fn workload(container: &str) -> delivery::score::Workload {
    let text = format!(
        r#"{{"apiVersion": "score.dev/v1b1", "metadata": {{"name": "it"}},
            "containers": {{"main": {container}}}}}"#
    );
    serde_json::from_str(&text).expect("is a workload")
}

/// Where neither files nor volumes can be, whatever the engine.
pub const NO_PLACES: [&str; 7] = [
    "/",
    "..",
    "../x",
    "/a/../b",
    "/proc/self/x",
    "/sys/x",
    "/dev/x",
];

/// Those of [`NO_PLACES`], and of good places, that `engine` refuses for a file and for a volume.
pub fn refused_targets(engine: &dyn Engine, image: &str) -> Vec<&'static str> {
    let refused = |what: &str| {
        let container = format!(r#"{{"image": "{image}", {what}}}"#);
        let target =
            |it: &Objection| matches!(it, Objection::Refuse(it) if it.rule == "engine/target");
        engine.check(&workload(&container)).iter().any(target)
    };
    let all = ["/data", "conf/x", "/device/x"]
        .into_iter()
        .chain(NO_PLACES);
    all.filter(|target| {
        let file = refused(&format!(r#""files": {{"{target}": {{"content": ""}}}}"#));
        let volume = refused(&format!(
            r#""volumes": {{"{target}": {{"source": "data"}}}}"#
        ));
        assert_eq!(file, volume, "{target}");
        file
    })
    .collect()
}

/// An engine under test, and what differs between engines as far as tests see it.
pub struct Subject {
    pub engine: Arc<dyn Engine>,
    pub image: String,
    pub platform: Uuid,
    /// A directory of this machine for data and volumes.
    pub volumes: PathBuf,
}

/// The process engine, with a platform of its own below `directory`.
pub async fn process(directory: &Path) -> Subject {
    process_of(Uuid::now_v7(), directory).await
}

pub async fn process_of(platform: Uuid, directory: &Path) -> Subject {
    process_as(platform, directory, timing()).await
}

/// The same as [`process`], with other times.
pub async fn process_with(directory: &Path, change: impl FnOnce(&mut Timing)) -> Subject {
    let mut timing = timing();
    change(&mut timing);
    process_as(Uuid::now_v7(), directory, timing).await
}

async fn process_as(platform: Uuid, directory: &Path, timing: Timing) -> Subject {
    let shim = vec![env!("CARGO_BIN_EXE_towpath-shim").into()];
    let mut config = ProcessConfig::new(directory.join("platform"), platform, shim);
    config.timing = timing;
    Subject {
        engine: Arc::new(ProcessEngine::new(config).await.expect("the engine starts")),
        image: "/bin/busybox".into(),
        platform,
        volumes: directory.to_owned(),
    }
}

/// The Docker engine; `None` where there is no daemon and none is required.
pub async fn docker(directory: &Path) -> Option<Subject> {
    let made = Command::new("sh").arg("-c").arg(IMAGE).output();
    let made = made.map(|output| (output.status.success(), output.stderr));
    if !matches!(made, Ok((true, _))) {
        let required = std::env::var("TOWPATH_TEST_REQUIRE").unwrap_or_default();
        let why = match made {
            Ok((_, errors)) => String::from_utf8_lossy(&errors).into_owned(),
            Err(error) => error.to_string(),
        };
        assert!(
            !required.split(',').any(|name| name == "docker"),
            "docker is required: {why}"
        );
        eprintln!("SKIP: no Docker daemon: {why}");
        return None;
    }
    Some(docker_of(Uuid::now_v7(), directory).await)
}

/// The same as [`docker`], with other times.
pub async fn docker_with(directory: &Path, change: impl FnOnce(&mut Timing)) -> Option<Subject> {
    let Subject { platform, .. } = docker(directory).await?;
    let mut config = docker_config(platform, directory);
    change(&mut config.timing);
    Some(docker_as(platform, directory, config).await)
}

async fn docker_of(platform: Uuid, directory: &Path) -> Subject {
    docker_as(platform, directory, docker_config(platform, directory)).await
}

async fn docker_as(platform: Uuid, directory: &Path, config: DockerConfig) -> Subject {
    let engine = DockerEngine::new(config);
    engine.connect().await.expect("the engine connects");
    Subject {
        engine: Arc::new(engine),
        image: "towpath-test/busybox:1".into(),
        platform,
        volumes: directory.to_owned(),
    }
}

pub fn docker_config(platform: Uuid, directory: &Path) -> DockerConfig {
    let mut config = DockerConfig::new(directory.join("platform"), platform);
    config.timing = timing();
    config
}

/// Makes an image of this machine's static busybox, unless it is there.
const IMAGE: &str = "docker image inspect towpath-test/busybox:1 >/dev/null 2>&1 && exit 0
    docker version >/dev/null && root=$(mktemp -d) && mkdir -p $root/bin $root/etc $root/tmp &&
    cp /bin/busybox $root/bin/busybox && chmod 755 $root &&
    for name in sh sleep cat echo stat ls mkdir touch rm test nc setsid; do
        ln -s busybox $root/bin/$name; done &&
    tar -C $root -c . | docker import - towpath-test/busybox:1 >/dev/null && rm -r $root";

/// Removes what a failed test has left of a platform in Docker.
pub struct Cleaned(pub Uuid);

impl Drop for Cleaned {
    fn drop(&mut self) {
        let label = format!("label=dev.towpath.platform={}", self.0);
        let script = format!(
            "docker ps -aq --filter {label} | xargs -r docker rm -f >/dev/null; \
             docker network ls -q --filter {label} | xargs -r docker network rm >/dev/null"
        );
        let cleaned = Command::new("sh").arg("-c").arg(script).status();
        assert!(cleaned.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// The command lines of processes of this machine that hold `mark`.
pub fn running(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("/proc is there");
    let lines = processes
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}

/// The directory of a process's control group for `controller`, and whether it is of version 1.
pub fn control_group(pid: u32, controller: &str) -> (PathBuf, bool) {
    let root = Path::new("/sys/fs/cgroup");
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it lives");
    let of = |wanted: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            let path = parts.next()?.trim_start_matches('/');
            (controllers.split(',').any(|it| it == wanted)).then(|| path.to_owned())
        })
    };
    match of(controller) {
        Some(path) => (root.join(controller).join(path), true),
        None => (root.join(of("").expect("a group")), false),
    }
}

pub fn timing() -> Timing {
    Timing {
        probe: Duration::from_millis(100),
        probe_timeout: Duration::from_secs(1),
        start_grace: Duration::from_secs(5),
        kill_grace: Duration::from_millis(500),
        ..Timing::default()
    }
}

pub fn id(workload: &str, release: u64) -> ReleaseRef {
    ReleaseRef {
        environment: "dev".into(),
        workload: workload.into(),
        release,
    }
}

pub fn container(script: &str) -> Container {
    Container {
        image: String::new(),
        command: vec![
            "/bin/busybox".into(),
            "sh".into(),
            "-c".into(),
            script.into(),
        ],
        args: Vec::new(),
        variables: BTreeMap::new(),
        files: Vec::new(),
        volumes: Vec::new(),
        cpu_limit_millis: None,
        memory_limit_bytes: None,
        cpu_request_millis: None,
        memory_request_bytes: None,
        liveness: None,
        readiness: None,
        before: BTreeMap::new(),
    }
}

impl Subject {
    /// The engine of the same platform, as after a new start.
    pub async fn again(self) -> Self {
        let Self {
            engine,
            platform,
            volumes,
            ..
        } = self;
        let docker = engine.name() == "docker";
        drop(engine);
        Self::of(docker, platform, &volumes).await
    }

    /// The engine of another replica of the same platform, on the same machine.
    pub async fn replica(&self) -> Self {
        let docker = self.engine.name() == "docker";
        Self::of(docker, self.platform, &self.volumes).await
    }

    async fn of(docker: bool, platform: Uuid, volumes: &Path) -> Self {
        if docker {
            docker_of(platform, volumes).await
        } else {
            process_of(platform, volumes).await
        }
    }

    /// Whether the engine says that it cannot keep limits.
    pub fn warns_of_limits(&self) -> bool {
        let limited = r#"{"apiVersion": "score.dev/v1b1", "metadata": {"name": "it"}, "containers":
            {"main": {"image": ".", "command": ["/bin/busybox"],
                "resources": {"limits": {"memory": "32Mi"}}}}}"#;
        let workload = serde_json::from_str(limited).expect("is a workload");
        let objections = self.engine.check(&workload);
        (objections.iter())
            .any(|it| matches!(it, Objection::Warn(problem) if problem.rule == "engine/limits"))
    }

    /// Whether this user may make control groups; where not, a test says so, or fails where they are
    /// required.
    pub fn makes_control_groups(&self) -> bool {
        let made = if self.warns_of_limits() {
            Err("this user may not make any".to_owned())
        } else {
            Ok(())
        };
        testkit::servers::require("cgroups", made).is_some()
    }

    /// The main process of a container that runs, as this machine numbers it.
    pub fn pid(&self, state: &ContainerState) -> u32 {
        let handle = state.handle.as_deref().expect("it runs");
        if self.engine.name() != "docker" {
            return handle.parse().expect("a pid");
        }
        let words = ["inspect", "--format", "{{.State.Pid}}", handle];
        let said = Command::new("docker").args(words).output();
        let said = String::from_utf8(said.expect("can be run").stdout).expect("is text");
        said.trim().parse().expect("a pid")
    }

    /// Ends a container behind the engine's back.
    pub fn end(&self, state: &ContainerState) {
        let handle = state.handle.as_deref().expect("it runs");
        let words = match self.engine.name() {
            "docker" => ["docker", "kill", handle],
            _ => ["kill", "-9", handle],
        };
        let ended = Command::new(words[0]).args(&words[1..]).output();
        assert!(ended.expect("can be run").status.success());
    }

    pub fn release(&self, id: &ReleaseRef, containers: &[(&str, Container)]) -> Release {
        let with_image = |container: &Container| Container {
            image: self.image.clone(),
            ..container.clone()
        };
        Release {
            id: id.clone(),
            team: "default".into(),
            digest: format!("digest of {id}"),
            containers: (containers.iter())
                .map(|(name, container)| ((*name).to_owned(), with_image(container)))
                .collect(),
            ports: BTreeMap::new(),
            fixed_ports: false,
            reaches: Vec::new(),
        }
    }

    pub async fn state(&self, id: &ReleaseRef) -> ReleaseState {
        let state = self.engine.observe(id).await.expect("observes");
        state.unwrap_or_else(|| panic!("there is nothing of {id}"))
    }

    /// Waits until the state of a release is as `wanted`.
    pub async fn until(
        &self,
        id: &ReleaseRef,
        wanted: impl Fn(&ReleaseState) -> bool,
    ) -> ReleaseState {
        let deadline = Instant::now() + testkit::PATIENCE;
        loop {
            let state = self.state(id).await;
            if wanted(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "{id} stays {state:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn ready(&self, id: &ReleaseRef) -> ReleaseState {
        self.until(id, |state| state.phase == Phase::Ready).await
    }

    pub async fn removed(&self, id: &ReleaseRef) {
        self.engine
            .remove(id, Duration::from_secs(1))
            .await
            .expect("removes");
        assert_eq!(self.engine.observe(id).await.expect("observes"), None);
        assert!(!self.engine.list().await.expect("lists").contains(id));
    }

    /// The lines of a workload's log that there are now.
    pub async fn lines(&self, workload: &str, query: LogQuery) -> Vec<String> {
        let lines = self
            .engine
            .logs("dev", workload, query)
            .await
            .expect("reads logs");
        lines.map(|line| line.line).collect().await
    }

    /// Waits until the workload has logged `wanted`.
    pub async fn logged(&self, workload: &str, wanted: &str) -> Vec<String> {
        self.logged_to(workload, LogQuery::default(), wanted).await
    }

    /// Waits until the container has logged `wanted`.
    pub async fn logged_by(&self, workload: &str, container: &str, wanted: &str) -> Vec<String> {
        let query = LogQuery {
            container: Some(container.into()),
            ..LogQuery::default()
        };
        self.logged_to(workload, query, wanted).await
    }

    /// Waits until what `query` asks for has `wanted`.
    pub async fn logged_to(&self, workload: &str, query: LogQuery, wanted: &str) -> Vec<String> {
        let deadline = Instant::now() + testkit::PATIENCE;
        loop {
            let lines = self.lines(workload, query.clone()).await;
            if lines.iter().any(|line| line == wanted) {
                return lines;
            }
            assert!(Instant::now() < deadline, "{wanted:?} is not in {lines:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn port() -> BTreeMap<String, Port> {
    ports(&[("web", 8080)])
}

/// Ports by name, each with its target; UDP where it is called so.
pub fn ports(all: &[(&str, u16)]) -> BTreeMap<String, Port> {
    let port = |&(name, target): &(&str, u16)| {
        let port = Port {
            port: target - 8000,
            target,
            udp: name == "udp",
        };
        (name.to_owned(), port)
    };
    all.iter().map(port).collect()
}

/// A script that serves the files in `www` of its working directory.
pub fn serves(first: &str) -> String {
    format!(
        "{first}; mkdir -p www; echo hello > www/index.html; exec /bin/busybox httpd -f -p $PORT -h www"
    )
}

pub fn http_probe(path: &str) -> Option<Probe> {
    Some(Probe::Http(HttpProbe {
        host: None,
        https: false,
        path: path.into(),
        port: 8080,
        headers: Vec::new(),
    }))
}

/// The body that `address` answers, or what went wrong.
pub async fn get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let talk = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match talk.await {
        Ok(answer) => answer
            .split("\r\n\r\n")
            .nth(1)
            .unwrap_or_default()
            .trim()
            .to_owned(),
        Err(error) => error.to_string(),
    }
}
