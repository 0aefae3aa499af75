//! The program against a platform that answers what a test wants.

use std::{net::SocketAddr, process::Output};

use axum::Router;
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

/// A platform that answers by `router`.
pub(crate) async fn platform(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// How the program ended, and what it said.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program against the platform at `address`, in a data directory of its own.
pub(crate) async fn towpath(address: SocketAddr, arguments: &[&str]) -> Ended {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("admin.token"), "token-1\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .env("TOWPATH_DATA", data.path())
        .env("TOWPATH_SERVER", format!("http://{address}"));
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.unwrap();
    Ended {
        code: status.code().expect("it ended by itself"),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

pub(crate) const CORRELATION: &str = "01890000-0000-7000-8000-0000000000cc";

/// A resource as the API answers it.
pub(crate) fn document(kind: &str, scope: &str, name: &str, spec: Value, status: Value) -> Value {
    json!({
        "kind": kind,
        "metadata": {
            "scope": scope,
            "name": name,
            "uid": "01890000-0000-7000-8000-000000000001",
            "revision": 7,
            "generation": 1,
            "created": "2025-01-01T00:00:00Z",
            "updated": "2025-01-01T00:00:10Z",
        },
        "spec": spec,
        "status": status,
    })
}

/// A deployment of the workload `notes`.
pub(crate) fn deployment(status: Value) -> Value {
    let spec = json!({
        "workloads": {},
        "releases": {"notes": 2},
        "graph": {"nodes": {}, "workloads": {}},
        "plan": {
            "resources": {
                "postgres-default-notes-db": {
                    "action": "add", "node": "postgres.default#notes.db",
                    "definition": "postgres-default@1", "reasons": [], "holdsData": true,
                },
            },
            "workloads": {
                "notes": {"action": "add", "changes": [], "url": "http://notes.dev.localhost:7080"},
            },
            "routesAdded": [], "routesRemoved": [], "warnings": [], "held": [],
        },
        "decision": {"allowed": true, "policies": ["towpath.delivery@abc"]},
        "requestedBy": "local-admin",
        "correlation": CORRELATION,
        "claims": {},
        "timeoutSeconds": 300,
    });
    document("Deployment", "dev", "d-2", spec, status)
}

/// An event as the API answers it.
pub(crate) fn event(seq: i64, kind: &str, subject: &str, outcome: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": "01890000-0000-7000-8000-000000000002",
        "source": "/towpath/test",
        "type": format!("dev.towpath.{kind}"),
        "subject": subject,
        "time": "2025-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "seq": seq,
        "team": "default",
        "correlation": CORRELATION,
        "actor": "system:test",
        "outcome": outcome,
        "data": data,
    })
}
