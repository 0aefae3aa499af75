//! The smallest workload: answers every request with its release's greeting. For tests.
//!
//! `STARTS`: a file that gets the greeting as a line, once for each start. `START_AFTER`: so many
//! milliseconds pass before it listens. `BLURT`: is written to the log, and the program fails. `CALLS`: the
//! address of a gateway; a request for `/call/HOST` is answered with what that answers at this host, over one
//! connection for as long as it lasts.

use std::{
    env,
    fs::OpenOptions,
    io::{BufRead, BufReader, Error, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
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
    let line = Arc::new(Mutex::new(None));
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    for stream in listener.incoming() {
        let (greeting, line) = (greeting.clone(), line.clone());
        thread::spawn(move || stream.and_then(|stream| answer(stream, &greeting, &line)));
    }
    Ok(())
}

/// Asks the gateway of `CALLS` at `host`, over the connection that is open where one is. Gives the status and
/// whether the connection was new.
fn call(host: &str, line: &Mutex<Option<BufReader<TcpStream>>>) -> std::io::Result<String> {
    let mut line = line.lock().map_err(|_| Error::other("a call has failed"))?;
    let is_new = line.is_none();
    let mut open = match line.take() {
        Some(open) => open,
        None => BufReader::new(TcpStream::connect(
            env::var("CALLS").map_err(Error::other)?,
        )?),
    };
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    open.get_mut().write_all(request.as_bytes())?;
    let (mut status, mut length) = (String::new(), 0);
    open.read_line(&mut status)?;
    loop {
        let mut field = String::new();
        open.read_line(&mut field)?;
        let Some((name, value)) = field.trim().split_once(": ") else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(Error::other)?;
        }
    }
    let mut body = vec![0; length];
    open.read_exact(&mut body)?;
    *line = Some(open);
    let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    let connection = if is_new { "new" } else { "kept" };
    Ok(format!("{status} {connection} {body}"))
}

/// Answers requests on one connection until it closes.
fn answer(
    mut stream: TcpStream,
    greeting: &str,
    line: &Mutex<Option<BufReader<TcpStream>>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    loop {
        let mut head = Vec::new();
        for line in lines.by_ref() {
            head.push(line?);
            if head.last().is_some_and(String::is_empty) {
                break;
            }
        }
        let Some(first) = head.first() else {
            return Ok(());
        };
        let called = first.strip_prefix("GET /call/").map(|rest| {
            let host = rest.split(' ').next().unwrap_or_default();
            call(host, line).unwrap_or_else(|error| error.to_string())
        });
        let greeting = called.as_deref().unwrap_or(greeting);
        let length = greeting.len();
        // In one piece: several small ones would wait for each other's acknowledgement.
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{greeting}");
        stream.write_all(answer.as_bytes())?;
    }
}
