//! What the servers themselves list of an environment: for the comparison with what should be there.

use std::{collections::BTreeMap, path::Path, process::Command};

use sqlx::{Connection, PgConnection, Row};

/// The servers of this machine, as far as they are there.
pub struct Servers {
    postgres: Option<String>,
    amqp: bool,
}

impl Servers {
    pub async fn find() -> Self {
        Self { postgres: testkit::servers::postgres().await, amqp: testkit::servers::amqp().is_some() }
    }

    /// Resource types whose servers are there, beside those that need none.
    pub fn types(&self) -> Vec<&'static str> {
        let mut types = vec!["s3", "volume"];
        types.extend(self.postgres.as_ref().map(|_| "postgres"));
        types.extend(self.amqp.then_some("amqp"));
        types
    }

    /// Everything that bears `mark` in its name, by sort.
    pub async fn listed(&self, data: &Path, mark: &str) -> BTreeMap<&'static str, Vec<String>> {
        let mut all = BTreeMap::new();
        if let Some(url) = &self.postgres {
            let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
            for (sort, query) in [
                ("database", "SELECT datname FROM pg_database"),
                ("role", "SELECT rolname FROM pg_roles"),
            ] {
                let rows = sqlx::query(query).fetch_all(&mut connection).await.expect("it lists");
                all.insert(sort, rows.iter().map(|row| row.get::<String, _>(0)).collect());
            }
        }
        if self.amqp {
            all.insert("vhost", amqp("vhosts").await);
            all.insert("broker user", amqp("users").await);
        }
        all.insert("bucket", entries(&data.join("s3")));
        all.insert("volume", entries(&data.join("volumes")));
        for names in all.values_mut() {
            names.retain(|name: &String| name.contains(mark));
            names.sort();
        }
        let pids = super::processes_marked(&format!("/{mark}/"));
        all.insert("process", pids.iter().map(ToString::to_string).collect());
        all
    }
}

async fn amqp(what: &str) -> Vec<String> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client
        .get(format!("http://127.0.0.1:15672/api/{what}"))
        .basic_auth("guest", Some("guest"))
        .send()
        .await
        .expect("the broker's management answers");
    let all: Vec<serde_json::Value> = answer.json().await.expect("it lists");
    all.iter().filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect()
}

/// Names of everything below `directory`, two levels deep.
fn entries(directory: &Path) -> Vec<String> {
    let found = Command::new("find")
        .arg(directory)
        .args(["-mindepth", "1", "-maxdepth", "2", "-type", "d"])
        .output()
        .expect("find runs");
    String::from_utf8_lossy(&found.stdout)
        .lines()
        .filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned()))
        .collect()
}
