//! The platform's own S3 server, by clients that sign as real programs do.

mod support;

use std::time::Duration;

use delivery::provisioner::{Presence, Provisioner, Request};
use reqwest::Method;
use rusty_s3::{S3Action, actions::CreateMultipartUpload};
use support::{
    is_secret, output, request,
    s3::{SIGNED_FOR, Workload, made, server},
};
use towpath_provisioners::S3;

#[tokio::test]
async fn names_of_any_length_fit() {
    let directory = tempfile::tempdir().unwrap();
    let s3 = S3::own(&server(directory.path()).await);
    let long = "n-".repeat(32)[..63].to_owned();
    let mut asked = Request {
        environment: long.clone(),
        ..request("s3", &format!("{long}.{long}"), serde_json::Value::Null)
    };
    let made = s3.provision(&asked).await.unwrap();
    asked.state = made.state.clone();
    let bucket = Workload::new(&made);
    assert_eq!(bucket.put("a", "b").await.status(), 200);
    s3.remove(&asked).await.unwrap();
    assert_eq!(s3.presence(&asked).await, Presence::Absent);
}

#[tokio::test]
async fn objects_come_back_as_they_were_put() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let (_, made, bucket) = made(&S3::own(&server), "notes.uploads").await;
    assert!(is_secret(&made, "secret_access_key") && is_secret(&made, "aws_secret_key"));
    assert_eq!(made.listens, Some(server.address()));

    let keys = [
        "a",
        "a/b",
        "a/b/c",
        "a//b",
        "ä ö+%?&",
        ".hidden",
        "...",
        "a..b",
        "dir/",
        "/lead",
        &"long/".repeat(204),
        "con",
        "bucket.json",
    ];
    for key in keys {
        assert_eq!(
            bucket.put(key, format!("bytes of {key}")).await.status(),
            200,
            "{key}"
        );
    }
    for key in keys {
        let answer = bucket.get(key).await;
        assert_eq!(answer.status(), 200, "{key}");
        assert_eq!(answer.text().await.unwrap(), format!("bytes of {key}"));
    }
    let mut sorted = keys.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(bucket.list("").await, sorted);
    assert_eq!(bucket.list("a/").await, ["a//b", "a/b", "a/b/c"]);

    assert_eq!(bucket.put("a", "another").await.status(), 200);
    assert_eq!(bucket.get("a").await.text().await.unwrap(), "another");
    assert_eq!(bucket.delete("a").await.status(), 204);
    assert_eq!(bucket.get("a").await.status(), 404);
    assert_eq!(bucket.get("a/b").await.status(), 200);
    assert_eq!(bucket.delete("a").await.status(), 204);
}

#[tokio::test]
async fn a_presigned_url_is_good_for_a_week_at_the_most() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let (_, _, bucket) = made(&S3::own(&server), "notes.uploads").await;
    bucket.put("a", "bytes").await;
    let week = Duration::from_secs(604_800);
    let get = bucket.bucket.get_object(Some(&bucket.keys), "a");
    let answer = bucket.send(Method::GET, get.sign(week), "").await;
    assert_eq!(answer.status(), 200);
    let too_long = get.sign(week + Duration::from_secs(1));
    let answer = bucket.send(Method::GET, too_long, "").await;
    assert_eq!(answer.status(), 400);
    let words = answer.text().await.unwrap();
    assert!(
        words.contains("AuthorizationQueryParametersError"),
        "{words}"
    );
    assert!(words.contains("604800"), "{words}");
}

#[tokio::test]
async fn an_access_key_reaches_its_own_bucket_alone() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let s3 = S3::own(&server);
    let (_, ours_made, ours) = made(&s3, "notes.uploads").await;
    let (_, theirs_made, theirs) = made(&s3, "other.uploads").await;
    theirs.put("secret", "theirs").await;
    ours.put("mine", "ours").await;

    let intruder = theirs.with_keys_of(&ours);
    assert_eq!(intruder.get("secret").await.status(), 403);
    assert_eq!(intruder.put("secret", "mine now").await.status(), 403);
    assert_eq!(intruder.delete("secret").await.status(), 403);
    let list = intruder
        .bucket
        .list_objects_v2(Some(&intruder.keys))
        .sign(SIGNED_FOR);
    assert_eq!(intruder.send(Method::GET, list, "").await.status(), 403);
    for action in [
        intruder
            .bucket
            .create_bucket(&intruder.keys)
            .sign(SIGNED_FOR),
        ours.bucket.create_bucket(&ours.keys).sign(SIGNED_FOR),
    ] {
        assert!(
            !ours
                .send(Method::PUT, action, "")
                .await
                .status()
                .is_success()
        );
    }
    let own = ours.bucket.delete_bucket(&ours.keys).sign(SIGNED_FOR);
    assert_eq!(ours.send(Method::DELETE, own, "").await.status(), 403);

    // A copy may not bring the other's object over.
    let source = format!("{}/secret", output(&theirs_made, "bucket"));
    let mut copy = ours.bucket.put_object(Some(&ours.keys), "stolen");
    copy.headers_mut()
        .insert("x-amz-copy-source", source.clone());
    let url = copy.sign(SIGNED_FOR);
    let copied = ours
        .http
        .put(url)
        .header("x-amz-copy-source", source)
        .send()
        .await
        .unwrap();
    assert_eq!(copied.status(), 403);
    assert_eq!(ours.get("stolen").await.status(), 404);

    // Its own may be copied.
    let source = format!("{}/mine", output(&ours_made, "bucket"));
    let mut copy = ours.bucket.put_object(Some(&ours.keys), "copy");
    copy.headers_mut()
        .insert("x-amz-copy-source", source.clone());
    let url = copy.sign(SIGNED_FOR);
    let copied = ours
        .http
        .put(url)
        .header("x-amz-copy-source", source)
        .send()
        .await
        .unwrap();
    assert_eq!(copied.status(), 200);
    ours.delete("mine").await;
    assert_eq!(ours.get("copy").await.text().await.unwrap(), "ours");

    let unsigned = ours.bucket.object_url("copy");
    assert_eq!(ours.http.get(unsigned).send().await.unwrap().status(), 403);
    let mut forged = Workload::new(&ours_made);
    forged.keys = rusty_s3::Credentials::new(output(&ours_made, "access_key_id"), "guess");
    assert_eq!(forged.get("copy").await.status(), 403);
}

#[tokio::test]
async fn ranges_conditions_and_checksums_hold() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let (_, _, bucket) = made(&S3::own(&server), "notes.uploads").await;
    let put = bucket.put("digits", "0123456789").await;
    let etag = put.headers()["etag"].to_str().unwrap().to_owned();
    let url = || {
        bucket
            .bucket
            .get_object(Some(&bucket.keys), "digits")
            .sign(SIGNED_FOR)
    };
    let get = |name: &'static str, value: String| bucket.http.get(url()).header(name, value).send();

    for (range, status, bytes) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=7-", 206, "789"),
        ("bytes=-3", 206, "789"),
        ("bytes=8-100", 206, "89"),
    ] {
        let answer = get("range", range.into()).await.unwrap();
        assert_eq!(answer.status(), status, "{range}");
        assert!(answer.headers().contains_key("content-range"));
        assert_eq!(answer.text().await.unwrap(), bytes);
    }
    assert_eq!(
        get("range", "bytes=10-".into()).await.unwrap().status(),
        416
    );

    assert_eq!(
        get("if-none-match", etag.clone()).await.unwrap().status(),
        304
    );
    assert_eq!(get("if-match", etag.clone()).await.unwrap().status(), 200);
    assert_eq!(
        get("if-match", "\"other\"".into()).await.unwrap().status(),
        412
    );

    let put_with = |key: &'static str, name: &'static str, value: &'static str| {
        let url = bucket
            .bucket
            .put_object(Some(&bucket.keys), key)
            .sign(SIGNED_FOR);
        bucket
            .http
            .put(url)
            .header(name, value)
            .body("0123456789")
            .send()
    };
    assert_eq!(
        put_with("digits", "if-none-match", "*")
            .await
            .unwrap()
            .status(),
        412
    );
    assert_eq!(
        put_with("new", "if-none-match", "*")
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        put_with("none", "if-match", "\"x\"")
            .await
            .unwrap()
            .status(),
        412
    );
    // MD5 and CRC32 of something else.
    let wrong = put_with("bad", "content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")
        .await
        .unwrap();
    assert_eq!(wrong.status(), 400);
    let wrong = put_with("bad", "x-amz-checksum-crc32", "AAAAAA==")
        .await
        .unwrap();
    assert_eq!(wrong.status(), 400);
    assert_eq!(bucket.get("bad").await.status(), 404);
    let right = put_with("good", "x-amz-checksum-crc32", "poTHxg==")
        .await
        .unwrap();
    assert_eq!(right.status(), 200, "{}", right.text().await.unwrap());
}

#[tokio::test]
async fn an_upload_in_parts_outlives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = server(directory.path()).await;
    let (request, _, bucket) = made(&S3::own(&first), "notes.uploads").await;
    let begin = bucket
        .bucket
        .create_multipart_upload(Some(&bucket.keys), "big")
        .sign(SIGNED_FOR);
    let text = bucket
        .send(Method::POST, begin, "")
        .await
        .text()
        .await
        .unwrap();
    let id = CreateMultipartUpload::parse_response(&text)
        .unwrap()
        .upload_id()
        .to_owned();
    let one = vec![b'a'; 5 * 1024 * 1024];
    let send = async |bucket: &Workload, number: u16, bytes: Vec<u8>| {
        let part = bucket
            .bucket
            .upload_part(Some(&bucket.keys), "big", number, &id);
        let answer = bucket.send(Method::PUT, part.sign(SIGNED_FOR), bytes).await;
        assert_eq!(answer.status(), 200);
        answer.headers()["etag"].to_str().unwrap().to_owned()
    };
    send(&bucket, 1, vec![b'x'; 10]).await;
    let one_tag = send(&bucket, 1, one.clone()).await;
    first.stop().await;

    let second = server(directory.path()).await;
    let made = S3::own(&second).provision(&request).await.unwrap();
    let bucket = Workload::new(&made);
    // Numbers may have gaps.
    let two_tag = send(&bucket, 7, b"end".to_vec()).await;
    let complete = async |tags: &[&str]| {
        let action = bucket.bucket.complete_multipart_upload(
            Some(&bucket.keys),
            "big",
            &id,
            tags.iter().copied(),
        );
        let url = action.sign(SIGNED_FOR);
        let numbers = [1, 7];
        let parts: String = tags
            .iter()
            .zip(numbers)
            .map(|(tag, n)| format!("<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"))
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        bucket.send(Method::POST, url, body).await
    };
    assert_eq!(complete(&["\"0\"", &two_tag]).await.status(), 400);
    let done = complete(&[&one_tag, &two_tag]).await;
    assert_eq!(done.status(), 200, "{}", done.text().await.unwrap());
    let whole = bucket.get("big").await;
    assert!(whole.headers()["etag"].to_str().unwrap().ends_with("-2\""));
    let whole = whole.bytes().await.unwrap();
    assert_eq!(whole.len(), one.len() + 3);
    assert!(whole.ends_with(b"aend"));
    // It is no upload any more.
    assert_eq!(complete(&[&one_tag, &two_tag]).await.status(), 404);
}

#[tokio::test]
async fn a_reader_sees_the_old_object_or_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let (_, _, bucket) = made(&S3::own(&server), "notes.uploads").await;
    let whole = |letter: u8| vec![letter; 200_000];
    bucket.put("same", whole(b'a')).await;
    let writing = async {
        for letter in b'a'..=b'p' {
            assert_eq!(bucket.put("same", whole(letter)).await.status(), 200);
        }
    };
    let reading = async {
        for _ in 0..40 {
            let bytes = bucket.get("same").await.bytes().await.unwrap();
            assert_eq!(bytes.len(), 200_000);
            assert!(bytes.iter().all(|byte| *byte == bytes[0]));
        }
    };
    tokio::join!(writing, reading);
}
