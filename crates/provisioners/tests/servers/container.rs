//! Servers in containers, where there are no binaries but a Docker engine.

use std::net::TcpStream;

use delivery::provisioner::{Presence, Provisioner};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use serde_json::json;
use sqlx::{Connection as _, MySqlConnection, PgConnection};
use tempfile::TempDir;
use towpath_provisioners::{Amqp, Mysql, Postgres, Redis, Servers, ServersConfig, running_servers};
use uuid::Uuid;

use crate::{
    images::{Image, docker},
    support::{another, is_idempotent, output, removes_all, request},
};

/// A platform that runs its server of one sort in a container. What is left to Docker goes with it.
struct Contained {
    data: TempDir,
    platform: Uuid,
    container: String,
}

impl Contained {
    fn new(sort: &str) -> Self {
        let platform = Uuid::from_u128(rand::random());
        let uid = platform.simple().to_string();
        Self {
            data: tempfile::tempdir().unwrap(),
            platform,
            container: format!("towpath-{}-{sort}", &uid[uid.len() - 6..]),
        }
    }

    /// The servers as the next process of the platform knows them.
    fn servers(&self) -> Servers {
        Servers::new(ServersConfig {
            find_local: false,
            allow_start: false,
            ..ServersConfig::new(self.platform, self.data.path().to_owned())
        })
    }

    /// What Docker says of the container.
    fn is(&self, what: &str) -> String {
        docker(&["inspect", "--format", what, &self.container]).unwrap()
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.container]);
        docker(&["volume", "rm", &self.container]);
    }
}

/// What a program does with its instance.
trait Program {
    const SORT: &'static str;
    /// The image that Towpath asks for.
    const IMAGE: &'static str;
    const SCHEME: &'static str;
    /// The output that names the room of the instance on the server.
    const ROOM: &'static str;

    fn provisioner(servers: Servers) -> Box<dyn Provisioner>;

    /// Whether it is let in.
    async fn enters(url: &str) -> bool;

    /// Leaves a note.
    async fn writes(url: &str);

    /// Whether the note is there.
    async fn reads(url: &str) -> bool;
}

/// Started once and adopted by the next platform, for two teams that do not see each other; with what it
/// holds when it is ended and started again, and when its container is gone and only the volume left.
async fn lives<P: Program>() {
    let Some(_image) = Image::of(P::SORT, P::IMAGE) else {
        return;
    };
    let contained = Contained::new(P::SORT);
    let servers = contained.servers();
    let provisioner = P::provisioner(servers.clone());
    let red = request(P::SORT, "db", "red");
    let blue = another(&red, "blue");
    let made = is_idempotent(&*provisioner, &red).await;
    let for_blue = provisioner.provision(&blue).await.unwrap();
    let (url, port) = (output(&made, "url"), output(&made, "port"));
    P::writes(&url).await;
    assert!(P::enters(&output(&for_blue, "url")).await);
    let crossed = format!(
        "{}://{}:{}@127.0.0.1:{port}/{}",
        P::SCHEME,
        output(&made, "username"),
        output(&made, "password"),
        output(&for_blue, P::ROOM),
    );
    assert!(!P::enters(&crossed).await, "another team's is open");

    // The next platform finds it running, and neither starts nor makes a second one.
    let run = "{{.Id}} {{.State.StartedAt}}";
    let running = contained.is(run);
    drop((provisioner, servers));
    let servers = contained.servers();
    let provisioner = P::provisioner(servers.clone());
    let again = provisioner.provision(&red).await.unwrap();
    assert_eq!(again.outputs, made.outputs);
    assert_eq!(contained.is(run), running, "it was not adopted");

    // Where the platform is stopped, it runs on, and is known.
    servers.stand_down().await;
    let running = running_servers(contained.data.path()).await;
    let [Ok(server)] = running.as_slice() else {
        panic!("{running:?}");
    };
    assert!(server.runs_as.contains(&contained.container), "{server:?}");
    server.stop().await.unwrap();
    assert!(running_servers(contained.data.path()).await.is_empty());
    assert_eq!(contained.is("{{.State.ExitCode}}"), "0", "it was killed");
    assert!(
        TcpStream::connect(format!("127.0.0.1:{port}")).is_err(),
        "it still listens"
    );
    let provisioner = P::provisioner(contained.servers());
    assert_eq!(provisioner.presence(&red).await, Presence::Present);
    assert!(P::reads(&url).await, "a restart lost the note");

    docker(&["rm", "--force", &contained.container]).unwrap();
    let provisioner = P::provisioner(contained.servers());
    assert_eq!(provisioner.presence(&red).await, Presence::Present);
    assert!(P::reads(&url).await, "the note went with the container");

    removes_all(&*provisioner, &red).await;
    assert!(!P::enters(&url).await);
    assert!(P::enters(&output(&for_blue, "url")).await);
    removes_all(&*provisioner, &blue).await;
}

struct OnPostgres;

impl Program for OnPostgres {
    const SORT: &'static str = "postgres";
    const IMAGE: &'static str = "postgres:16";
    const SCHEME: &'static str = "postgres";
    const ROOM: &'static str = "database";

    fn provisioner(servers: Servers) -> Box<dyn Provisioner> {
        Box::new(Postgres::new(servers))
    }

    async fn enters(url: &str) -> bool {
        PgConnection::connect(url).await.is_ok()
    }

    async fn writes(url: &str) {
        let mut program = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE note (id int); INSERT INTO note VALUES (7)")
            .execute(&mut program)
            .await
            .unwrap();
        let logged: String = sqlx::query_scalar("SHOW log_min_error_statement")
            .fetch_one(&mut program)
            .await
            .unwrap();
        assert_eq!(
            logged, "panic",
            "a statement that fails may hold a password"
        );
    }

    async fn reads(url: &str) -> bool {
        let mut program = PgConnection::connect(url).await.unwrap();
        let note = sqlx::query_scalar::<_, i32>("SELECT id FROM note");
        note.fetch_one(&mut program).await.is_ok_and(|id| id == 7)
    }
}

struct OnMysql;

impl Program for OnMysql {
    const SORT: &'static str = "mysql";
    const IMAGE: &'static str = "mariadb:11";
    const SCHEME: &'static str = "mysql";
    const ROOM: &'static str = "database";

    fn provisioner(servers: Servers) -> Box<dyn Provisioner> {
        Box::new(Mysql::new(servers))
    }

    async fn enters(url: &str) -> bool {
        MySqlConnection::connect(url).await.is_ok()
    }

    async fn writes(url: &str) {
        let mut program = MySqlConnection::connect(url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE note (id int); INSERT INTO note VALUES (7)")
            .execute(&mut program)
            .await
            .unwrap();
    }

    async fn reads(url: &str) -> bool {
        let mut program = MySqlConnection::connect(url).await.unwrap();
        let note = sqlx::query_scalar::<_, i32>("SELECT id FROM note");
        note.fetch_one(&mut program).await.is_ok_and(|id| id == 7)
    }
}

struct OnRabbit;

impl Program for OnRabbit {
    const SORT: &'static str = "amqp";
    const IMAGE: &'static str = "rabbitmq:3-management";
    const SCHEME: &'static str = "amqp";
    const ROOM: &'static str = "vhost";

    fn provisioner(servers: Servers) -> Box<dyn Provisioner> {
        Box::new(Amqp::new(servers))
    }

    async fn enters(url: &str) -> bool {
        Connection::connect(url, ConnectionProperties::default())
            .await
            .is_ok()
    }

    async fn writes(url: &str) {
        let program = Connection::connect(url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = program.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        channel
            .queue_declare(
                "notes".into(),
                QueueDeclareOptions::durable(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        // A message that the server keeps on its disk.
        let kept = BasicProperties::default().with_delivery_mode(2);
        let publish = channel.basic_publish(
            "".into(),
            "notes".into(),
            BasicPublishOptions::default(),
            b"seven",
            kept,
        );
        publish.await.unwrap().await.unwrap();
    }

    async fn reads(url: &str) -> bool {
        let program = Connection::connect(url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = program.create_channel().await.unwrap();
        // Made empty where it is not there.
        let queue = channel.queue_declare(
            "notes".into(),
            QueueDeclareOptions::durable(),
            FieldTable::default(),
        );
        queue.await.unwrap().message_count() == 1
    }
}

#[tokio::test]
async fn postgres_lives_in_docker() {
    lives::<OnPostgres>().await;
}

#[tokio::test]
async fn mariadb_lives_in_docker() {
    lives::<OnMysql>().await;
}

#[tokio::test]
async fn rabbitmq_lives_in_docker() {
    lives::<OnRabbit>().await;
}

#[tokio::test]
async fn redis_in_docker_is_started_once_and_adopted() {
    let Some(_image) = Image::of("redis", "redis:7") else {
        return;
    };
    let contained = Contained::new("redis");
    let servers = contained.servers();
    let redis = Redis::new(servers.clone());
    let request = request("redis", "cache", "red");
    let made = is_idempotent(&redis, &request).await;
    assert!(!output(&made, "prefix").is_empty(), "it is shared");

    servers.stop_all().await.unwrap();
    let redis = Redis::new(contained.servers());
    // Without a file of users they go with the server: the reconciler makes them again.
    assert_eq!(redis.presence(&request).await, Presence::Absent);
    let again = redis.provision(&request).await.unwrap();
    assert_eq!(again.outputs, made.outputs);
    removes_all(&redis, &request).await;
}

#[tokio::test]
async fn without_any_way_the_error_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let config = ServersConfig {
        find_local: false,
        allow_start: false,
        docker: false,
        ..ServersConfig::new(Uuid::from_u128(1), data.path().to_owned())
    };
    let mut request = request("redis", "cache", "red");
    let redis = Redis::new(Servers::new(config.clone()));
    let error = redis.provision(&request).await.unwrap_err();
    assert!(!error.retry);
    let remedy = error.remedy.unwrap();
    assert!(remedy.contains("apt-get install redis-server"), "{remedy}");
    assert!(remedy.contains("TOWPATH_REDIS_URL="), "{remedy}");
    request.params.insert("isolation".into(), json!("server"));
    let error = redis.provision(&request).await.unwrap_err();
    assert!(error.remedy.unwrap().contains("isolation: prefix"));
    let postgres = Postgres::new(Servers::new(config));
    let error = postgres.provision(&request).await.unwrap_err();
    assert!(error.remedy.unwrap().contains("apt-get install postgresql"));
    // Nothing was made, so nothing is in the way of a removal.
    postgres.remove(&request).await.unwrap();
}
