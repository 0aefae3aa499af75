//! A bucket's life: rotation, restarts, removal.

mod support;

use std::path::Path;

use delivery::provisioner::{Presence, Provisioner};
use reqwest::{Method, StatusCode};
use rusty_s3::S3Action;
use serde_json::json;
use support::{
    object, output,
    s3::{SIGNED_FOR, Workload, config, made, server, server_on},
};
use towpath_provisioners::{S3, S3Server};

#[tokio::test]
async fn two_keys_are_good_until_the_first_is_retired() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let s3 = S3::own(&server);
    let (mut request, made, old) = made(&s3, "notes.uploads").await;
    old.put("kept", "bytes").await;
    assert_eq!(s3.provision(&request).await.unwrap().outputs, made.outputs);

    request.rotation = 2;
    assert_eq!(s3.presence(&request).await, Presence::Absent);
    let next = s3.provision(&request).await.unwrap();
    assert_eq!(s3.presence(&request).await, Presence::Present);
    let new = Workload::new(&next);
    assert_ne!(
        output(&made, "access_key_id"),
        output(&next, "access_key_id")
    );
    assert_eq!(old.get("kept").await.status(), 200);
    assert_eq!(new.get("kept").await.status(), 200);
    s3.retire(&request).await.unwrap();
    assert_eq!(old.get("kept").await.status(), 403);
    assert_eq!(new.get("kept").await.status(), 200);
}

#[tokio::test]
async fn keys_and_objects_outlive_the_platform_and_the_disk_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let first = server_on(&port, directory.path()).await;
    let (_, made, before) = made(&S3::own(&first), "notes.uploads").await;
    before.put("kept", "bytes").await;
    first.stop().await;

    // What a crash leaves behind is swept away.
    let bucket = directory
        .path()
        .join("buckets")
        .join(output(&made, "bucket"));
    std::fs::write(directory.path().join("incoming/half"), "half").unwrap();
    std::fs::write(bucket.join("data/orphan"), "orphan").unwrap();
    let second = server_on(&port, directory.path()).await;
    // Nobody has provisioned anything, and the workload is served.
    assert_eq!(before.get("kept").await.text().await.unwrap(), "bytes");
    assert_eq!(before.list("").await, ["kept"]);
    assert!(!directory.path().join("incoming/half").exists());
    assert!(!bucket.join("data/orphan").exists());
    // Nobody else may serve the same directory meanwhile.
    let error = S3Server::start(config(directory.path())).await.unwrap_err();
    assert!(error.message.contains("another process") && error.remedy.is_some());
    second.stop().await;

    let secret = output(&made, "secret_access_key");
    let mut files = 0;
    search(directory.path(), &mut |path| {
        files += 1;
        let bytes = std::fs::read(path).unwrap();
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{}", path.display());
    });
    assert!(files >= 4);

    let mut other = config(directory.path());
    other.key = kernel::Secret::new([8; 32]);
    let error = S3Server::start(other).await.unwrap_err();
    assert!(error.message.contains("another key") && error.remedy.is_some());
}

fn search(directory: &Path, look: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, look)
        } else {
            look(&path)
        }
    }
}

#[tokio::test]
async fn removal_takes_bucket_objects_uploads_and_keys_and_is_proved() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let s3 = S3::own(&server);
    let (request, made, bucket) = made(&s3, "notes.uploads").await;
    bucket.put("a", "bytes").await;
    let begin = bucket
        .bucket
        .create_multipart_upload(Some(&bucket.keys), "b")
        .sign(SIGNED_FOR);
    bucket.send(Method::POST, begin, "").await;
    let listed = s3.listed_as(&request).unwrap();
    assert_eq!(listed, output(&made, "bucket"));
    assert_eq!(
        s3.inventory(request.platform).await.unwrap(),
        std::slice::from_ref(&listed)
    );
    assert!(s3.inventory(uuid::Uuid::now_v7()).await.unwrap().is_empty());

    s3.remove(&request).await.unwrap();
    assert_eq!(s3.presence(&request).await, Presence::Absent);
    assert!(s3.inventory(request.platform).await.unwrap().is_empty());
    assert_eq!(bucket.get("a").await.status(), StatusCode::FORBIDDEN);
    assert!(!directory.path().join("buckets").join(listed).exists());
    s3.remove(&request).await.unwrap();
}

#[tokio::test]
async fn a_shared_key_is_refused_where_there_are_own_ones() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let s3 = S3::own(&server);
    assert!(s3.check(&object(json!({ "accessKeys": "own" }))).is_empty());
    for (params, rule) in [
        (json!({ "accessKeys": "shared" }), "params/value"),
        (json!({ "accessKeys": "any" }), "params/value"),
        (json!({ "accesKeys": "own" }), "params/unknown"),
    ] {
        assert_eq!(s3.check(&object(params))[0].rule, rule);
    }
}
