//! Volumes: directories of their own that are gone when they are removed.

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};

use delivery::provisioner::{Presence, Provisioner, Request};
use serde_json::json;
use support::{output, request};
use towpath_provisioners::Volume;

#[tokio::test]
async fn each_instance_has_a_directory_of_its_own_that_outlives_a_second_call() {
    let directory = tempfile::tempdir().unwrap();
    let volume = Volume::new(directory.path());
    let (one, mut other) = (
        request("volume", "notes.data", json!(null)),
        request("volume", "notes.data", json!(null)),
    );
    other.platform = one.platform;

    let made = volume.provision(&one).await.unwrap();
    let source = output(&made, "source");
    std::fs::write(format!("{source}/kept"), "data").unwrap();
    let mode = std::fs::metadata(&source).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let again = volume.provision(&one).await.unwrap();
    assert_eq!(output(&again, "source"), source);
    assert_eq!(
        std::fs::read_to_string(format!("{source}/kept")).unwrap(),
        "data"
    );

    let beside = volume.provision(&other).await.unwrap();
    assert_ne!(output(&beside, "source"), source);

    let mut listed = vec![
        volume.listed_as(&one).unwrap(),
        volume.listed_as(&other).unwrap(),
    ];
    listed.sort();
    assert_eq!(volume.inventory(one.platform).await.unwrap(), listed);
}

#[tokio::test]
async fn names_of_any_length_fit() {
    let directory = tempfile::tempdir().unwrap();
    let volume = Volume::new(directory.path());
    let long = "n-".repeat(32)[..63].to_owned();
    let asked = Request {
        environment: long.clone(),
        ..request("volume", &format!("{long}.{long}"), json!(null))
    };
    let source = output(&volume.provision(&asked).await.unwrap(), "source");
    std::fs::write(format!("{source}/kept"), "data").unwrap();
    volume.remove(&asked).await.unwrap();
    assert_eq!(volume.presence(&asked).await, Presence::Absent);
}

#[tokio::test]
async fn removal_is_proved_and_follows_no_link() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("precious"), "data").unwrap();
    let volume = Volume::new(directory.path());
    let request = request("volume", "notes.data", json!(null));
    let source = output(&volume.provision(&request).await.unwrap(), "source");
    symlink(elsewhere.path(), format!("{source}/link")).unwrap();

    assert_eq!(volume.presence(&request).await, Presence::Present);
    volume.remove(&request).await.unwrap();
    assert_eq!(volume.presence(&request).await, Presence::Absent);
    assert!(volume.inventory(request.platform).await.unwrap().is_empty());
    assert!(elsewhere.path().join("precious").exists());
    volume.remove(&request).await.unwrap();
}

#[tokio::test]
async fn a_link_in_the_directorys_place_is_refused_and_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("precious"), "data").unwrap();
    let volume = Volume::new(directory.path());
    let request = request("volume", "notes.data", json!(null));
    let source = output(&volume.provision(&request).await.unwrap(), "source");
    std::fs::remove_dir(&source).unwrap();
    symlink(elsewhere.path(), &source).unwrap();

    assert!(volume.provision(&request).await.is_err());
    let presence = volume.presence(&request).await;
    assert!(matches!(presence, Presence::Unknown(_)), "{presence:?}");
    volume.remove(&request).await.unwrap();
    assert!(elsewhere.path().join("precious").exists());
}

#[test]
fn a_size_that_cannot_be_kept_is_refused() {
    let volume = Volume::new("/nowhere");
    let problems = volume.check(&support::object(json!({ "size": "1Gi", "sise": 1 })));
    let rules: Vec<_> = problems.iter().map(|p| p.rule.as_str()).collect();
    assert_eq!(rules, ["params/unknown", "params/unsupported"]);
    // A definition that passes the asker's size on is none: whether one is given, the plan tells.
    let passed_on = support::object(json!({ "size": "${params.size}" }));
    assert_eq!(volume.check(&passed_on), []);
}

#[tokio::test]
async fn a_size_that_was_not_known_before_is_refused_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let volume = Volume::new(directory.path());
    let refused = request("volume", "notes.data", json!({ "size": "1Gi" }));
    let error = volume.provision(&refused).await.unwrap_err();
    assert!(!error.retry && error.message.contains("size"), "{error}");
    assert_eq!(volume.presence(&refused).await, Presence::Absent);
}
