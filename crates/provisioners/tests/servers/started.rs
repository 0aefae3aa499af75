//! Servers that Towpath starts from binaries on this machine.

use std::time::Duration;

use delivery::provisioner::{Presence, Provisioner, Request};
use rustix::process::{Pid, Signal, kill_process};
use towpath_provisioners::{Amqp, Mysql, Postgres, Servers};

use crate::support::{Started, heals, installed, output, removes_all, request};

/// Started, adopted by the next platform, started again after a crash, ended in order, and started
/// again with the data that it had.
async fn lives(sort: &str, called: &str, make: fn(Servers) -> Box<dyn Provisioner>) {
    let started = Started::new();
    let servers = started.servers();
    let provisioner = make(servers.clone());
    let request = request(sort, "db", "red");
    let another = Request {
        uid: uuid::Uuid::from_u128(rand::random()),
        ..request.clone()
    };
    assert!(
        provisioner
            .inventory(request.platform)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(started.processes().len(), 0, "a question started a server");
    // Two at once start one server.
    let (first, second) = tokio::join!(
        provisioner.provision(&request),
        provisioner.provision(&another)
    );
    let made = first.unwrap();
    assert_eq!(output(&second.unwrap(), "port"), output(&made, "port"));
    assert_eq!(
        made.listens.unwrap().port().to_string(),
        output(&made, "port")
    );

    // The next platform finds it running, and does not start a second one.
    drop((provisioner, servers));
    let main = main_process(&started);
    let servers = started.servers();
    let provisioner = make(servers.clone());
    let again = provisioner.provision(&request).await.unwrap();
    assert_eq!(again.outputs, made.outputs);
    assert_eq!(main_process(&started), main, "it was not adopted");

    // One that dies is started again.
    kill_process(Pid::from_raw(main).unwrap(), Signal::KILL).unwrap();
    heals(&*provisioner, &request).await;
    // What it left behind may have answered for a moment more, before another runs.
    testkit::eventually("another runs", Duration::from_secs(90), || async {
        let first = started.processes().into_iter().min();
        first.is_some_and(|pid| pid != main).then_some(())
    })
    .await;
    heals(&*provisioner, &request).await;

    // Where the platform is stopped, they run on, and are known.
    servers.stand_down().await;
    let running = started.running().await;
    assert_eq!(running.len(), 1, "{running:?}");
    assert_eq!(running[0].name, called);
    for server in running {
        server.stop().await.unwrap();
    }
    assert!(started.running().await.is_empty());
    assert!(!is_reachable(&output(&made, "port")), "it still listens");
    let provisioner = make(started.servers());
    assert_eq!(provisioner.presence(&request).await, Presence::Present);
    removes_all(&*provisioner, &request).await;
    removes_all(&*provisioner, &another).await;
}

/// The process that was recorded when the server was spawned.
fn main_process(started: &Started) -> i32 {
    let mut processes = started.processes();
    processes.sort_unstable();
    processes[0]
}

fn is_reachable(port: &str) -> bool {
    std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok()
}

#[tokio::test]
async fn postgres_lives() {
    let installed_here = std::fs::read_dir("/usr/lib/postgresql").is_ok();
    if installed_here || installed("postgres", &["/usr/bin/initdb"]) {
        lives("postgres", "Postgres", |servers| {
            Box::new(Postgres::new(servers))
        })
        .await;
    }
}

#[tokio::test]
async fn mariadb_lives() {
    if installed("mysql", &["/usr/sbin/mariadbd", "/usr/bin/mariadbd"]) {
        lives("mysql", "MariaDB", |servers| Box::new(Mysql::new(servers))).await;
    }
}

#[tokio::test]
async fn rabbitmq_lives() {
    if installed("amqp", &["/usr/lib/rabbitmq/bin/rabbitmq-server"]) {
        lives("amqp", "RabbitMQ", |servers| Box::new(Amqp::new(servers))).await;
    }
}
