//! How many requests a second pass through the gateway, beside nginx proxying the same backend in
//! the same run: `cargo bench -p towpath-gateway`.
//!
//! Both have as many workers, keep connections to the backend open, and write no access log. The
//! clients and the backend are in this process and share the machine with whichever proxy runs; the
//! two take turns, several times, so that neither has the quieter machine. `BENCH_SECONDS` sets the
//! length of one turn (2), `BENCH_CONNECTIONS` the clients (32), `BENCH_WORKERS` the workers of each
//! proxy (half of the processors).

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinSet,
};
use towpath_gateway::{Absence, Gateway, RoutingTable, Target};

const HOST: &str = "bench.localhost";
const ROUNDS: usize = 4;

fn main() {
    let seconds = setting("BENCH_SECONDS", 2);
    let connections = setting("BENCH_CONNECTIONS", 32);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = setting("BENCH_WORKERS", processors.div_ceil(2));
    let turn = Duration::from_secs(seconds as u64);
    let load = runtime(processors);
    for (size, label) in [(128, "128 B"), (64 * 1024, "64 KiB")] {
        let backend = load.block_on(backend(Bytes::from(vec![b'x'; size])));
        let gateways = runtime(workers);
        let mut routes = RoutingTable::new();
        let target = Target {
            owner: "bench".into(),
            backends: vec![backend],
            absence: Absence::Starting,
            admission: None,
        };
        routes.insert(HOST, "/", target).unwrap();
        let (_routes, newest) = watch::channel(Arc::new(routes));
        let gateway = gateways.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            Gateway::start(listener, newest).unwrap()
        });
        let nginx = Nginx::start(backend, workers);
        let measure = |address| load.block_on(rate(address, connections, turn));
        measure(gateway.address());
        let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(measure(backend));
            ours.push(measure(gateway.address()));
            if let Some(nginx) = &nginx {
                theirs.push(measure(nginx.address));
            }
        }
        println!(
            "{label} answers, {connections} connections, {workers} workers, median of {ROUNDS}:"
        );
        println!("  no proxy  {:>9.0} req/s", median(&mut bare));
        println!("  gateway   {:>9.0} req/s", median(&mut ours));
        if theirs.is_empty() {
            println!("  nginx     not installed: no ratio");
        } else {
            println!("  nginx     {:>9.0} req/s", median(&mut theirs));
            println!(
                "  gateway / nginx = {:.2}",
                median(&mut ours) / median(&mut theirs)
            );
        }
        gateways.block_on(gateway.shutdown(Duration::from_secs(1)));
        gateways.shutdown_background();
    }
    load.shutdown_background();
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
        .max(1)
}

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    let middle = rates.len() / 2;
    f64::midpoint(rates[middle], rates[(rates.len() - 1) / 2])
}

async fn backend(body: Bytes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let body = body.clone();
            let answer = service_fn(move |_| {
                let response = Response::new(Full::new(body.clone()));
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer),
            );
        }
    });
    address
}

/// Requests a second over `connections` clients that each send the next as soon as they have read
/// the last; any failure ends the benchmark.
async fn rate(address: SocketAddr, connections: usize, turn: Duration) -> f64 {
    let mut clients = JoinSet::new();
    let start = Instant::now();
    let end = start + turn;
    for _ in 0..connections {
        clients.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let mut count = 0u64;
            while Instant::now() < end {
                sender.ready().await.unwrap();
                let request = Request::get("/path?q=1")
                    .header("host", HOST)
                    .body(Empty::<Bytes>::new());
                let response = sender.send_request(request.unwrap()).await.unwrap();
                assert_eq!(response.status(), 200);
                let mut body = response.into_body();
                while let Some(frame) = body.frame().await {
                    frame.unwrap();
                }
                count += 1;
            }
            count
        });
    }
    let count: u64 = clients.join_all().await.into_iter().sum();
    count as f64 / start.elapsed().as_secs_f64()
}

/// An nginx of our own, in a directory of its own.
struct Nginx {
    address: SocketAddr,
    child: Child,
    directory: PathBuf,
    _port: testkit::Port,
}

impl Nginx {
    fn start(backend: SocketAddr, workers: usize) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())?;
        let port = testkit::free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let directory =
            std::env::temp_dir().join(format!("towpath-bench-nginx-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let here = directory.display();
        let configuration = format!(
            "daemon off; worker_processes {workers}; pid {here}/pid; error_log {here}/error.log;
             events {{ worker_connections 1024; }}
             http {{
                 access_log off; keepalive_requests 1000000000; tcp_nodelay on;
                 client_body_temp_path {here}/1; proxy_temp_path {here}/2; fastcgi_temp_path {here}/3;
                 uwsgi_temp_path {here}/4; scgi_temp_path {here}/5;
                 upstream backend {{ server {backend}; keepalive 256;
                                     keepalive_requests 1000000000; }}
                 server {{
                     listen {address}; server_name {HOST};
                     location / {{
                         proxy_pass http://backend; proxy_http_version 1.1;
                         proxy_set_header Connection \"\"; proxy_set_header Host $host;
                         proxy_set_header X-Forwarded-For $remote_addr;
                         proxy_set_header X-Forwarded-Host $host;
                         proxy_set_header X-Forwarded-Proto $scheme;
                     }}
                 }}
             }}"
        );
        let file = directory.join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new(program)
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(
                Instant::now() < deadline,
                "nginx does not answer; see {here}/error.log"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self {
            address,
            child,
            directory,
            _port: port,
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers at SIGTERM; SIGKILL would leave them.
        let ended = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let waited = self.child.wait();
        if ended.is_err() || waited.is_err() {
            println!("nginx (pid {}) may still run", self.child.id());
        }
        std::fs::remove_dir_all(&self.directory).unwrap_or_default();
    }
}
