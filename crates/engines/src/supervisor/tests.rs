//! A release whose supervision breaks off, and one whose port another program has.

use std::time::Duration;

use delivery::engine::Phase;
use tokio::net::TcpSocket;

use super::*;

/// Finds nothing, and breaks off at the start of what it is told to. What listens at a port is never its own: that
/// listens elsewhere, and rests.
struct Fragile;

#[async_trait]
impl Runtime for Fragile {
    type Instance = ();

    async fn find(&self, _: &str) -> Result<Option<()>, EngineError> {
        Ok(None)
    }

    async fn start(&self, container: &str, _: Tell<'_>) -> Result<(), EngineError> {
        assert_ne!(container, "fragile", "the test wants it so");
        Ok(())
    }

    fn started(&self, (): &()) -> Started {
        Started {
            handle: "1".into(),
            at: Timestamp::now(),
            endpoints: None,
        }
    }

    async fn wait(&self, _: &str, (): &mut ()) -> Exit {
        std::future::pending().await
    }

    async fn kill(&self, _: &str, (): &mut ()) {}

    async fn clear(&self, _: &str) {}

    async fn exec(&self, _: &str, _: &str, _: &[String]) -> Result<(), String> {
        Ok(())
    }

    async fn address(&self, _: u16) -> Result<SocketAddr, String> {
        Err("there is none".into())
    }

    async fn strangers(&self, answering: &[(String, SocketAddr)]) -> Vec<(String, SocketAddr)> {
        answering.to_vec()
    }

    async fn advice(&self, _: &[(String, SocketAddr)]) -> Advice {
        Advice {
            text: "it listens elsewhere".into(),
            elsewhere: [81].into(),
            worked: Some(Duration::ZERO),
        }
    }

    async fn completed(&self, _: &str) -> Result<(), EngineError> {
        Ok(())
    }

    async fn has_completed(&self, _: &str) -> bool {
        false
    }
}

/// A release of these containers, without ports.
fn plan(containers: &[&str]) -> Plan {
    let watched = |name: &&str| ((*name).to_owned(), Watched::default());
    Plan {
        id: ReleaseRef {
            environment: "dev".into(),
            workload: "notes".into(),
            release: 1,
        },
        digest: "d".into(),
        containers: containers.iter().map(watched).collect(),
        endpoints: BTreeMap::new(),
        tcp: Vec::new(),
        startable: true,
    }
}

#[tokio::test]
async fn a_container_whose_supervision_panics_is_shown_as_failed() {
    let plan = plan(&["fragile", "sound"]);
    let timing = Timing::default();
    let prober = Prober::new(timing.probe_timeout).expect("a prober");
    let (changes, mut told) = broadcast::channel(16);
    let supervision = Supervision::begin(plan, Arc::new(Fragile), prober, timing, changes, None);
    testkit::eventually("it has failed", Duration::from_secs(20), || async {
        let state = supervision.state();
        (state.phase == Phase::Failed && state.containers["sound"].running).then_some(())
    })
    .await;
    let state = supervision.state();
    assert!(
        state.message.starts_with("container fragile: "),
        "{}",
        state.message
    );
    told.recv().await.expect("whoever follows is told");
}

#[tokio::test]
async fn a_stranger_at_the_port_is_no_fault_that_lasts_whatever_was_seen_before() {
    // Nobody else is given the port, and nobody listens at it yet.
    let socket = TcpSocket::new_v4().expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(any).expect("a port");
    let address = socket.local_addr().expect("its address");
    let plan = Plan {
        endpoints: BTreeMap::from([("http".to_owned(), address)]),
        tcp: vec!["http".into()],
        ..plan(&["sound"])
    };
    let timing = Timing {
        misplaced: Duration::ZERO,
        ..Timing::default()
    };
    let prober = Prober::new(timing.probe_timeout).expect("a prober");
    let (changes, _told) = broadcast::channel(16);
    let supervision = Supervision::begin(plan, Arc::new(Fragile), prober, timing, changes, None);
    let soon = Duration::from_secs(20);
    testkit::eventually("it is known to listen elsewhere", soon, || async {
        supervision.state().lasting.then_some(())
    })
    .await;
    let _stranger = socket.listen(1024).expect("a listener");
    let state = testkit::eventually("the stranger is seen", soon, || async {
        let state = supervision.state();
        state.message.contains("another program").then_some(state)
    })
    .await;
    assert!(!state.lasting, "{}", state.message);
}
