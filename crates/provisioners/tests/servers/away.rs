//! A configured server that is away for a while.

use delivery::provisioner::{Presence, ProvisionError, Provisioner, Request};
use serde_json::json;
use towpath_provisioners::{Amqp, Mysql, Postgres, Redis, Servers, ServersConfig};
use uuid::Uuid;

use crate::support::{Started, heals, installed, output, removes_all, request};

type Make = fn(Servers) -> Box<dyn Provisioner>;
/// Takes the URL where workloads connect, and the server's keeper.
type Configure = fn(&mut ServersConfig, String, &Started);

/// While it is away nothing is said to be absent, and nothing fails for good; when it is back, the
/// same calls succeed. The server is one that another platform runs.
async fn comes_and_goes(sort: &str, scheme: &str, make: Make, configure: Configure) {
    let started = Started::new();
    let keeper = started.servers();
    let mut theirs = request(sort, "db", "blue");
    // The shared Redis, and not one of the instance's own.
    if sort == "redis" {
        theirs.params.insert("isolation".into(), json!("prefix"));
    }
    let made = make(keeper.clone()).provision(&theirs).await.unwrap();
    let (user, password) = started.administrator(sort);
    let url = format!(
        "{scheme}://{user}:{password}@127.0.0.1:{}",
        output(&made, "port")
    );

    let data = tempfile::tempdir().unwrap();
    let mut config = ServersConfig::new(Uuid::from_u128(rand::random()), data.path().to_owned());
    configure(&mut config, url, &started);
    let provisioner = make(Servers::new(config));
    let ours = Request {
        uid: Uuid::from_u128(rand::random()),
        ..theirs.clone()
    };
    provisioner.provision(&ours).await.unwrap();

    keeper.stop_all().await.unwrap();
    for _ in 0..2 {
        let (presence, provision, retire, remove, inventory) = tokio::join!(
            provisioner.presence(&ours),
            provisioner.provision(&ours),
            provisioner.retire(&ours),
            provisioner.remove(&ours),
            provisioner.inventory(ours.platform),
        );
        let Presence::Unknown(unknown) = presence else {
            panic!("{presence:?}");
        };
        assert!(unknown.message.contains("does not answer"), "{unknown}");
        says_what_to_do(&unknown, sort);
        for failed in [provision.err(), retire.err(), remove.err(), inventory.err()] {
            let error = failed.expect("the server is away");
            assert!(error.retry, "{error}");
            assert!(error.message.contains("does not answer"), "{error}");
            assert!(!error.message.contains(&password), "{error}");
            says_what_to_do(&error, sort);
        }
    }

    let again = started.servers();
    assert_eq!(again.resume().await.len(), 0);
    heals(&*provisioner, &ours).await;
    assert_eq!(provisioner.presence(&ours).await, Presence::Present);
    removes_all(&*provisioner, &ours).await;
}

/// How to start it, which variable names it, and that it heals by itself.
fn says_what_to_do(error: &ProvisionError, sort: &str) {
    let remedy = error.remedy.as_deref().unwrap_or_default();
    let variable = format!("TOWPATH_{}_URL", sort.to_uppercase());
    for part in ["start it (`", &variable, "again by itself"] {
        assert!(remedy.contains(part), "{part}: {remedy}");
    }
}

#[tokio::test]
async fn postgres_heals() {
    if std::fs::read_dir("/usr/lib/postgresql").is_ok()
        || installed("postgres", &["/usr/bin/initdb"])
    {
        comes_and_goes(
            "postgres",
            "postgres",
            |servers| Box::new(Postgres::new(servers)),
            |config, url, _| config.postgres = Some(url.into()),
        )
        .await;
    }
}

#[tokio::test]
async fn mysql_heals() {
    if installed("mysql", &["/usr/sbin/mariadbd", "/usr/bin/mariadbd"]) {
        comes_and_goes(
            "mysql",
            "mysql",
            |servers| Box::new(Mysql::new(servers)),
            |config, url, _| config.mysql = Some(url.into()),
        )
        .await;
    }
}

#[tokio::test]
async fn redis_heals() {
    if installed(
        "redis",
        &["/usr/bin/redis-server", "/usr/local/bin/redis-server"],
    ) {
        comes_and_goes(
            "redis",
            "redis",
            |servers| Box::new(Redis::new(servers)),
            |config, url, _| config.redis = Some(url.into()),
        )
        .await;
    }
}

#[tokio::test]
async fn rabbitmq_heals() {
    if installed("amqp", &["/usr/lib/rabbitmq/bin/rabbitmq-server"]) {
        comes_and_goes(
            "amqp",
            "amqp",
            |servers| Box::new(Amqp::new(servers)),
            |config, url, started| {
                let (user, password) = started.administrator("amqp");
                let port = started.port("amqp", "management");
                let management = format!("http://{user}:{password}@127.0.0.1:{port}");
                config.amqp = Some(url.into());
                config.amqp_management = Some(management.into());
            },
        )
        .await;
    }
}
