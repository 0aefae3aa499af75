//! The platform's own S3 server by boto3, as most programs use it.

mod support;

use delivery::provisioner::Provisioner;
use serde_json::json;
use support::{
    output, request,
    s3::{Workload, server},
};
use towpath_provisioners::S3;

const SCRIPT: &str = include_str!("support/boto3_walk.py");

#[tokio::test]
async fn boto3_finds_what_it_expects() {
    if !support::s3::has_boto3().await {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let s3 = S3::own(&server);
    let made = s3
        .provision(&request("s3", "notes.uploads", json!(null)))
        .await
        .unwrap();
    let other = s3
        .provision(&request("s3", "other.uploads", json!(null)))
        .await
        .unwrap();
    let theirs = Workload::new(&other);
    theirs.put("secret", "theirs").await;
    let ran = tokio::process::Command::new("python3")
        .args(["-c", SCRIPT])
        .env("ENDPOINT", output(&made, "endpoint"))
        .env("REGION", output(&made, "region"))
        .env("BUCKET", output(&made, "bucket"))
        .env("OTHER_BUCKET", output(&other, "bucket"))
        .env("AWS_ACCESS_KEY_ID", output(&made, "aws_access_key_id"))
        .env("AWS_SECRET_ACCESS_KEY", output(&made, "aws_secret_key"))
        .output()
        .await
        .unwrap();
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    assert_eq!(theirs.list("").await, ["secret"]);
    assert_eq!(theirs.get("secret").await.text().await.unwrap(), "theirs");
}
