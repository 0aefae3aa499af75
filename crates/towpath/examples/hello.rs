//! The smallest workload: answers every request with its release's greeting. For tests.
//!
//! `STARTS`: a file that gets the greeting as a line, once for each start. `START_AFTER`: so many
//! milliseconds pass before it listens. `BLURT`: is written to the log, and the program fails.

use std::{
    env,
    fs::OpenOptions,
    io::{BufRead, BufReader, Error, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".into());
    let greeting = env::var("GREETING").unwrap_or_else(|_| "hello".into());
    if let Ok(file) = env::var("STARTS") {
        let mut file = OpenOptions::new().create(true).append(true).open(file)?;
        file.write_all(format!("{greeting}\n").as_bytes())?;
    }
    if let Ok(secrets) = env::var("BLURT") {
        return Err(Error::other(format!("cannot use {secrets}")));
    }
    if let Some(wait) = env::var("START_AFTER")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        thread::sleep(Duration::from_millis(wait));
    }
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    for stream in listener.incoming() {
        let greeting = greeting.clone();
        thread::spawn(move || stream.and_then(|stream| answer(stream, &greeting)));
    }
    Ok(())
}

/// Answers requests on one connection until it closes.
fn answer(mut stream: TcpStream, greeting: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    loop {
        let mut any = false;
        for line in lines.by_ref() {
            any = true;
            if line?.is_empty() {
                break;
            }
        }
        if !any {
            return Ok(());
        }
        let length = greeting.len();
        // In one piece: several small ones would wait for each other's acknowledgement.
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{greeting}");
        stream.write_all(answer.as_bytes())?;
    }
}
