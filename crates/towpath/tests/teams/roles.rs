//! Which roles there are is data, and which of them every new team has a namespace of.

use reqwest::Method;
use serde_json::{Value, json};

use crate::site::world::World;

async fn role(world: &World, name: &str, spec: Value) {
    let document = json!({
        "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
        "metadata": { "name": name }, "spec": spec,
    });
    let body = json!({ "documents": [document] });
    let (status, answer) = world.ask(Method::POST, "/v1/apply", body).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_new_team_has_a_namespace_of_each_role_that_is_standard() {
    let world = World::new(&[]).await;
    let environments = async |team: &str| {
        let made = world.onboard(json!({ "name": team })).await;
        made["spec"]["environments"].clone()
    };
    let usual = json!(["dev", "qa", "preview", "prod"]);
    assert_eq!(environments("payments").await, usual);
    role(&world, "lab", json!({ "standard": true })).await;
    role(&world, "preview", json!({ "standard": false })).await;
    // One that was applied before that could be said is as it was.
    role(&world, "qa", json!({ "description": "checks" })).await;
    assert_eq!(
        environments("shop").await,
        json!(["dev", "qa", "prod", "lab"])
    );
    let before = world.get("/v1/platforms/teams/payments").await;
    assert_eq!(
        before["spec"]["environments"], usual,
        "who is there stays as they are"
    );
}
