//! A bucket as a workload sees it: by the outputs, and a client that signs.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses its own part, and fails where it cannot go on"
)]

use std::{path::Path, time::Duration};

use delivery::provisioner::{Provisioned, Provisioner, Request};
use kernel::Secret;
use reqwest::{Client, Method, Response, Url};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use serde_json::Value;
use towpath_provisioners::{S3, S3Config, S3Server};

use super::{output, request};

/// How long what the tests sign is good for.
pub const SIGNED_FOR: Duration = Duration::from_mins(1);

/// The platform's own server on `directory`.
pub async fn server(directory: &Path) -> S3Server {
    S3Server::start(config(directory)).await.unwrap()
}

/// The same on `port`, where it can be started again.
pub async fn server_on(port: &testkit::Port, directory: &Path) -> S3Server {
    let config = S3Config {
        listen: ([127, 0, 0, 1], port.number()).into(),
        ..config(directory)
    };
    S3Server::start(config).await.unwrap()
}

/// Its configuration.
pub fn config(directory: &Path) -> S3Config {
    S3Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        directory: directory.to_owned(),
        key: Secret::new([7; 32]),
    }
}

/// An instance on `s3`, with its request and a client of it.
pub async fn made(s3: &S3, id: &str) -> (Request, Provisioned, Workload) {
    let mut request = request("s3", id, Value::Null);
    let made = s3.provision(&request).await.unwrap();
    request.state = made.state.clone();
    let workload = Workload::new(&made);
    (request, made, workload)
}

/// A client with an instance's outputs.
pub struct Workload {
    pub bucket: Bucket,
    pub keys: Credentials,
    pub http: Client,
}

impl Workload {
    pub fn new(made: &Provisioned) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint: Url = output(made, "endpoint").parse().unwrap();
        Self {
            bucket: Bucket::new(
                endpoint,
                UrlStyle::Path,
                output(made, "bucket"),
                output(made, "region"),
            )
            .unwrap(),
            keys: Credentials::new(
                output(made, "access_key_id"),
                output(made, "secret_access_key"),
            ),
            http: Client::new(),
        }
    }

    /// The same bucket name, asked for with another's keys.
    pub fn with_keys_of(&self, other: &Self) -> Self {
        Self {
            bucket: self.bucket.clone(),
            keys: other.keys.clone(),
            http: self.http.clone(),
        }
    }

    pub async fn send(&self, method: Method, url: Url, body: impl Into<reqwest::Body>) -> Response {
        self.http
            .request(method, url)
            .body(body)
            .send()
            .await
            .unwrap()
    }

    pub async fn put(&self, key: &str, body: impl Into<reqwest::Body>) -> Response {
        let url = self
            .bucket
            .put_object(Some(&self.keys), key)
            .sign(SIGNED_FOR);
        self.send(Method::PUT, url, body).await
    }

    pub async fn get(&self, key: &str) -> Response {
        let url = self
            .bucket
            .get_object(Some(&self.keys), key)
            .sign(SIGNED_FOR);
        self.send(Method::GET, url, "").await
    }

    pub async fn delete(&self, key: &str) -> Response {
        let url = self
            .bucket
            .delete_object(Some(&self.keys), key)
            .sign(SIGNED_FOR);
        self.send(Method::DELETE, url, "").await
    }

    /// All keys that begin with `prefix`, in pages of two.
    pub async fn list(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut token = None;
        loop {
            let mut action = self.bucket.list_objects_v2(Some(&self.keys));
            action.with_prefix(prefix.to_owned());
            action.with_max_keys(2);
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let answer = self.send(Method::GET, action.sign(SIGNED_FOR), "").await;
            assert_eq!(answer.status(), 200);
            let text = answer.text().await.unwrap();
            let page = rusty_s3::actions::ListObjectsV2::parse_response(&text).unwrap();
            keys.extend(page.contents.into_iter().map(|object| object.key));
            match page.next_continuation_token {
                Some(next) => token = Some(next),
                None => return keys,
            }
        }
    }
}

/// Whether Python has the client that most programs use.
pub async fn has_boto3() -> bool {
    let present = tokio::process::Command::new("python3")
        .args(["-c", "import boto3"])
        .stderr(std::process::Stdio::null())
        .status()
        .await;
    let found = match present {
        Ok(status) if status.success() => Ok(()),
        _ => Err("python3 cannot import it (pip install boto3)".to_owned()),
    };
    testkit::servers::require("boto3", found).is_some()
}
