//! A release whose supervision breaks off.

use std::time::Duration;

use delivery::engine::Phase;

use super::*;

/// Finds nothing, and breaks off at the start of what it is told to.
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

    async fn strangers(&self, _: &[(String, SocketAddr)]) -> Vec<(String, SocketAddr)> {
        vec![]
    }

    async fn advice(&self, _: &[(String, SocketAddr)]) -> Advice {
        Advice::default()
    }

    async fn completed(&self, _: &str) -> Result<(), EngineError> {
        Ok(())
    }

    async fn has_completed(&self, _: &str) -> bool {
        false
    }
}

#[tokio::test]
async fn a_container_whose_supervision_panics_is_shown_as_failed() {
    let containers = ["fragile", "sound"].map(|name| (name.to_owned(), Watched::default()));
    let plan = Plan {
        id: ReleaseRef {
            environment: "dev".into(),
            workload: "notes".into(),
            release: 1,
        },
        digest: "d".into(),
        containers: containers.into(),
        endpoints: BTreeMap::new(),
        tcp: Vec::new(),
        startable: true,
    };
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
