//! What the servers themselves list of an environment: for the comparison with what should be there.

use std::{collections::BTreeMap, path::Path, process::Command};

use sqlx::{Connection, MySqlConnection, PgConnection, Row};

/// Names of what there is, by sort.
pub type Listed = BTreeMap<&'static str, Vec<String>>;

/// The servers of this machine, as far as they are there.
pub struct Servers {
    postgres: Option<String>,
    mysql: Option<String>,
    redis: bool,
    amqp: bool,
}

impl Servers {
    pub async fn find() -> Self {
        Self {
            postgres: testkit::servers::postgres().await,
            mysql: testkit::servers::mysql(),
            redis: testkit::servers::redis().is_some(),
            amqp: testkit::servers::amqp().is_some(),
        }
    }

    /// Resource types whose servers are there, beside those that need none.
    pub fn types(&self) -> Vec<&'static str> {
        let mut types = vec!["s3", "volume"];
        types.extend(self.postgres.as_ref().map(|_| "postgres"));
        types.extend(self.mysql.as_ref().map(|_| "mysql"));
        types.extend(self.redis.then_some("redis"));
        types.extend(self.amqp.then_some("amqp"));
        types
    }

    /// Everything that bears `mark` in its name, by sort.
    pub async fn listed(&self, data: &Path, mark: &str) -> Listed {
        let mut all = self.everything(data).await;
        for names in all.values_mut() {
            names.retain(|name: &String| name.contains(mark));
        }
        let pids = super::processes_marked(&format!("/{mark}/"));
        all.insert("process", pids.iter().map(|pid| described(*pid)).collect());
        all
    }

    /// Everything that the servers list, whosever it is, and all that is in `data` or runs there; by sort.
    pub async fn everything(&self, data: &Path) -> Listed {
        // There is one already, in all other cases.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut all = BTreeMap::new();
        if let Some(url) = &self.postgres {
            let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
            for (sort, query) in [
                ("database", "SELECT datname FROM pg_database"),
                ("role", "SELECT rolname FROM pg_roles"),
            ] {
                let rows = sqlx::query(query)
                    .fetch_all(&mut connection)
                    .await
                    .expect("it lists");
                all.insert(
                    sort,
                    rows.iter().map(|row| row.get::<String, _>(0)).collect(),
                );
            }
        }
        if let Some(url) = &self.mysql {
            let mut connection = MySqlConnection::connect(url).await.expect("MySQL answers");
            for (sort, query) in [
                (
                    "mysql database",
                    "SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata",
                ),
                (
                    "mysql user",
                    "SELECT DISTINCT CAST(user AS CHAR) FROM mysql.user",
                ),
            ] {
                let rows = sqlx::query(query)
                    .fetch_all(&mut connection)
                    .await
                    .expect("it lists");
                all.insert(
                    sort,
                    rows.iter().map(|row| row.get::<String, _>(0)).collect(),
                );
            }
        }
        if self.redis {
            all.insert("redis server", redis_servers());
        }
        if self.amqp {
            all.insert("vhost", amqp("vhosts").await);
            all.insert("broker user", amqp("users").await);
        }
        all.insert("bucket", entries(&data.join("s3")));
        all.insert("volume", entries(&data.join("volumes")));
        let pids = testkit::leftovers::programs_of(data);
        all.insert("process", pids.iter().map(|pid| described(*pid)).collect());
        for names in all.values_mut() {
            names.sort();
        }
        all
    }
}

async fn amqp(what: &str) -> Vec<String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let answer = client
        .get(format!("http://127.0.0.1:15672/api/{what}"))
        .basic_auth("guest", Some("guest"))
        .send()
        .await
        .expect("the broker's management answers");
    let all: Vec<serde_json::Value> = answer.json().await.expect("it lists");
    all.iter()
        .filter_map(|one| Some(one["name"].as_str()?.to_owned()))
        .collect()
}

/// Names of everything in the directories of `directory`: of which each holds things of one sort.
fn entries(directory: &Path) -> Vec<String> {
    let found = Command::new("find")
        .arg(directory)
        .args(["-mindepth", "2", "-maxdepth", "2", "-type", "d"])
        .output()
        .expect("find runs");
    String::from_utf8_lossy(&found.stdout)
        .lines()
        .filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned()))
        .collect()
}

/// What the Redis servers that run here are called: so are the directories that they work in.
fn redis_servers() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            std::fs::read_to_string(entry.path().join("comm"))
                .is_ok_and(|name| name.contains("redis"))
        })
        .filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok())
        .filter_map(|directory| Some(directory.file_name()?.to_string_lossy().into_owned()))
        .collect()
}

/// A process for people: pid, parent, state, command, and what it is of.
fn described(pid: u32) -> String {
    let read = |name: &str| {
        let all = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&all).into_owned()
    };
    let environment = read("environ");
    let mark = environment
        .split('\0')
        .find(|one| one.starts_with("TOWPATH_INSTANCE="));
    let status = read("status");
    let parent = status
        .lines()
        .find(|line| line.starts_with("PPid"))
        .unwrap_or_default();
    let command = read("cmdline").replace('\0', " ");
    format!("{pid} ({parent}): {command} {}", mark.unwrap_or_default())
}
