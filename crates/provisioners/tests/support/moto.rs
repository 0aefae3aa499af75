//! S3 and IAM by moto: neither ours nor made with our crates.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test binary uses its own part, and fails where it cannot go on"
)]

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use kernel::Secret;
use reqwest::Client;
use towpath_provisioners::{Endpoint, S3};

/// A server of its own.
pub struct Moto {
    child: Child,
    _port: testkit::Port,
    http: Client,
    pub url: String,
    administrator: (String, String),
}

impl Moto {
    /// With an administrator; none where moto is not installed.
    pub async fn start() -> Option<Self> {
        let program = testkit::servers::program("moto_server");
        let program = testkit::servers::require("moto", program)?;
        // Installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = testkit::free_port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut moto = Self {
            child,
            http: Client::new(),
            url: format!("http://127.0.0.1:{port}"),
            _port: port,
            administrator: Default::default(),
        };
        testkit::eventually("moto answers", Duration::from_mins(1), || async {
            moto.http.get(&moto.url).send().await.ok().map(drop)
        })
        .await;
        moto.iam("CreateUser", &[("UserName", "administrator")])
            .await;
        let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let policy = [
            ("UserName", "administrator"),
            ("PolicyName", "all"),
            ("PolicyDocument", all),
        ];
        moto.iam("PutUserPolicy", &policy).await;
        let key = moto
            .iam("CreateAccessKey", &[("UserName", "administrator")])
            .await;
        let part = |tag: &str| parts(&key, tag).remove(0);
        moto.administrator = (part("AccessKeyId"), part("SecretAccessKey"));
        Some(moto)
    }

    /// Buckets there, without its IAM.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint_with(&self.administrator.1)
    }

    /// The same by another secret.
    pub fn endpoint_with(&self, secret: &str) -> Endpoint {
        let id = self.administrator.0.as_str();
        Endpoint::new(&self.url, "us-east-1", id, Secret::from(secret)).unwrap()
    }

    /// Buckets there, each with a user of its own.
    pub fn s3(&self) -> S3 {
        S3::on(self.endpoint().with_iam(&self.url).unwrap())
    }

    /// Whether whoever asks may is looked at from now on. moto takes no presigned URL while it is.
    pub async fn enforce(&self, enforce: bool) {
        let after = if enforce { "0" } else { "inf" };
        let url = format!("{}/moto-api/reset-auth", self.url);
        let answer = self.http.post(url).body(after).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Asks IAM, as anybody.
    pub async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let mut form = vec![("Action", action), ("Version", "2010-05-08")];
        form.extend_from_slice(parameters);
        let request = self.http.post(&self.url).form(&form).header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=anybody/20260101/us-east-1/iam/aws4_request, \
             SignedHeaders=host, Signature=none",
        );
        request.send().await.unwrap().text().await.unwrap()
    }

    /// Ids of the access keys of a user, sorted.
    pub async fn access_keys(&self, user: &str) -> Vec<String> {
        let text = self.iam("ListAccessKeys", &[("UserName", user)]).await;
        let mut ids = parts(&text, "AccessKeyId");
        ids.sort();
        ids
    }

    /// Names of all users but the administrator.
    pub async fn users(&self) -> Vec<String> {
        let mut names = parts(&self.iam("ListUsers", &[]).await, "UserName");
        names.retain(|name| name != "administrator");
        names
    }

    /// Names of all buckets.
    pub async fn buckets(&self) -> Vec<String> {
        let answer = self.http.get(&self.url).send().await.unwrap();
        parts(&answer.text().await.unwrap(), "Name")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands in every `tag`.
fn parts(text: &str, tag: &str) -> Vec<String> {
    let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
    let rests = text.split(begin.as_str()).skip(1);
    rests
        .filter_map(|rest| Some(rest.split_once(end.as_str())?.0.to_owned()))
        .collect()
}
