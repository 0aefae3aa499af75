//! What the engines' tests share: releases of small shell scripts, and waiting with a deadline.

#![allow(dead_code, unreachable_pub)] // Each test program uses its own part.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use delivery::engine::{
    Container, Engine, HttpProbe, LogQuery, Phase, Port, Probe, Release, ReleaseRef, ReleaseState,
};
use futures::StreamExt as _;

/// An engine under test, and what differs between engines as far as tests see it.
#[derive(Clone)]
pub struct Subject {
    pub engine: Arc<dyn Engine>,
    pub image: String,
    /// A directory of this machine for volumes.
    pub volumes: PathBuf,
}

pub fn timing() -> towpath_engines::Timing {
    towpath_engines::Timing {
        probe: Duration::from_millis(100),
        probe_timeout: Duration::from_secs(1),
        start_grace: Duration::from_secs(5),
        kill_grace: Duration::from_millis(500),
        ..towpath_engines::Timing::default()
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
    pub fn release(&self, id: &ReleaseRef, containers: &[(&str, Container)]) -> Release {
        let with_image = |container: &Container| Container {
            image: self.image.clone(),
            ..container.clone()
        };
        Release {
            id: id.clone(),
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
        let deadline = Instant::now() + Duration::from_secs(30);
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
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let lines = self.lines(workload, LogQuery::default()).await;
            if lines.iter().any(|line| line == wanted) {
                return lines;
            }
            assert!(Instant::now() < deadline, "{wanted:?} is not in {lines:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn port() -> BTreeMap<String, Port> {
    [(
        "web".to_owned(),
        Port {
            port: 80,
            target: 8080,
            udp: false,
        },
    )]
    .into()
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
