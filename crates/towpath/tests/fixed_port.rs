//! A program that listens on its declared port whatever it is told: its releases take turns.

mod site;

use std::time::Duration;

use delivery::{
    api::{CreateEnvironment, NewDeployment},
    model::DeploymentPhase,
};
use serde_json::json;
use site::Site;

#[tokio::test]
async fn releases_on_a_fixed_port_follow_each_other() {
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let running = site.start().await;
    let port = testkit::free_port();
    for greeting in ["first", "second"] {
        let workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": {
                "name": "hello",
                "annotations": { "towpath.dev/fixed-port": "true" },
            },
            "service": { "ports": { "www": { "port": port } } },
            "containers": { "main": {
                "image": site::hello(),
                "variables": { "GREETING": greeting, "PORT": port.to_string() },
                "readinessProbe": { "httpGet": { "path": "/", "port": port } },
            }},
        });
        let new = NewDeployment {
            workloads: [("hello".to_owned(), workload)].into(),
            timeout_seconds: Some(60),
            create_environment: Some(CreateEnvironment::default()),
            ..NewDeployment::default()
        };
        let deployment = running
            .client()
            .deploy("dev", &new)
            .await
            .expect("it is taken");
        let ended = testkit::eventually("the deployment ends", Duration::from_mins(1), || async {
            let found = running
                .client()
                .deployment("dev", &deployment.meta.name)
                .await;
            let status = found.expect("it is there").status;
            status.phase.is_final().then_some(status)
        })
        .await;
        assert_eq!(
            ended.phase,
            DeploymentPhase::Succeeded,
            "{:?}\n{}",
            ended.failure,
            site.log()
        );
        let answer = site
            .get("hello.dev.localhost")
            .await
            .expect("the gateway answers");
        assert_eq!(answer, (200, greeting.to_owned()));
        assert_eq!(site.processes("dev").len(), 1, "the releases take turns");
    }
}
