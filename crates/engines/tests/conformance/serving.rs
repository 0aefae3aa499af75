//! Releases serve, beside each other, and reach what they should.

use std::time::Duration;

use delivery::engine::LogQuery;

use crate::support::{Subject, container, get, http_probe, id, port, ports, serves};

pub(crate) async fn serves_at_its_endpoint(subject: Subject) {
    let id = id("serves", 1);
    let mut web = container(&serves("true"));
    web.readiness = http_probe("/");
    let mut release = subject.release(&id, &[("web", web)]);
    release.ports = port();
    let mut changes = subject.engine.changes();
    subject.engine.apply(&release).await.expect("applies");
    let state = subject.ready(&id).await;
    assert_eq!(get(state.endpoints["web"], "/").await, "hello");
    assert_eq!(state.digest, release.digest);
    assert!(state.containers["web"].running && state.containers["web"].ready);
    assert_eq!(changes.recv().await.expect("nudges"), id);
    assert_eq!(
        subject.engine.list().await.expect("lists"),
        vec![id.clone()]
    );

    // The same again: nothing happens.
    subject.engine.apply(&release).await.expect("applies");
    let again = subject.state(&id).await;
    assert_eq!(
        again.containers["web"].handle,
        state.containers["web"].handle
    );

    subject.removed(&id).await;
    assert_ne!(get(state.endpoints["web"], "/").await, "hello");
    subject
        .engine
        .remove(&id, Duration::ZERO)
        .await
        .expect("removing what is gone is no error");
}

pub(crate) async fn two_releases_run_beside_each_other(subject: Subject) {
    let (old, new) = (id("two", 1), id("two", 2));
    for id in [&old, &new] {
        let mut release = subject.release(id, &[("web", container(&serves("true")))]);
        release.ports = port();
        subject.engine.apply(&release).await.expect("applies");
    }
    let (first, second) = (subject.ready(&old).await, subject.ready(&new).await);
    assert_ne!(first.endpoints, second.endpoints);
    subject.removed(&old).await;
    assert_eq!(get(second.endpoints["web"], "/").await, "hello");
    subject.removed(&new).await;
}

pub(crate) async fn port_tells_the_main_port_and_each_has_a_variable(subject: Subject) {
    let id = id("ports", 1);
    // By name, others go before the main one.
    let web = container(
        "mkdir -p web admin; echo web > web/index.html; echo admin > admin/index.html; \
         /bin/busybox httpd -p $PORT_ADMIN -h admin; [ $PORT_UDP != $PORT ] || exit 1; \
         exec /bin/busybox httpd -f -p $PORT -h web",
    );
    let mut release = subject.release(&id, &[("web", web)]);
    release.ports = ports(&[("admin", 8081), ("udp", 8053), ("web", 8080)]);
    subject.engine.apply(&release).await.expect("applies");
    let state = subject.ready(&id).await;
    for name in ["web", "admin"] {
        assert_eq!(get(state.endpoints[name], "/").await, name);
    }
    subject.removed(&id).await;
}

pub(crate) async fn containers_of_a_workload_share_localhost(subject: Subject) {
    let id = id("share", 1);
    let web = container(&serves("true"));
    let asks = container(
        "while ! /bin/busybox wget -q -O - http://127.0.0.1:$PORT/; do sleep 0.1; done; exec sleep 1000",
    );
    let mut release = subject.release(&id, &[("web", web), ("asks", asks)]);
    release.ports = port();
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("share", "hello").await;
    let state = subject.ready(&id).await;

    // Also after the one has ended that the other shares with.
    subject.end(&state.containers["asks"]);
    subject
        .until(&id, |state| state.containers["asks"].restarts == 1)
        .await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let lines = subject.lines("share", LogQuery::default()).await;
        let state = subject.ready(&id).await;
        let again = lines.iter().filter(|line| *line == "hello").count() >= 2;
        if again && get(state.endpoints["web"], "/").await == "hello" {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{state:#?} {lines:#?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    subject.removed(&id).await;
}

pub(crate) async fn reaches_servers_of_this_machine(subject: Subject) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("listens");
    let server = listener.local_addr().expect("has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"from this machine\n").await;
        }
    });
    let host = subject
        .engine
        .machine_host("dev")
        .await
        .expect("knows the host");
    let id = id("reaches", 1);
    let script = format!(
        "/bin/busybox nc {host} {} </dev/null; exec sleep 1000",
        server.port()
    );
    let mut release = subject.release(&id, &[("main", container(&script))]);
    release.reaches = vec![server];
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("reaches", "from this machine").await;
    subject.removed(&id).await;
}
