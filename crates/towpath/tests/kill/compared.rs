//! What there should be, against what the servers themselves list.

use std::{fmt, sync::Mutex, time::Duration};

use client::Client;
use delivery::{
    api::Data,
    model::{DeploymentPhase, InstancePhase},
};

use crate::{
    instances, logins,
    site::{
        Site,
        listed::{Listed, Servers},
    },
};

/// How many of a sort there are while the environment is there: at least, and at the most.
fn expected(sort: &str) -> (usize, usize) {
    match sort {
        // Postgres has an owner role beside the login.
        "role" => (1, 2),
        // The workload's own, and the bundle's.
        "bucket" | "volume" => (2, 2),
        _ => (1, 1),
    }
}

/// Looks what there is, from before a platform's first start to its end.
pub struct Compared<'t> {
    servers: &'t Servers,
    environment: String,
    /// What there was before the platform was.
    before: Listed,
    /// By which the platform's names are known: six digits of its id, once something of it was seen.
    own: Option<String>,
}

impl<'t> Compared<'t> {
    pub async fn begin(servers: &'t Servers, site: &Site, environment: &str) -> Self {
        Self {
            servers,
            environment: environment.to_owned(),
            before: servers.everything(&site.data).await,
            own: None,
        }
    }

    /// Lets the platform converge, and compares what the servers list of the environment with what should
    /// be there.
    pub async fn compare(&mut self, site: &Site) {
        let running = site.start().await;
        let client = running.client();
        let there = settled(client, site, &self.environment).await;
        let listed = self.servers.listed(&site.data, &self.environment).await;
        println!("there: {there}, listed: {listed:?}");
        for (sort, names) in &listed {
            let (least, most) = if there { expected(sort) } else { (0, 0) };
            assert!(
                names.len() <= most && names.len() >= least,
                "{sort}: {names:?}, but the environment is there: {there}\n{}",
                site.log()
            );
        }
        if there {
            let bucket = listed["bucket"].first().and_then(|name| platform_in(name));
            self.own = bucket.map(str::to_owned);
            let host = format!("hello.{}.localhost", self.environment);
            let (status, body) = site.get(&host).await.expect("the gateway answers");
            assert_eq!(status, 200, "{body}\n{}", site.log());
            let used = logins::use_all(client, &self.environment).await;
            println!("logged in: {used:?}");
            let types = self.servers.types().into_iter();
            for sort in types.filter(|sort| *sort != "volume") {
                // The bundle has a bucket, too.
                let expected = if sort == "s3" { 2 } else { 1 };
                assert_eq!(used.get(sort), Some(&expected), "{sort}");
            }
        }
        running.kill();
    }

    /// Ends the environment, and finds nothing of it anywhere, nor anything else that was not there before.
    pub async fn finish(&self, site: &Site) {
        let running = site.start().await;
        let (client, environment) = (running.client(), &self.environment);
        if settled(client, site, environment).await {
            client
                .delete_environment(environment, Data::Remove, None)
                .await
                .expect("it may go");
        }
        testkit::eventually(
            "the environment is gone",
            Duration::from_mins(2),
            || async {
                let found = client.environment(environment).await;
                found.is_err_and(|error| error.is_not_found()).then_some(())
            },
        )
        .await;
        for (sort, names) in self.servers.listed(&site.data, environment).await {
            assert!(names.is_empty(), "left behind, {sort}: {names:?}");
        }
        running.kill();
        for (sort, mut names) in self.servers.everything(&site.data).await {
            let before = self.before.get(sort);
            let was_there = |name: &String| before.is_some_and(|before| before.contains(name));
            names.retain(|name| !was_there(name) && self.is_ours(sort, name));
            assert!(names.is_empty(), "not there before, {sort}: {names:?}");
        }
    }

    /// Whether it is this platform's: all that is in its data directory, and of what servers list, which others use at
    /// the same time, whatever bears its id, of this environment or not.
    fn is_ours(&self, sort: &str, name: &str) -> bool {
        let of = platform_in(name);
        ["bucket", "volume", "process"].contains(&sort)
            || (of.is_some() && of == self.own.as_deref())
    }
}

/// The platform that a name is of: what is made on a server is called `tp-<6 digits>-...` by the platform's id.
fn platform_in(name: &str) -> Option<&str> {
    let (own, rest) = name.strip_prefix("tp")?.get(1..)?.split_at_checked(6)?;
    let is_id = own.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && rest.starts_with(['-', '_'])).then_some(own)
}

/// Waits until nothing is under way. Says whether the environment is there.
async fn settled(client: &Client, site: &Site, environment: &str) -> bool {
    let under_way = Mutex::new(String::new());
    let what = fmt::from_fn(|f| {
        let under_way = under_way.lock().expect("nobody panicked");
        write!(f, "everything settles: {under_way}\n{}", site.log())
    });
    testkit::eventually(what, Duration::from_mins(2), || async {
        let found = match client.environment(environment).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Some(false),
            Err(error) => panic!("{error}\n{}", site.log()),
        };
        let left = if found.meta.deleting.is_some() {
            Some(format!("the environment goes: {:?}", found.status))
        } else {
            left_to_do(client, environment).await
        };
        let settled = left.is_none();
        *under_way.lock().expect("nobody panicked") = left.unwrap_or_default();
        settled.then_some(true)
    })
    .await
}

/// What of the newest deployment, its workload and its resources is still under way.
async fn left_to_do(client: &Client, environment: &str) -> Option<String> {
    let all = client::every(async |page| client.deployments(environment, &page).await);
    let all = all.await.expect("deployments are listed");
    let Some(newest) = all.iter().max_by_key(|deployment| deployment.meta.uid) else {
        return Some("nothing is deployed".into());
    };
    match newest.status.phase {
        DeploymentPhase::Succeeded => {}
        phase if phase.is_final() => panic!("{phase:?}: {:?}", newest.status.failure),
        _ => return Some(format!("the deployment: {:?}", newest.status)),
    }
    let summary = client
        .environment_summary(environment)
        .await
        .expect("a summary");
    if !summary.remaining.is_empty() {
        return Some(format!("what goes: {:?}", summary.remaining));
    }
    let workload = client
        .workload(environment, "hello")
        .await
        .expect("the workload");
    if workload.status.releases.len() != 1 {
        return Some(format!("the workload: {:?}", workload.status));
    }
    // The credentials of before a rotation end once the workload has those after it.
    let all = instances(client, environment).await;
    let unready = all.iter().find(|instance| {
        instance.status.phase != InstancePhase::Ready
            || instance.status.oldest_rotation != instance.spec.rotation
    });
    unready.map(|instance| format!("{}: {:?}", instance.spec.node, instance.status))
}
