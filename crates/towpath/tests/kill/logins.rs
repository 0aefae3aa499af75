//! The credentials that the platform hands out are those that each server takes: none was lost.

use std::{collections::BTreeMap, time::Duration};

use client::Client;
use delivery::model::ResourceInstance;
use kernel::Resource;
use redis::AsyncTypedCommands as _;
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use sqlx::{Connection as _, MySqlConnection, PgConnection};

/// Uses what each of the environment's instances gave out, as a workload does. Says how many of each type.
pub async fn use_all(client: &Client, environment: &str) -> BTreeMap<String, usize> {
    let all = client::every(async |page| client.resources(environment, &page).await).await;
    let mut used = BTreeMap::new();
    for instance in all.expect("resources are listed") {
        let handed = Handed {
            client,
            environment,
            instance: &instance,
        };
        match instance.spec.node.resource_type.as_str() {
            "postgres" => postgres(&handed.secret("url").await).await,
            "mysql" => mysql(&handed.secret("url").await).await,
            "redis" => redis(&handed.secret("url").await).await,
            "amqp" => amqp(&handed.secret("url").await).await,
            "s3" => s3(&handed).await,
            // Others have nothing to log in to.
            _ => continue,
        }
        let used: &mut usize = used
            .entry(instance.spec.node.resource_type.clone())
            .or_default();
        *used += 1;
    }
    used
}

/// What one instance hands out.
struct Handed<'a> {
    client: &'a Client,
    environment: &'a str,
    instance: &'a Resource<ResourceInstance>,
}

impl Handed<'_> {
    async fn secret(&self, name: &str) -> String {
        let instance = &self.instance.meta.name;
        let outputs = self
            .client
            .resource_outputs(self.environment, instance, Some(name))
            .await
            .expect("its outputs");
        outputs.revealed[name].clone()
    }

    async fn plain(&self, name: &str) -> String {
        let instance = &self.instance.meta.name;
        let outputs = self
            .client
            .resource_outputs(self.environment, instance, None)
            .await
            .expect("its outputs");
        let value = outputs.outputs[name].as_str();
        value.expect("a text").to_owned()
    }
}

async fn postgres(url: &str) {
    let mut connection = PgConnection::connect(url)
        .await
        .expect("Postgres takes the credentials");
    sqlx::query("CREATE TABLE IF NOT EXISTS kept (id int)")
        .execute(&mut connection)
        .await
        .expect("the database is ours");
}

async fn mysql(url: &str) {
    let mut connection = MySqlConnection::connect(url)
        .await
        .expect("MySQL takes the credentials");
    sqlx::query("CREATE TABLE IF NOT EXISTS kept (id int)")
        .execute(&mut connection)
        .await
        .expect("the database is ours");
}

async fn redis(url: &str) {
    let mut connection = redis::Client::open(url)
        .expect("an address")
        .get_multiplexed_async_connection()
        .await
        .expect("Redis takes the credentials");
    connection
        .set("kept", "1")
        .await
        .expect("the keys are ours");
}

async fn amqp(url: &str) {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default())
        .await
        .expect("RabbitMQ takes the credentials");
    connection
        .create_channel()
        .await
        .expect("the virtual host is ours");
}

async fn s3(handed: &Handed<'_>) {
    let endpoint = handed.plain("endpoint").await;
    let bucket = Bucket::new(
        endpoint.parse().expect("an address"),
        UrlStyle::Path,
        handed.plain("bucket").await,
        handed.plain("region").await,
    )
    .expect("a bucket");
    let keys = Credentials::new(
        handed.plain("access_key_id").await,
        handed.secret("secret_access_key").await,
    );
    let url = bucket
        .list_objects_v2(Some(&keys))
        .sign(Duration::from_mins(1));
    let http = reqwest::Client::builder().no_proxy().build();
    let answer = http.expect("a client").get(url).send().await;
    let status = answer.expect("S3 answers").status();
    assert_eq!(status, 200, "S3 takes the credentials");
}
