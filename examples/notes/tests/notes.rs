//! The service as its users see it, on a real Postgres and an S3 endpoint.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{collections::HashMap, net::SocketAddr, path::Path, time::Duration};

use hyper_util::rt::TokioIo;
use notes::{App, config::Config};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::{Value, json};
use testkit::servers::PostgresDatabase;
use tokio::net::TcpListener;

async fn bucket(directory: &Path) -> SocketAddr {
    std::fs::create_dir(directory.join("uploads")).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory).unwrap());
    service.set_auth(SimpleAuth::from_single("key", "bucket-secret"));
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

struct Place {
    database: PostgresDatabase,
    directory: tempfile::TempDir,
    bucket: SocketAddr,
}

impl Place {
    async fn new() -> Option<Self> {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let database = testkit::servers::postgres_database().await?;
        let directory = tempfile::tempdir().unwrap();
        let bucket = bucket(directory.path()).await;
        Some(Self {
            database,
            directory,
            bucket,
        })
    }

    async fn service(&self, version: &str) -> Service {
        let variables = HashMap::from([
            ("DATABASE_URL", self.database.url.clone()),
            ("S3_ENDPOINT", format!("http://{}", self.bucket)),
            ("S3_BUCKET", "uploads".into()),
            ("S3_ACCESS_KEY_ID", "key".into()),
            ("S3_SECRET_ACCESS_KEY", "bucket-secret".into()),
            ("GREETING", "Hello & welcome".into()),
            ("VERSION", version.into()),
        ]);
        let config = Config::from_env(|name| variables.get(name).cloned()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = App::start(config).unwrap().router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let service = Service {
            url,
            client: reqwest::Client::new(),
        };
        let ready = async {
            while service.status("/readyz").await != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready)
            .await
            .expect("it gets ready");
        service
    }
}

struct Service {
    url: String,
    client: reqwest::Client,
}

impl Service {
    async fn get(&self, path: &str) -> reqwest::Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    async fn create(&self, body: &str) -> reqwest::Response {
        let url = format!("{}/api/notes", self.url);
        self.client
            .post(url)
            .json(&json!({ "body": body }))
            .send()
            .await
            .unwrap()
    }

    async fn attach(&self, note: i64, name: &str, kind: &str, bytes: &'static [u8]) -> Value {
        let url = format!("{}/api/notes/{note}/attachments", self.url);
        let request = self
            .client
            .post(url)
            .query(&[("name", name)])
            .header("content-type", kind);
        let response = request.body(bytes).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    async fn notes(&self) -> Vec<Value> {
        self.get("/api/notes").await.json().await.unwrap()
    }
}

async fn id(response: reqwest::Response) -> i64 {
    assert_eq!(response.status(), 201);
    response.json::<Value>().await.unwrap()["id"]
        .as_i64()
        .unwrap()
}

fn objects(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { objects(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn notes_and_attachments_outlive_a_release() {
    let Some(place) = Place::new().await else {
        return;
    };
    let one = place.service("1").await;
    let note = id(one.create("  Buy milk & <bread>  ").await).await;
    let image = one
        .attach(note, "cat.png", "image/png", b"not really a cat")
        .await;
    let page = one
        .attach(note, "ä \"b\".html", "text/html", b"<script>1</script>")
        .await;

    // Two releases at once, as while one takes over from the other.
    let two = place.service("2").await;
    assert_eq!(two.get("/healthz").await.headers()["x-version"], "2");
    let notes = two.notes().await;
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0]["body"], "Buy milk & <bread>");
    assert_eq!(notes[0]["attachments"].as_array().unwrap().len(), 2);

    let shown = two.get(&format!("/api/attachments/{}", image["id"])).await;
    assert_eq!(shown.headers()["content-type"], "image/png");
    assert_eq!(shown.bytes().await.unwrap(), "not really a cat");
    let saved = two.get(&format!("/api/attachments/{}", page["id"])).await;
    assert_eq!(saved.headers()["content-type"], "application/octet-stream");
    let disposition = saved.headers()["content-disposition"].to_str().unwrap();
    assert_eq!(
        disposition,
        "attachment; filename*=UTF-8''%C3%A4%20%22b%22.html"
    );

    let html = two.get("/").await.text().await.unwrap();
    assert!(
        html.contains("Hello &amp; welcome") && html.contains("version 2"),
        "{html}"
    );
    assert!(html.contains("Buy milk &amp; &lt;bread&gt;"), "{html}");

    assert!(objects(&place.directory.path().join("uploads")) >= 2);
    let delete = two
        .client
        .delete(format!("{}/api/notes/{note}", two.url))
        .send()
        .await
        .unwrap();
    assert_eq!(delete.status(), 204);
    assert!(one.notes().await.is_empty());
    assert_eq!(
        objects(&place.directory.path().join("uploads")),
        0,
        "the bucket is empty again"
    );
    assert_eq!(
        two.status(&format!("/api/attachments/{}", image["id"]))
            .await,
        404
    );
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let Some(place) = Place::new().await else {
        return;
    };
    let service = place.service("1").await;
    for body in ["", "   ", "a\0b", &"x".repeat(4001)] {
        assert_eq!(service.create(body).await.status(), 422);
    }
    assert_eq!(service.create(&"ä".repeat(4000)).await.status(), 201);
    assert_eq!(service.status("/nowhere").await, 404);
    assert_eq!(service.status("/api/attachments/999").await, 404);
    let attach = |note: i64, name: &str| {
        let url = format!("{}/api/notes/{note}/attachments?name={name}", service.url);
        service.client.post(url).body("x").send()
    };
    assert_eq!(attach(999, "a").await.unwrap().status(), 404);
    assert_eq!(attach(1, "").await.unwrap().status(), 422);
    assert_eq!(
        objects(&place.directory.path().join("uploads")),
        0,
        "nothing half-made"
    );
}

#[tokio::test]
async fn it_lives_but_is_not_ready_without_its_database() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let get = |name: &str| match name {
        "DATABASE_URL" => Some(format!("postgres://u:database-secret@{closed}/x")),
        "S3_ENDPOINT" => Some(format!("http://{closed}")),
        "S3_BUCKET" | "S3_ACCESS_KEY_ID" | "S3_SECRET_ACCESS_KEY" => Some("x".into()),
        _ => None,
    };
    let router = App::start(Config::from_env(get).unwrap()).unwrap().router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let service = Service {
        url,
        client: reqwest::Client::new(),
    };
    assert_eq!(service.status("/healthz").await, 200);
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.text().await.unwrap(), "database: no tables yet\n");
}

#[test]
fn a_missing_variable_is_named_and_no_value_is_shown() {
    let refused = Config::from_env(|_| None).err().unwrap().to_string();
    assert!(
        refused.contains("PGHOST") && refused.contains("DATABASE_URL"),
        "{refused}"
    );
    let wrong = |name: &str| Some(if name == "PORT" { "http" } else { "secret%zz" }.to_owned());
    let refused = Config::from_env(wrong).err().unwrap().to_string();
    assert!(!refused.contains("secret"), "{refused}");
    let parts = |name: &str| match name {
        "PGPORT" => Some("5433".to_owned()),
        "PORT" => Some("9000".to_owned()),
        _ if name.starts_with("PG") || name.starts_with("S3_") => Some("x".to_owned()),
        _ => None,
    };
    let config = Config::from_env(parts).unwrap();
    assert_eq!(
        (config.listen.port(), config.database.get_port()),
        (9000, 5433)
    );
}
