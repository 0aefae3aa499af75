//! A bucket for each instance, with access keys of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Problem, Secret};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    S3Server,
    external::Endpoint,
    iam,
    keys::{AccessKey, KeyRing},
    shared_key::SharedKey,
    store::Store,
    user::User,
};
use crate::params::{self, Param, Shape};

/// What clients are told of our own server: every S3 client knows it, and asks for no other.
const REGION: &str = "us-east-1";
/// The longest name of a bucket.
const LONGEST: usize = 63;
/// The word by which a definition accepts that all instances share one access key.
const SHARED: &str = "shared";

/// Makes buckets, on the platform's own server or on an endpoint of somebody else's.
///
/// On its own server, each instance has an access key for its bucket alone, and after a rotation a
/// second one, until the first is retired. S3 itself has no operation that makes access keys: so it is on
/// another endpoint where its IAM is known. Where it is not, the instances there get the configured access
/// key, and only where the definition says `accessKeys: shared`.
#[derive(Debug, Clone)]
pub struct S3 {
    from: From,
}

#[derive(Debug, Clone)]
enum From {
    Own {
        address: SocketAddr,
        store: Arc<Store>,
        keys: Arc<KeyRing>,
    },
    Endpoint(Box<Endpoint>),
}

impl S3 {
    /// What it is like, wherever the buckets are.
    pub const DESCRIPTION: Description = Description {
        summary: "A bucket with an access key of its own.",
        outputs: &[
            ("endpoint", false),
            ("region", false),
            ("bucket", false),
            ("access_key_id", false),
            ("secret_access_key", true),
            ("secret_key", true),
            ("aws_access_key_id", false),
            ("aws_secret_key", true),
        ],
        holds_data: true,
        replaced_by: &[],
    };

    /// What is wrong with the parameters of a bucket on the platform's own server, also while that
    /// server does not run here.
    pub fn check_own(given: &Map<String, Value>) -> Vec<Problem> {
        check(given, own_keys(given))
    }

    /// Buckets on the platform's own server.
    pub fn own(server: &S3Server) -> Self {
        Self {
            from: From::Own {
                address: server.address(),
                store: Arc::clone(&server.store),
                keys: Arc::clone(&server.keys),
            },
        }
    }

    /// Buckets on another endpoint.
    pub fn on(endpoint: Endpoint) -> Self {
        Self {
            from: From::Endpoint(Box::new(endpoint)),
        }
    }
}

#[async_trait]
impl Provisioner for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn describe(&self) -> Description {
        Self::DESCRIPTION
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        check(given, self.check_keys(given))
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        self.check_place(request)?;
        self.check_keys(&request.params)?;
        let bucket = bucket_name(request);
        let mut state = json!({ "bucket": bucket });
        let (endpoint, region, id, secret, listens, note) = match &self.from {
            From::Own {
                address,
                store,
                keys,
            } => {
                store
                    .make_bucket(&bucket, request.platform)
                    .await
                    .map_err(|error| storage("make the bucket", &bucket, &error))?;
                let (id, key) = access_key(request, &bucket)?;
                let secret = Secret::from(key.secret.as_str());
                keys.grant(id.clone(), key)
                    .await
                    .map_err(|error| storage("keep the access key of", &bucket, &error))?;
                let endpoint = format!("http://{}:{}", request.machine_host, address.port());
                (endpoint, REGION, id, secret, Some(*address), "")
            }
            From::Endpoint(endpoint) => {
                endpoint.make_bucket(&bucket).await?;
                state["endpoint"] = json!(endpoint.url());
                let (id, secret, note) = if let Some(iam) = endpoint.iam() {
                    let (user, key) = User::provision(endpoint, iam, request, &bucket).await?;
                    state["iam"] = json!(user);
                    let id = endpoint.access_key_id();
                    if let Some(shared) = SharedKey::of(&request.state, id, request.rotation) {
                        state["sharedKey"] = json!(shared);
                    }
                    (key.id, key.secret, "")
                } else {
                    let shared = SharedKey::handed_out(request, endpoint.access_key_id());
                    state["sharedKey"] = json!(shared);
                    (
                        endpoint.access_key_id().to_owned(),
                        endpoint.secret_access_key().clone(),
                        ", with the shared access key, which is rotated where it was made",
                    )
                };
                let url = endpoint.url().to_owned();
                (url, endpoint.region(), id, secret, None, note)
            }
        };
        let plain = |text: &str| Output::Plain(Value::from(text));
        Ok(Provisioned {
            outputs: BTreeMap::from([
                ("endpoint".to_owned(), plain(&endpoint)),
                ("region".to_owned(), plain(region)),
                ("bucket".to_owned(), plain(&bucket)),
                ("access_key_id".to_owned(), plain(&id)),
                ("aws_access_key_id".to_owned(), plain(&id)),
                (
                    "secret_access_key".to_owned(),
                    Output::Secret(secret.clone()),
                ),
                ("secret_key".to_owned(), Output::Secret(secret.clone())),
                ("aws_secret_key".to_owned(), Output::Secret(secret)),
            ]),
            state,
            listens,
            summary: format!("bucket {bucket} on {endpoint}{note}"),
            claims: Vec::new(),
        })
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        self.check_place(request)?;
        match &self.from {
            From::Own { keys, .. } => keys
                .end(request.uid, request.rotation)
                .await
                .map_err(|error| storage("end access keys of", &bucket_name(request), &error)),
            From::Endpoint(endpoint) => match (endpoint.iam(), User::of(request)) {
                (Some(iam), Some(user)) => user.retire(iam, request.rotation).await,
                // The shared access key is not the platform's to end.
                _ => Ok(()),
            },
        }
    }

    fn not_ended_by_rotation(
        &self,
        _: &Map<String, Value>,
        state: &Value,
        rotation: u32,
    ) -> Option<String> {
        let From::Endpoint(endpoint) = &self.from else {
            return None;
        };
        let present = endpoint.access_key_id();
        let shared = SharedKey::of(state, present, rotation)?;
        shared.is_good(present, rotation).then(|| {
            "its access key is shared by all buckets: rotate it where it was made".to_owned()
        })
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        self.check_place(request)?;
        let bucket = bucket_name(request);
        match &self.from {
            From::Own { store, keys, .. } => {
                keys.end(request.uid, u32::MAX)
                    .await
                    .map_err(|error| storage("end the access keys of", &bucket, &error))?;
                store
                    .remove_bucket(&bucket)
                    .await
                    .map_err(|error| storage("remove the bucket", &bucket, &error))
            }
            From::Endpoint(endpoint) => {
                if let Some(iam) = endpoint.iam() {
                    User::remove(iam, &bucket).await?;
                }
                endpoint.remove_bucket(&bucket).await
            }
        }
    }

    async fn presence(&self, request: &Request) -> Presence {
        if let Err(error) = self.check_place(request) {
            return Presence::Unknown(error);
        }
        let bucket = bucket_name(request);
        match &self.from {
            From::Own { store, keys, .. } => {
                let has_key = access_key(request, &bucket)
                    .is_ok_and(|(id, key)| keys.get(&id).is_some_and(|kept| *kept == key));
                if has_key && store.bucket(&bucket).is_some() {
                    Presence::Present
                } else {
                    Presence::Absent
                }
            }
            From::Endpoint(endpoint) => {
                let presence = endpoint.presence(&bucket).await;
                match (endpoint.iam(), User::of(request)) {
                    (Some(iam), Some(user)) if presence == Presence::Present => user
                        .presence(iam, request.rotation)
                        .await
                        .unwrap_or_else(Presence::Unknown),
                    _ => presence,
                }
            }
        }
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        match &self.from {
            From::Own { store, .. } => Ok(store.buckets_of(platform)),
            From::Endpoint(endpoint) => {
                let ours = prefix(platform);
                let mut made: BTreeSet<_> = endpoint.buckets().await?.into_iter().collect();
                made.retain(|bucket| bucket.starts_with(&ours));
                if let Some(iam) = endpoint.iam() {
                    // A user has the name of its bucket.
                    made.extend(iam.users(&ours).await?);
                }
                Ok(made.into_iter().collect())
            }
        }
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        Some(bucket_name(request))
    }
}

impl S3 {
    /// Refuses an instance that was made elsewhere: its data is there, and must neither be made anew
    /// here nor be said to be gone.
    fn check_place(&self, request: &Request) -> Result<(), ProvisionError> {
        if request.state.is_null() {
            return Ok(());
        }
        let there = request.state.get("endpoint").and_then(Value::as_str);
        let here = match &self.from {
            From::Own { .. } => None,
            From::Endpoint(endpoint) => Some(endpoint.url()),
        };
        if there == here {
            return self.check_iam(request);
        }
        let own = "the platform's own S3 server";
        let (there, here) = (there.unwrap_or(own), here.unwrap_or(own));
        Err(ProvisionError::permanent(format!(
            "the bucket was made on {there}, and the platform now makes buckets on {here}"
        ))
        .remedy(
            "start the platform with TOWPATH_S3_ENDPOINT as it was; to move, copy what the bucket \
             holds, and delete the resource before the endpoint is changed",
        ))
    }

    /// Refuses an instance that has a user at an IAM that is not at hand: nobody could end its access keys, and
    /// it must not be given the shared one in their place.
    fn check_iam(&self, request: &Request) -> Result<(), ProvisionError> {
        let Some(user) = User::of(request) else {
            return Ok(());
        };
        let here = match &self.from {
            From::Own { .. } => None,
            From::Endpoint(endpoint) => endpoint.iam().map(iam::Iam::url),
        };
        if here == Some(user.endpoint()) {
            return Ok(());
        }
        let here = here.map_or_else(|| "is given none".to_owned(), |here| format!("uses {here}"));
        Err(ProvisionError::permanent(format!(
            "the bucket has a user at the IAM endpoint {}, and the platform now {here}",
            user.endpoint()
        ))
        .remedy("start the platform with TOWPATH_S3_IAM_ENDPOINT as it was"))
    }

    /// Whether the instances get the access keys that the definition expects.
    fn check_keys(&self, given: &Map<String, Value>) -> Result<(), ProvisionError> {
        match &self.from {
            From::Own { .. } => own_keys(given),
            From::Endpoint(endpoint) if endpoint.iam().is_some() || shares_keys(given) => Ok(()),
            From::Endpoint(endpoint) => Err(ProvisionError::permanent(format!(
                "S3 has no operation that makes an access key for one bucket, so that all instances \
                 on {} would get the platform's own, which reaches every bucket",
                endpoint.url()
            ))
            .remedy(
                "name the endpoint's IAM with --s3-iam-endpoint, or accept it with `accessKeys: shared` in \
                 the resource definition, or let the platform serve S3 itself, or make bucket and key with \
                 the provisioner `command`",
            )),
        }
    }
}

fn shares_keys(given: &Map<String, Value>) -> bool {
    given.get("accessKeys").and_then(Value::as_str) == Some(SHARED)
}

fn own_keys(given: &Map<String, Value>) -> Result<(), ProvisionError> {
    if !shares_keys(given) {
        return Ok(());
    }
    Err(ProvisionError::permanent(
        "the platform's own S3 server gives each instance an access key of its own",
    )
    .remedy("leave `accessKeys` out"))
}

/// What is wrong with the parameters, given what there is to say of the access keys.
fn check(given: &Map<String, Value>, keys: Result<(), ProvisionError>) -> Vec<Problem> {
    const KNOWN: &[Param] = &[Param::optional(
        "accessKeys",
        Shape::OneOf(&["own", SHARED]),
    )];
    let mut problems = params::check("s3", KNOWN, given);
    if problems.is_empty()
        && let Err(error) = keys
    {
        let problem = Problem::new("params/value", "params.accessKeys", error.message);
        problems.push(match error.remedy {
            Some(remedy) => problem.remedy(remedy),
            None => problem,
        });
    }
    problems
}

/// The access key of the present rotation. Its id is public, unique, and as long as those of AWS.
fn access_key(request: &Request, bucket: &str) -> Result<(String, AccessKey), ProvisionError> {
    let uid = request.uid.simple().to_string().to_uppercase();
    let id = format!("TP{}{:04}", &uid[uid.len() - 14..], request.rotation);
    let secret = request.credential("s3 secret access key");
    let key = AccessKey {
        secret: secret.expose().to_owned(),
        bucket: bucket.to_owned(),
        instance: request.uid,
        rotation: request.rotation,
    };
    Ok((id, key))
}

fn bucket_name(request: &Request) -> String {
    request.unique_name(LONGEST, '-')
}

/// What the names of this platform's buckets begin with.
fn prefix(platform: Uuid) -> String {
    Request::name_prefix(platform, '-')
}

fn storage(doing: &str, bucket: &str, error: &std::io::Error) -> ProvisionError {
    ProvisionError::transient(format!("the S3 server cannot {doing} {bucket}: {error}"))
        .remedy("see that the data directory's disk is there and not full")
}
