//! The smallest workload: answers every request with its release's greeting. For tests.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
};

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".into());
    let greeting = std::env::var("GREETING").unwrap_or_else(|_| "hello".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    for stream in listener.incoming() {
        let greeting = greeting.clone();
        std::thread::spawn(move || stream.and_then(|stream| answer(stream, &greeting)));
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
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{greeting}"
        )?;
    }
}
