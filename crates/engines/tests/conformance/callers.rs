//! Whose workload has the other end of a connection.

use std::{
    net::{IpAddr, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};

use crate::support::{Subject, container, id};

/// A connection to `listener`, as its accepting end sees it.
async fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr, SocketAddr) {
    let accepting = tokio::time::timeout(Duration::from_secs(30), listener.accept());
    let (stream, peer) = accepting.await.expect("it is called").expect("accepts");
    let here = stream.local_addr().expect("has an address");
    (stream, peer, here)
}

pub(crate) async fn knows_whose_workload_calls(subject: Subject) {
    let host = subject.engine.machine_host("dev").await.expect("a host");
    let host: IpAddr = host.parse().expect("an address");
    // One server that the engine makes reachable, and one that workloads reach by themselves.
    let server = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let beside = TcpListener::bind((host, 0)).await.expect("listens");
    let [server_at, beside_at] = [&server, &beside].map(|it| it.local_addr().expect("listens"));
    let forged = format!("TOWPATH_INSTANCE={}/other/it@1/main", subject.platform);
    let call = "/bin/busybox sleep 1000 | /bin/busybox nc";
    for (n, disguise) in [
        String::new(),
        "/bin/busybox env -i".to_owned(),
        format!("/bin/busybox env -i {forged}"),
        format!("/bin/busybox setsid /bin/busybox env -i {forged}"),
    ]
    .iter()
    .enumerate()
    {
        for (what, listener, at) in [
            ("server", &server, server_at),
            ("beside", &beside, beside_at),
        ] {
            let release_id = id(&format!("calls-{what}-{n}"), 1);
            // With its parent gone, it is nobody's child.
            let script = format!(
                "({disguise} /bin/busybox sh -c '{call} {host} {}' &); exec sleep 1000",
                at.port()
            );
            let mut release = subject.release(&release_id, &[("main", container(&script))]);
            release.reaches = vec![server_at];
            subject.engine.apply(&release).await.expect("applies");
            let (_open, peer, here) = accepted(listener).await;
            let found = subject.engine.environment_of(peer, here).await;
            let found = found.unwrap_or_else(|error| panic!("{what} {disguise}: {error}"));
            // The last of these is known by its mounts or its control group alone.
            let known = subject.engine.name() == "docker" || walled() || n < 2;
            let named = if known { "dev" } else { "other" };
            assert_eq!(found.as_deref(), Some(named), "{what} {disguise}");
            subject.removed(&release_id).await;
        }
    }
}

/// Whether processes of a workload have mounts of their own here.
fn walled() -> bool {
    let tried = Command::new("unshare").args(["--mount", "true"]).status();
    tried.is_ok_and(|status| status.success())
}

pub(crate) async fn knows_who_is_no_workload(subject: Subject) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let at = listener.local_addr().expect("listens");
    let mut stranger = Command::new("/bin/busybox")
        .args(["nc", "127.0.0.1", &at.port().to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let (_open, peer, here) = accepted(&listener).await;
    let found = subject.engine.environment_of(peer, here).await;
    assert_eq!(found.expect("it can be told"), None);
    stranger.kill().expect("it runs");
    stranger.wait().expect("it ends");
    let far = SocketAddr::from(([198, 51, 100, 7], 4000));
    let found = subject.engine.environment_of(far, here).await;
    assert_eq!(found.expect("it can be told"), None);
    if subject.engine.name() == "docker" {
        return;
    }
    // Who has gone before anybody looked could be anybody; and so could be for whom this process calls.
    let gone = subject.engine.environment_of(peer, here).await;
    gone.expect_err("nobody can tell");
    let _own = TcpStream::connect(at).await.expect("connects");
    let (_open, peer, here) = accepted(&listener).await;
    let own = subject.engine.environment_of(peer, here).await;
    own.expect_err("nobody can tell");
}
