//! {{ name }}: answers on PORT, and says whether what it needs answers.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    thread,
    time::Duration,
};

/// What the platform may give it: see score.yaml.
const NEEDS: [&str; 5] = ["DATABASE_URL", "MYSQL_URL", "REDIS_URL", "AMQP_URL", "S3_ENDPOINT"];

const WAIT: Duration = Duration::from_secs(5);

/// Whether the server of `url` takes a connection.
fn answers(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = match scheme {
        "postgres" | "postgresql" => 5432,
        "mysql" => 3306,
        "redis" => 6379,
        "amqp" => 5672,
        "https" => 443,
        _ => 80,
    };
    let at = if host.rsplit(']').next().unwrap_or_default().contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    let Ok(mut found) = at.to_socket_addrs() else { return false };
    found.any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok())
}

/// What of `urls` (name and address) answers, as JSON, and whether all do.
fn needs(urls: &[(String, String)]) -> (String, bool) {
    let found: Vec<_> = urls.iter().map(|(name, url)| (name, answers(url))).collect();
    let fields: Vec<_> = found.iter().map(|(name, up)| format!("\"{name}\":{up}")).collect();
    let all = found.iter().all(|(_, up)| *up);
    (["{", &fields.join(","), "}"].concat(), all)
}

/// Your work begins here.
fn handle(path: &str, greeting: &str, urls: &[(String, String)]) -> (u16, String) {
    let field = |name: &str, text: &str| format!("\"{name}\":\"{}\"", text.escape_default());
    let object = |fields: &[String]| ["{", &fields.join(","), "}"].concat();
    match path {
        "/" => {
            let needs = format!("\"needs\":{}", needs(urls).0);
            (200, object(&[field("service", greeting), needs]))
        }
        "/healthz" => (200, object(&[field("status", "ok")])),
        "/readyz" => {
            let (found, all) = needs(urls);
            (if all { 200 } else { 503 }, found)
        }
        _ => (404, object(&[field("error", "there is nothing here")])),
    }
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or("/");
    let greeting = env::var("GREETING").unwrap_or_else(|_| "hello".into());
    let urls: Vec<_> = NEEDS
        .iter()
        .filter_map(|name| Some((name.to_string(), env::var(name).ok()?)))
        .collect();
    let (status, body) = handle(path, &greeting, &urls);
    write!(
        stream,
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len(),
    )
}

fn main() -> std::io::Result<()> {
    let host = env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port = env::var("PORT").unwrap_or_else(|_| "8080".into());
    let listener = TcpListener::bind(format!("{host}:{port}"))?;
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("a request failed: {error}");
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_and_lives() {
        assert_eq!(handle("/", "good day", &[]).1, r#"{"service":"good day","needs":{}}"#);
        assert_eq!(handle("/healthz", "", &[]).0, 200);
        assert_eq!(handle("/elsewhere", "", &[]).0, 404);
    }

    #[test]
    fn it_is_ready_when_what_it_needs_answers() {
        let database = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://who:what@{}/x", database.local_addr().unwrap());
        let urls = [("DATABASE_URL".to_owned(), url)];
        assert_eq!(handle("/readyz", "", &urls), (200, r#"{"DATABASE_URL":true}"#.into()));
        drop(database);
        assert_eq!(handle("/readyz", "", &urls).0, 503);
    }
}
