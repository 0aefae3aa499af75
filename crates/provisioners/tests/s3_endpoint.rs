//! Buckets on an endpoint that is not the platform's: here one of s3s-fs, by its own code.

mod support;

use std::{net::SocketAddr, path::Path};

use delivery::provisioner::{Presence, Provisioner};
use hyper_util::rt::TokioIo;
use kernel::Secret;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::{Value, json};
use support::{object, output, request, s3::Workload};
use tokio::net::TcpListener;
use towpath_provisioners::{Endpoint, S3};

async fn endpoint(directory: &Path) -> SocketAddr {
    let files = s3s_fs::FileSystem::new(directory).unwrap();
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single("admin", "admin-secret"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection);
        }
    });
    address
}

fn s3(address: SocketAddr, secret: &str) -> S3 {
    let url = format!("http://{address}");
    S3::on(Endpoint::new(&url, "us-east-1", "admin", Secret::from(secret)).unwrap())
}

#[tokio::test]
async fn a_shared_key_must_be_accepted_by_the_definition() {
    let directory = tempfile::tempdir().unwrap();
    let s3 = s3(endpoint(directory.path()).await, "admin-secret");
    let refused = request("s3", "notes.uploads", json!(null));
    assert_eq!(s3.check(&refused.params)[0].path, "params.accessKeys");
    let error = s3.provision(&refused).await.unwrap_err();
    assert!(!error.retry && error.remedy.unwrap().contains("accessKeys: shared"));
    assert!(s3.inventory(refused.platform).await.unwrap().is_empty());
    assert!(
        s3.check(&object(json!({ "accessKeys": "shared" })))
            .is_empty()
    );
}

#[tokio::test]
async fn buckets_are_made_filled_and_removed_with_what_is_in_them() {
    let directory = tempfile::tempdir().unwrap();
    let s3 = s3(endpoint(directory.path()).await, "admin-secret");
    let asked = request("s3", "notes.uploads", json!({ "accessKeys": "shared" }));
    assert_eq!(s3.presence(&asked).await, Presence::Absent);
    let made = s3.provision(&asked).await.unwrap();
    assert_eq!(s3.provision(&asked).await.unwrap().outputs, made.outputs);
    assert_eq!(s3.presence(&asked).await, Presence::Present);

    let bucket = Workload::new(&made);
    for n in 0..40 {
        assert_eq!(
            bucket.put(&format!("file-{n}"), "bytes").await.status(),
            200
        );
    }
    // Another platform's, or a person's, is not ours to list or to remove.
    std::fs::create_dir(directory.path().join("somebody-elses")).unwrap();
    assert_eq!(
        s3.inventory(asked.platform).await.unwrap(),
        [output(&made, "bucket")]
    );
    assert!(s3.inventory(uuid::Uuid::now_v7()).await.unwrap().is_empty());

    s3.remove(&asked).await.unwrap();
    assert_eq!(s3.presence(&asked).await, Presence::Absent);
    assert!(s3.inventory(asked.platform).await.unwrap().is_empty());
    assert!(directory.path().join("somebody-elses").exists());
    s3.remove(&asked).await.unwrap();
}

#[tokio::test]
async fn an_endpoint_that_refuses_or_is_away_is_told_apart_and_no_secret_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let asked = request("s3", "notes.uploads", json!({ "accessKeys": "shared" }));
    let wrong = s3(endpoint(directory.path()).await, "wrong-secret");
    let Presence::Unknown(refused) = wrong.presence(&asked).await else {
        panic!("it was refused");
    };
    assert!(refused.message.contains("403"), "{refused}");
    let error = wrong.provision(&asked).await.unwrap_err();
    assert!(!error.retry && error.message.contains("403"), "{error}");
    assert!(!format!("{error:?}{wrong:?}").contains("wrong-secret"));

    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let away = s3(silent.local_addr().unwrap(), "admin-secret");
    let Presence::Unknown(unknown) = away.presence(&asked).await else {
        panic!("it is away");
    };
    assert!(!unknown.message.contains("X-Amz-Signature"), "{unknown}");
    let error = away.provision(&asked).await.unwrap_err();
    assert!(error.retry, "{error}");
    assert!(!error.message.contains("X-Amz-Signature"), "{error}");
}

#[tokio::test]
async fn a_bucket_that_was_made_elsewhere_is_neither_made_anew_nor_said_to_be_gone() {
    let directory = tempfile::tempdir().unwrap();
    let there = s3(endpoint(directory.path()).await, "admin-secret");
    let mut asked = request("s3", "notes.uploads", json!({ "accessKeys": "shared" }));
    asked.state = there.provision(&asked).await.unwrap().state;

    let elsewhere = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();
    let own = support::s3::server(own.path()).await;
    for here in [
        s3(endpoint(elsewhere.path()).await, "admin-secret"),
        S3::own(&own),
    ] {
        let presence = here.presence(&asked).await;
        assert!(matches!(presence, Presence::Unknown(_)), "{presence:?}");
        for error in [
            here.provision(&asked).await.unwrap_err(),
            here.remove(&asked).await.unwrap_err(),
        ] {
            assert!(error.message.contains("was made on http://"), "{error}");
            assert!(error.remedy.unwrap().contains("TOWPATH_S3_ENDPOINT"));
        }
        assert!(here.inventory(asked.platform).await.unwrap().is_empty());
    }
    assert_eq!(there.presence(&asked).await, Presence::Present);
}

#[tokio::test]
async fn a_shared_key_is_not_ended_by_a_rotation_until_another_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let address = endpoint(directory.path()).await;
    let here = s3(address, "admin-secret");
    let mut asked = request("s3", "notes.uploads", json!({ "accessKeys": "shared" }));
    for rotation in 1..=2 {
        asked.rotation = rotation;
        asked.state = here.provision(&asked).await.unwrap().state;
        here.retire(&asked).await.unwrap();
    }
    assert!(!asked.state.to_string().contains("admin-secret"));
    let why =
        |s3: &S3, state: &Value, rotation| s3.not_ended_by_rotation(&asked.params, state, rotation);
    for rotation in 1..=2 {
        let why = why(&here, &asked.state, rotation).unwrap();
        assert!(why.contains("rotate it where it was made"), "{why}");
    }
    // One that was made before this was kept.
    let mut before = asked.state.clone();
    before.as_object_mut().unwrap().remove("sharedKey");
    assert!(why(&here, &before, 1).is_some());
    // The platform has another key: the one before has ended where it was made.
    let url = format!("http://{address}");
    let other = Endpoint::new(&url, "us-east-1", "another", Secret::from("secret")).unwrap();
    assert_eq!(why(&S3::on(other), &asked.state, 2), None);
}
