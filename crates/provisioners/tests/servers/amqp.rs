use delivery::provisioner::{Presence, Provisioner, Request};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use towpath_provisioners::Amqp;

use crate::support::{
    another, found, heals_a_change, is_idempotent, keeps_its_description, listens, longest_names,
    output, removes_all, request, survives_being_dropped,
};

async fn connect(url: &str) -> lapin::Result<Connection> {
    Connection::connect(url, ConnectionProperties::default()).await
}

#[tokio::test]
async fn a_program_uses_its_virtual_host_until_it_is_removed() {
    if !listens("amqp", 5672) {
        return;
    }
    let amqp = Amqp::new(found());
    let request = request("amqp", "jobs", "red");
    let made = is_idempotent(&amqp, &request).await;
    keeps_its_description(&amqp, &made);

    let program = connect(&output(&made, "url")).await.unwrap();
    let channel = program.create_channel().await.unwrap();
    channel
        .queue_declare(
            "jobs".into(),
            QueueDeclareOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let publish = channel.basic_publish(
        "".into(),
        "jobs".into(),
        BasicPublishOptions::default(),
        b"work",
        BasicProperties::default(),
    );
    publish.await.unwrap().await.unwrap();
    let got = channel
        .basic_get("jobs".into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap();
    assert_eq!(got.unwrap().delivery.data, b"work");

    let listed = amqp.inventory(request.platform).await.unwrap();
    assert_eq!(listed, [amqp.listed_as(&request).unwrap()]);
    assert_eq!(amqp.presence(&request).await, Presence::Present);
    removes_all(&amqp, &request).await;
    assert!(connect(&output(&made, "url")).await.is_err());
    assert!(amqp.inventory(request.platform).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_of_any_length_fit() {
    if !listens("amqp", 5672) {
        return;
    }
    let amqp = Amqp::new(found());
    let request = longest_names("amqp");
    let made = is_idempotent(&amqp, &request).await;
    connect(&output(&made, "url")).await.unwrap();
    assert_eq!(amqp.presence(&request).await, Presence::Present);
    removes_all(&amqp, &request).await;
}

#[tokio::test]
async fn a_teams_user_enters_no_other_teams_virtual_host() {
    if !listens("amqp", 5672) {
        return;
    }
    let amqp = Amqp::new(found());
    let red = request("amqp", "jobs", "red");
    let blue = another(&red, "blue");
    let (for_red, for_blue) =
        tokio::try_join!(amqp.provision(&red), amqp.provision(&blue)).unwrap();
    for vhost in [output(&for_blue, "vhost"), "%2f".to_owned()] {
        let crossed = format!(
            "amqp://{}:{}@127.0.0.1:5672/{vhost}",
            output(&for_red, "username"),
            output(&for_red, "password"),
        );
        assert!(connect(&crossed).await.is_err(), "{vhost} is open");
    }
    connect(&output(&for_red, "url")).await.unwrap();
    removes_all(&amqp, &red).await;
    removes_all(&amqp, &blue).await;
}

#[tokio::test]
async fn old_and_new_credentials_work_until_the_old_are_retired() {
    if !listens("amqp", 5672) {
        return;
    }
    let amqp = Amqp::new(found());
    let first = request("amqp", "jobs", "red");
    let old = amqp.provision(&first).await.unwrap();
    let second = Request {
        rotation: 2,
        state: old.state.clone(),
        ..first.clone()
    };
    let new = amqp.provision(&second).await.unwrap();
    assert_ne!(output(&old, "password"), output(&new, "password"));
    connect(&output(&old, "url")).await.unwrap();
    connect(&output(&new, "url")).await.unwrap();
    amqp.retire(&second).await.unwrap();
    amqp.retire(&second).await.unwrap();
    assert!(connect(&output(&old, "url")).await.is_err());
    connect(&output(&new, "url")).await.unwrap();
    removes_all(&amqp, &second).await;
}

#[tokio::test]
async fn calls_that_are_dropped_anywhere_are_made_again() {
    if !listens("amqp", 5672) {
        return;
    }
    let amqp = Amqp::new(found());
    let request = request("amqp", "jobs", "red");
    amqp.presence(&request).await;
    survives_being_dropped(&amqp, &request, 40_000).await;
}

/// One call of the management of the RabbitMQ on this machine, as its administrator.
async fn manage(method: reqwest::Method, path: &str, body: Option<serde_json::Value>) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut call = client
        .request(method, format!("http://127.0.0.1:15672/api/{path}"))
        .basic_auth("guest", Some("guest"));
    if let Some(body) = body {
        call = call.json(&body);
    }
    let answer = call.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

#[tokio::test]
async fn a_user_that_no_longer_works_is_noticed_and_mended() {
    if !listens("amqp", 5672) {
        return;
    }
    let amqp = Amqp::new(found());
    let request = request("amqp", "jobs", "red");
    let made = amqp.provision(&request).await.unwrap();
    let (user, vhost) = (output(&made, "username"), output(&made, "vhost"));
    let (users, rights) = (
        format!("users/{user}"),
        format!("permissions/{vhost}/{user}"),
    );
    let other = serde_json::json!({ "password": "other", "tags": "" });
    let reads = serde_json::json!({ "configure": "", "write": "", "read": ".*" });
    for (method, path, body, why) in [
        (reqwest::Method::DELETE, &users, None, "is gone"),
        (
            reqwest::Method::PUT,
            &users,
            Some(other),
            "another password",
        ),
        (reqwest::Method::DELETE, &rights, None, "all rights"),
        (reqwest::Method::PUT, &rights, Some(reads), "all rights"),
    ] {
        manage(method, path, body).await;
        heals_a_change(&amqp, &request, &made, why).await;
        connect(&output(&made, "url")).await.unwrap();
    }
    removes_all(&amqp, &request).await;
}

/// As one whose making broke off is left: listed, and refused to clients.
#[tokio::test]
async fn a_virtual_host_that_is_down_is_noticed_and_brought_up() {
    if !listens("amqp", 5672) {
        return;
    }
    let amqp = Amqp::new(found());
    let request = request("amqp", "jobs", "red");
    let made = amqp.provision(&request).await.unwrap();
    let vhost = output(&made, "vhost");
    let stop = format!("rabbit_vhost_sup_sup:stop_and_delete_vhost(<<\"{vhost}\">>).");
    let stopped = std::process::Command::new("rabbitmqctl")
        .args(["eval", &stop])
        .output()
        .unwrap();
    assert!(stopped.status.success(), "{stopped:?}");
    connect(&output(&made, "url")).await.unwrap_err();
    heals_a_change(&amqp, &request, &made, "is down").await;
    connect(&output(&made, "url")).await.unwrap();
    removes_all(&amqp, &request).await;
}
