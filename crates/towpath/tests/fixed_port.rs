//! A program that listens on its declared port whatever it is told: its releases take turns.

mod site;

use delivery::{
    api::{CreateEnvironment, NewDeployment},
    model::DeploymentPhase,
};
use serde_json::json;
use site::{Site, work};

#[tokio::test]
async fn releases_on_a_fixed_port_follow_each_other() {
    let free = testkit::free_port();
    let port = free.number();
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let running = site.start().await;
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
        let ended = work::ended(running.client(), &deployment).await.status;
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
