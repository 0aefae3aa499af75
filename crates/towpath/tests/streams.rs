//! Many follow the events at once: the platform still answers, keeps little for each, and none of them
//! misses anything.

#![allow(
    clippy::print_stdout,
    reason = "what was measured is part of the result"
)]

mod site;

use std::time::{Duration, Instant};

use delivery::api::NewEnvironment;
use site::Site;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, tcp::OwnedWriteHalf},
    task::JoinSet,
};

/// How many follow.
const STREAMS: usize = 2000;
/// Of those, how many do not read what they are sent.
const SILENT: usize = 200;
/// What happens meanwhile.
const ENVIRONMENTS: usize = 20;
/// What the platform, built without optimization, may take for each of them, in all: buffers of a connection and of a
/// stream, and what all of them do at the moment at which something happens.
const EACH: u64 = 96 * 1024;

/// One that follows the events after place `after`.
async fn follow(
    site: &Site,
    after: i64,
) -> (BufReader<tokio::net::tcp::OwnedReadHalf>, OwnedWriteHalf) {
    let token = std::fs::read_to_string(site.data.join("admin.token")).expect("a token");
    let stream = TcpStream::connect(("127.0.0.1", site.api))
        .await
        .expect("it listens");
    let (read, mut write) = stream.into_split();
    let head = format!(
        "GET /v1/events HTTP/1.1\r\nHost: towpath\r\nAccept: text/event-stream\r\n\
         Last-Event-ID: {after}\r\nAuthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    write.write_all(head.as_bytes()).await.expect("it is sent");
    (BufReader::new(read), write)
}

/// Reads on until the event at place `last`; gives the places of all that came.
async fn read_to(read: &mut BufReader<tokio::net::tcp::OwnedReadHalf>, last: i64) -> Vec<i64> {
    let mut places: Vec<i64> = Vec::new();
    let mut line = String::new();
    while places.last() != Some(&last) {
        line.clear();
        assert!(
            read.read_line(&mut line).await.expect("it is read") > 0,
            "it goes on"
        );
        if let Some(place) = line
            .strip_prefix("id: ")
            .or_else(|| line.strip_prefix("id:"))
        {
            places.push(place.trim().parse().expect("a number"));
        }
    }
    places
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes
        .and_then(|n| n.parse::<u64>().ok())
        .expect("a size")
        * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_follow_the_events() {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let enough = files.maximum.is_none_or(|most| most >= 5 * STREAMS as u64);
    let enough = enough
        .then_some(())
        .ok_or_else(|| format!("{files:?} is too few"));
    if testkit::servers::require("files", enough).is_none() {
        return;
    }
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: files.maximum,
            maximum: files.maximum,
        },
    )
    .expect("up to the hard limit");
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let before = resident(running.pid());
    let from = site::work::events(client).await.last().expect("some").seq;

    let mut silent = Vec::new();
    let mut followers = Vec::new();
    for n in 0..STREAMS {
        let (mut read, write) = follow(&site, from).await;
        if n < SILENT {
            silent.push((read, write));
            continue;
        }
        let mut head = String::new();
        read.read_line(&mut head).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        followers.push((read, write));
    }
    let mut slowest = Duration::ZERO;
    for n in 0..ENVIRONMENTS {
        let request = NewEnvironment {
            name: format!("s{n}"),
            role: Some("dev".into()),
            ..NewEnvironment::default()
        };
        let begun = Instant::now();
        client
            .create_environment(&request)
            .await
            .expect("it is made");
        slowest = slowest.max(begun.elapsed());
    }
    let last = site::work::events(client).await.last().expect("some").seq;
    let expected: Vec<i64> = (from + 1..=last).collect();
    let mut reading = JoinSet::new();
    for (mut read, write) in followers {
        reading.spawn(async move {
            let places = read_to(&mut read, last).await;
            (places, read, write)
        });
    }
    let mut open = Vec::new();
    while let Some(done) = reading.join_next().await {
        let (places, read, write) = done.expect("it follows");
        assert_eq!(places, expected);
        open.push((read, write));
    }
    let after = resident(running.pid());
    let each = after.saturating_sub(before) / STREAMS as u64;
    println!("{STREAMS} streams: {each} bytes for each, the slowest answer after {slowest:?}");
    assert!(each < EACH, "{each} bytes for each");

    // One that was cut off in the middle goes on where it was.
    drop(open);
    let middle = expected[expected.len() / 2];
    let (mut read, _write) = follow(&site, middle).await;
    let rest: Vec<i64> = (middle + 1..=last).collect();
    assert_eq!(read_to(&mut read, last).await, rest);
    // Those that did not read had it kept for them in their connection, and miss nothing either.
    let (mut read, _write) = silent.pop().expect("one");
    assert_eq!(read_to(&mut read, last).await, expected);
}
