//! The platform's key is changed, and replicas answer all the while.

use std::os::unix::fs::PermissionsExt as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Client;
use kernel::{Secret, lease::LEASE_TTL};
use secrets::{
    api::{Encoded, PutSecret},
    model::SecretRef,
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{SLACK, site::Site};

/// A secret that is asked for while the platform's key is changed.
async fn kept_secret(client: &Client) -> SecretRef {
    let secret = SecretRef::new("payments", "app/key").expect("a name");
    let value = PutSecret {
        value: Some(Encoded::of(&Secret::from("canary-key"))),
        ..PutSecret::default()
    };
    let put = client.put_secret(&secret, &value, None).await;
    put.expect("it is written");
    secret
}

/// Asks for the secret until that is stopped, and says how often.
fn asked_again_and_again(
    clients: &[Client; 2],
    secret: &SecretRef,
) -> (watch::Sender<bool>, JoinHandle<u32>) {
    let (stop, stopped) = watch::channel(false);
    let (clients, secret) = (clients.clone(), secret.clone());
    let load = tokio::spawn(async move {
        let mut answered = 0;
        while !*stopped.borrow() {
            either_answers(&clients, &secret).await;
            answered += 1;
        }
        answered
    });
    (stop, load)
}

/// Asks one of the replicas for the secret, and the other where that is not there.
async fn either_answers(clients: &[Client; 2], secret: &SecretRef) {
    for client in clients {
        match client.secret_value(secret, None).await {
            Ok(found) => {
                let value = found.value.decode().expect("it is text");
                assert_eq!(value, Secret::from("canary-key"));
                return;
            }
            Err(client::Error::Refused(problem)) => panic!("{problem}"),
            Err(_) => {}
        }
    }
    panic!("no replica answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_key_is_changed_replica_by_replica_and_one_always_answers() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let key = |name: &str| data.path().join(name).to_str().expect("text").to_owned();
    let (old, new) = (key("old.key"), key("new.key"));
    let keys = |current: &str, former: Option<&str>| {
        let mut options = vec!["--key-file".to_owned(), current.to_owned()];
        options.extend(former.map(|file| format!("--former-key-file={file}")));
        options
    };
    let mut first = Site::new(data.path());
    first.store = Some(database.url.clone());
    first.options = keys(&old, None);
    let second = first.replica();
    let mut replicas = [(first.start().await, first), (second.start().await, second)];
    let clients = [0, 1].map(|index: usize| replicas[index].0.client().clone());
    let secret = kept_secret(&clients[0]).await;

    let (stop, load) = asked_again_and_again(&clients, &secret);
    std::fs::write(&new, STANDARD.encode(rand::random::<[u8; 32]>())).expect("it is written");
    let owners = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&new, owners).expect("it is ours");
    // All open by both before one seals by the new one.
    for options in [keys(&old, Some(&new)), keys(&new, Some(&old))] {
        for (running, site) in &mut replicas {
            running.stop();
            site.options.clone_from(&options);
            *running = site.start().await;
        }
    }
    clients[1].rekey(false).await.expect("it is asked for");
    // Whoever reconciled was killed last.
    let patience = LEASE_TTL + 2 * SLACK;
    testkit::eventually("all is sealed by the new key", patience, || async {
        let state = clients[1].keys().await.expect("it answers");
        (state.remaining == 0 && state.former.is_empty()).then_some(())
    })
    .await;
    for (running, site) in &mut replicas {
        running.stop();
        site.options = keys(&new, None);
        *running = site.start().await;
    }
    stop.send(true).expect("it is asked for");
    let answered = load.await.expect("each request was answered");
    assert!(answered > 10, "{answered} requests are no load");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_key_is_changed_by_one_command_while_replicas_answer_and_one_is_killed() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    let mut first = Site::new(data.path());
    first.store = Some(database.url.clone());
    let second = first.replica();
    let mut replicas = [(first.start().await, first), (second.start().await, second)];
    let clients = [0, 1].map(|index: usize| replicas[index].0.client().clone());
    let secret = kept_secret(&clients[0]).await;
    let former = clients[0].keys().await.expect("it answers").current;
    let (stop, load) = asked_again_and_again(&clients, &secret);

    let state = clients[0].rekey(true).await.expect("it is announced");
    let key = state.change.expect("the other has to learn of it").key;
    let refused = clients[1].rekey(true).await.expect_err("one at a time");
    assert!(refused.to_string().contains(key.as_str()), "{refused}");
    let (running, site) = &mut replicas[1];
    running.stop();
    *running = site.start().await;
    let patience = LEASE_TTL + 2 * SLACK;
    for client in &clients {
        testkit::eventually("all is sealed by the new key", patience, || async {
            let state = client.keys().await.expect("it answers");
            let done = state.current == key && state.remaining == 0 && state.former.is_empty();
            (done && state.change.is_none()).then_some(())
        })
        .await;
    }
    stop.send(true).expect("it is asked for");
    load.await.expect("each request was answered");
    for (running, site) in &mut replicas {
        running.stop();
        *running = site.start().await;
    }
    either_answers(&clients, &secret).await;
    let kept = data.path().join(format!("platform.key.former-{former}"));
    assert!(kept.exists(), "for older copies of the store");
}
