//! A user of each bucket's own at the IAM of another endpoint, whose access keys reach that bucket alone.
//!
//! IAM draws the secret of an access key, and tells it once. It is kept in the instance's state, sealed by a
//! key that follows from the instance's seed, so that it is known again for as long as the seed is. Whoever is
//! killed before the state is written has lost it: an access key that the state does not name is removed.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    AeadCore, Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, OsRng, Payload},
};
use delivery::provisioner::{Presence, ProvisionError, Request};
use kernel::Secret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    external::Endpoint,
    iam::{AccessKey, Iam},
};

/// Binds what is sealed to its purpose.
const PURPOSE: &str = "towpath s3 user's access key";
const NONCE: usize = 24;
/// How long an access key may take to be known to every server of an endpoint: at AWS, some seconds.
const KNOWN_WITHIN: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A bucket's user, as the instance's state keeps it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    endpoint: String,
    name: String,
    /// From the oldest to the newest.
    access_keys: Vec<KeptKey>,
}

#[derive(Serialize, Deserialize)]
struct KeptKey {
    rotation: u32,
    id: String,
    /// The secret, for as long as it is handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

impl User {
    /// The one of the instance; none where it was made with the shared access key, or not yet.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let kept = request.state.get("iam")?;
        serde_json::from_value(kept.clone()).ok()
    }

    /// The IAM that it was made at.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Makes the user of `bucket` and its access key of the present rotation; those that are known stay.
    pub(super) async fn provision(
        endpoint: &Endpoint,
        iam: &Iam,
        request: &Request,
        bucket: &str,
    ) -> Result<(Self, AccessKey), ProvisionError> {
        iam.make_user(bucket).await?;
        iam.put_policy(bucket, &policy(iam, bucket)).await?;
        let listed = iam.access_keys(bucket).await?;
        let mut user = Self::of(request).unwrap_or_else(|| Self {
            endpoint: iam.url().to_owned(),
            name: bucket.to_owned(),
            access_keys: Vec::new(),
        });
        user.access_keys.retain(|key| {
            let found = listed.iter().find(|one| one.access_key_id == key.id);
            found.is_some_and(super::iam_answers::ListedKey::is_active)
        });
        let present = user.present(request);
        if present.is_none() {
            user.make_room(request.rotation);
        }
        for key in listed {
            let id = key.access_key_id;
            if !user.access_keys.iter().any(|kept| kept.id == id) {
                iam.delete_access_key(bucket, &id).await?;
            }
        }
        if let Some(present) = present {
            return Ok((user, present));
        }
        let made = iam.create_access_key(bucket).await?;
        user.access_keys.push(KeptKey {
            rotation: request.rotation,
            sealed: Some(seal(&request.seed, &made)?),
            id: made.id.clone(),
        });
        known(endpoint, iam, bucket, &made).await?;
        Ok((user, made))
    }

    /// Ends all access keys but that of the present rotation.
    pub(super) async fn retire(&self, iam: &Iam, rotation: u32) -> Result<(), ProvisionError> {
        let Some(present) = self.key(rotation) else {
            return Err(ProvisionError::transient(format!(
                "the user {} has no access key of the present rotation yet",
                self.name
            )));
        };
        for key in iam.access_keys(&self.name).await? {
            if key.access_key_id != present.id {
                iam.delete_access_key(&self.name, &key.access_key_id)
                    .await?;
            }
        }
        Ok(())
    }

    /// Whether the user is as it was made. Where its access key is gone there is no other with the same
    /// secret: it is absent, so that those who use it start anew with the next one.
    pub(super) async fn presence(
        &self,
        iam: &Iam,
        rotation: u32,
    ) -> Result<Presence, ProvisionError> {
        let listed = iam.access_keys(&self.name).await?;
        let has_key = self.key(rotation).is_some_and(|kept| {
            let found = listed.iter().find(|one| one.access_key_id == kept.id);
            found.is_some_and(super::iam_answers::ListedKey::is_active)
        });
        if !has_key {
            return Ok(Presence::Absent);
        }
        let known = |id: &str| self.access_keys.iter().any(|kept| kept.id == id);
        if let Some(other) = listed.iter().find(|one| !known(&one.access_key_id)) {
            return Ok(Presence::Changed(format!(
                "its user `{}` has the access key `{}`, which the platform does not know",
                self.name, other.access_key_id
            )));
        }
        if !iam.has_policy(&self.name).await? {
            return Ok(Presence::Changed(format!(
                "its user `{}` has lost its policy",
                self.name
            )));
        }
        Ok(Presence::Present)
    }

    /// Removes the user `name` with all that it has, whatever is known of it.
    pub(super) async fn remove(iam: &Iam, name: &str) -> Result<(), ProvisionError> {
        if !iam.has_user(name).await? {
            return Ok(());
        }
        for key in iam.access_keys(name).await? {
            iam.delete_access_key(name, &key.access_key_id).await?;
        }
        iam.delete_policy(name).await?;
        iam.delete_user(name).await?;
        if iam.has_user(name).await? {
            return Err(ProvisionError::transient(format!(
                "the IAM endpoint {} still lists the user {name} after its removal",
                iam.url()
            )));
        }
        Ok(())
    }

    fn key(&self, rotation: u32) -> Option<&KeptKey> {
        let mut keys = self.access_keys.iter();
        keys.find(|key| key.rotation == rotation)
    }

    fn present(&self, request: &Request) -> Option<AccessKey> {
        let kept = self.key(request.rotation)?;
        let secret = unseal(&request.seed, &kept.id, kept.sealed.as_deref()?)?;
        Some(AccessKey {
            id: kept.id.clone(),
            secret,
        })
    }

    /// Keeps the newest of the earlier access keys alone: AWS lets a user have two. That one is good until no
    /// workload uses it any more, and its secret is handed out no more.
    fn make_room(&mut self, rotation: u32) {
        self.access_keys.retain(|key| key.rotation < rotation);
        let newest = self.access_keys.pop();
        self.access_keys = newest
            .into_iter()
            .map(|key| KeptKey {
                sealed: None,
                ..key
            })
            .collect();
    }
}

/// What the user of `bucket` may do: all that is done with objects, and nothing to the bucket itself.
fn policy(iam: &Iam, bucket: &str) -> String {
    let bucket = format!("arn:{}:s3:::{bucket}", iam.partition());
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetBucketLocation",
                    "s3:ListBucket",
                    "s3:ListBucketMultipartUploads",
                ],
                "Resource": [bucket],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",
                    "s3:GetObject",
                    "s3:ListMultipartUploadParts",
                    "s3:PutObject",
                ],
                "Resource": [format!("{bucket}/*")],
            },
        ],
    })
    .to_string()
}

/// Waits until S3 takes the access key that IAM has made.
async fn known(
    endpoint: &Endpoint,
    iam: &Iam,
    bucket: &str,
    key: &AccessKey,
) -> Result<(), ProvisionError> {
    let until = Instant::now() + KNOWN_WITHIN;
    loop {
        let status = endpoint.look_with(bucket, key).await?;
        if status.is_success() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(ProvisionError::transient(format!(
                "the S3 endpoint {} answers {status} to the access key {} that {} has made for the bucket \
                 {bucket}",
                endpoint.url(),
                key.id,
                iam.url()
            ))
            .remedy("see that --s3-iam-endpoint is the IAM of the account that --s3-endpoint serves"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn seal(seed: &Secret, key: &AccessKey) -> Result<String, ProvisionError> {
    let failed = |_| ProvisionError::permanent(format!("cannot seal the access key {}", key.id));
    let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
    let payload = Payload {
        msg: key.secret.expose(),
        aad: key.id.as_bytes(),
    };
    let sealed = cipher(seed).encrypt(&nonce, payload).map_err(failed)?;
    Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
}

fn unseal(seed: &Secret, id: &str, sealed: &str) -> Option<Secret> {
    let sealed = STANDARD.decode(sealed).ok()?;
    let (nonce, msg) = sealed.split_at_checked(NONCE)?;
    let aad = id.as_bytes();
    let payload = Payload { msg, aad };
    let plain = cipher(seed).decrypt(XNonce::from_slice(nonce), payload);
    plain.ok().map(Secret::new)
}

fn cipher(seed: &Secret) -> XChaCha20Poly1305 {
    let key = seed.derive(PURPOSE, 32);
    XChaCha20Poly1305::new(Key::from_slice(key.expose()))
}
