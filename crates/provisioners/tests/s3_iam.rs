//! Buckets on an endpoint with an IAM, by moto: each has a user and access keys of its own.

mod support;

use delivery::provisioner::{Presence, Provisioned, Provisioner, Request};
use serde_json::{Value, json};
use support::{is_secret, moto::Moto, output, request, s3::Workload};
use towpath_provisioners::S3;

/// An instance, as the platform keeps it: with the state that was answered last.
async fn made(s3: &S3, id: &str) -> (Request, Provisioned) {
    let mut request = request("s3", id, Value::Null);
    let made = s3.provision(&request).await.unwrap();
    request.state = made.state.clone();
    (request, made)
}

/// The next rotation of it.
async fn rotated(s3: &S3, request: &mut Request) -> String {
    request.rotation += 1;
    let made = s3.provision(request).await.unwrap();
    request.state = made.state.clone();
    key(&made)
}

fn key(made: &Provisioned) -> String {
    output(made, "access_key_id")
}

#[tokio::test]
async fn an_access_key_opens_its_own_bucket_and_neither_anothers_nor_iam() {
    const SCRIPT: &str = include_str!("support/iam_walls.py");
    let Some(moto) = Moto::start().await else {
        return;
    };
    if !support::s3::has_boto3().await {
        return;
    }
    let s3 = moto.s3();
    assert!(s3.check(&request("s3", "a", Value::Null).params).is_empty());
    let (one, notes) = made(&s3, "notes.uploads").await;
    let (_, other) = made(&s3, "shop.images").await;
    Workload::new(&other).put("theirs", "theirs").await;
    moto.enforce(true).await;
    for (own, theirs) in [(&notes, &other), (&other, &notes)] {
        let ran = tokio::process::Command::new("python3")
            .args(["-c", SCRIPT])
            .env("ENDPOINT", output(own, "endpoint"))
            .env("REGION", output(own, "region"))
            .env("BUCKET", output(own, "bucket"))
            .env("OTHER_BUCKET", output(theirs, "bucket"))
            .env("AWS_ACCESS_KEY_ID", output(own, "aws_access_key_id"))
            .env("AWS_SECRET_ACCESS_KEY", output(own, "aws_secret_key"))
            .output()
            .await
            .unwrap();
        assert!(
            ran.status.success(),
            "{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    // moto verifies the signature of what IAM is asked.
    s3.retire(&one).await.unwrap();
    let wrong = moto.endpoint_with("wrong-secret");
    let wrong = S3::on(wrong.with_iam(&moto.url).unwrap());
    let error = wrong.retire(&one).await.unwrap_err();
    assert!(!error.retry && error.message.contains("403"), "{error}");
    assert!(!format!("{error:?}{wrong:?}").contains("wrong-secret"));
}

#[tokio::test]
async fn an_access_key_is_kept_without_being_shown() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let s3 = moto.s3();
    let (asked, notes) = made(&s3, "notes.uploads").await;
    assert!(is_secret(&notes, "secret_access_key"));
    let secret = output(&notes, "secret_access_key");
    assert!(!asked.state.to_string().contains(&secret));
    assert!(!format!("{notes:?}{s3:?}").contains(&secret));
    let again = s3.provision(&asked).await.unwrap();
    assert_eq!((again.outputs, again.state), (notes.outputs, notes.state));
    assert_eq!(s3.presence(&asked).await, Presence::Present);
}

#[tokio::test]
async fn each_rotation_ends_the_one_before_the_last() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let s3 = moto.s3();
    let (mut asked, made) = made(&s3, "notes.uploads").await;
    let bucket = output(&made, "bucket");
    let first = key(&made);

    // Workloads that have not moved go on with the first.
    let second = rotated(&s3, &mut asked).await;
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(moto.access_keys(&bucket).await, both);
    assert_eq!(s3.presence(&asked).await, Presence::Present);
    s3.retire(&asked).await.unwrap();
    assert_eq!(
        moto.access_keys(&bucket).await,
        std::slice::from_ref(&second)
    );

    // Twice before any workload has moved: a user has two access keys at the most.
    let third = rotated(&s3, &mut asked).await;
    let fourth = rotated(&s3, &mut asked).await;
    let mut both = vec![third, fourth.clone()];
    both.sort();
    assert_eq!(moto.access_keys(&bucket).await, both);
    let again = s3.provision(&asked).await.unwrap();
    assert_eq!(key(&again), fourth);
    s3.retire(&asked).await.unwrap();
    s3.retire(&asked).await.unwrap();
    assert_eq!(moto.access_keys(&bucket).await, [fourth]);
    assert_eq!(s3.presence(&asked).await, Presence::Present);
}

#[tokio::test]
async fn an_access_key_that_was_lost_with_a_killed_call_is_removed() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let s3 = moto.s3();
    let mut asked = request("s3", "notes.uploads", Value::Null);
    // Killed before what was made is written down, twice.
    let lost = key(&s3.provision(&asked).await.unwrap());
    let lost_too = key(&s3.provision(&asked).await.unwrap());
    let made = s3.provision(&asked).await.unwrap();
    asked.state = made.state.clone();
    let bucket = output(&made, "bucket");
    assert!(lost != key(&made) && lost_too != key(&made));
    assert_eq!(moto.access_keys(&bucket).await, [key(&made)]);

    // So is one that came beside it later.
    moto.iam("CreateAccessKey", &[("UserName", bucket.as_str())])
        .await;
    assert_eq!(moto.access_keys(&bucket).await.len(), 2);
    let presence = s3.presence(&asked).await;
    assert!(matches!(presence, Presence::Changed(_)), "{presence:?}");
    assert_eq!(s3.provision(&asked).await.unwrap().outputs, made.outputs);
    assert_eq!(moto.access_keys(&bucket).await, [key(&made)]);

    // And one of a rotation that was killed: the first is good until the next has come.
    let mut killed = asked.clone();
    rotated(&s3, &mut killed).await;
    let second = rotated(&s3, &mut asked).await;
    let mut both = vec![key(&made), second];
    both.sort();
    assert_eq!(moto.access_keys(&bucket).await, both);
}

#[tokio::test]
async fn what_somebody_removes_at_iam_is_made_again() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let s3 = moto.s3();
    let (mut asked, made) = made(&s3, "notes.uploads").await;
    let (bucket, first) = (output(&made, "bucket"), key(&made));
    Workload::new(&made).put("kept", "kept").await;

    let policy = [("UserName", bucket.as_str()), ("PolicyName", "towpath")];
    moto.iam("DeleteUserPolicy", &policy).await;
    let presence = s3.presence(&asked).await;
    assert!(matches!(presence, Presence::Changed(_)), "{presence:?}");
    assert_eq!(s3.provision(&asked).await.unwrap().outputs, made.outputs);
    assert_eq!(s3.presence(&asked).await, Presence::Present);

    // Its secret is known to nobody any more: another one takes its place.
    let named = [
        ("UserName", bucket.as_str()),
        ("AccessKeyId", first.as_str()),
    ];
    moto.iam("DeleteAccessKey", &named).await;
    assert_eq!(s3.presence(&asked).await, Presence::Absent);
    let healed = s3.provision(&asked).await.unwrap();
    assert_ne!(key(&healed), first);
    asked.state = healed.state.clone();
    assert_eq!(s3.presence(&asked).await, Presence::Present);
    assert_eq!(Workload::new(&healed).list("").await, ["kept"]);

    // One that a person has put out of use is not brought back.
    let second = key(&healed);
    let named = [
        ("UserName", bucket.as_str()),
        ("AccessKeyId", second.as_str()),
        ("Status", "Inactive"),
    ];
    moto.iam("UpdateAccessKey", &named).await;
    assert_eq!(s3.presence(&asked).await, Presence::Absent);
    let healed = s3.provision(&asked).await.unwrap();
    assert_eq!(moto.access_keys(&bucket).await, [key(&healed)]);
    assert_ne!(key(&healed), second);
}

#[tokio::test]
async fn removal_leaves_neither_user_nor_bucket() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let s3 = moto.s3();
    let (mut asked, made) = made(&s3, "notes.uploads").await;
    let bucket = output(&made, "bucket");
    Workload::new(&made).put("one", "1").await;
    rotated(&s3, &mut asked).await;
    moto.iam("CreateUser", &[("UserName", "somebody")]).await;
    let listed = s3.inventory(asked.platform).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&bucket));
    assert_eq!(s3.listed_as(&asked), Some(bucket));

    s3.remove(&asked).await.unwrap();
    assert_eq!(moto.users().await, ["somebody"]);
    assert!(moto.buckets().await.is_empty());
    assert!(s3.inventory(asked.platform).await.unwrap().is_empty());
    assert_eq!(s3.presence(&asked).await, Presence::Absent);
    s3.remove(&asked).await.unwrap();

    // One that was begun, and of which nothing is written down.
    let begun = request("s3", "shop.images", Value::Null);
    s3.provision(&begun).await.unwrap();
    s3.remove(&begun).await.unwrap();
    assert_eq!(moto.users().await, ["somebody"]);
    assert!(moto.buckets().await.is_empty());
}

#[tokio::test]
async fn a_bucket_with_the_shared_key_gets_a_user_by_a_rotation() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let shared = S3::on(moto.endpoint());
    let mut asked = request("s3", "notes.uploads", json!({ "accessKeys": "shared" }));
    let before = shared.provision(&asked).await.unwrap();
    asked.state = before.state.clone();
    Workload::new(&before).put("kept", "kept").await;
    assert!(moto.users().await.is_empty());

    let s3 = moto.s3();
    assert!(s3.check(&asked.params).is_empty());
    assert_eq!(s3.presence(&asked).await, Presence::Present);
    s3.retire(&asked).await.unwrap();
    let own = rotated(&s3, &mut asked).await;
    assert_ne!(own, key(&before));
    let bucket = output(&before, "bucket");
    assert_eq!(moto.users().await, std::slice::from_ref(&bucket));
    s3.retire(&asked).await.unwrap();
    assert_eq!(moto.access_keys(&bucket).await, [own]);
    // The shared one, which is everybody's, is still good; its own ends with the next rotation.
    let not_ended = |rotation| s3.not_ended_by_rotation(&asked.params, &asked.state, rotation);
    assert!(not_ended(1).is_some());
    assert_eq!(not_ended(2), None);
    let after = s3.provision(&asked).await.unwrap();
    assert_eq!(Workload::new(&after).list("").await, ["kept"]);

    // It does not fall back to the shared one, nor is its user left behind.
    let presence = shared.presence(&asked).await;
    assert!(matches!(presence, Presence::Unknown(_)), "{presence:?}");
    for error in [
        shared.provision(&asked).await.unwrap_err(),
        shared.retire(&asked).await.unwrap_err(),
        shared.remove(&asked).await.unwrap_err(),
    ] {
        assert!(error.remedy.unwrap().contains("TOWPATH_S3_IAM_ENDPOINT"));
    }
    assert_eq!(moto.access_keys(&bucket).await.len(), 1);
}
