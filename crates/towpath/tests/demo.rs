//! `towpath demo`, and what it says to try next: each of these commands, in its order, word by word.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

const HOST: &str = "notes.dev.localhost";

/// A user of this machine: a home of their own, and the clone of the repository that they stand in.
struct User {
    home: tempfile::TempDir,
    ports: [testkit::Port; 3],
}

impl User {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a directory"),
            ports: [(); 3].map(|()| testkit::free_port()),
        }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(repository)
            .env("HOME", self.home.path())
            .env("TOWPATH_DATA", self.home.path().join("data"))
            .env_remove("TOWPATH_SERVER")
            .env_remove("TOWPATH_CONTEXT")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self
            .command(program, arguments)
            .output()
            .expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let said = text(stdout) + &text(stderr);
        assert!(status.success(), "{arguments:?}: {status}\n{said}");
        said
    }

    fn demo(&self) -> String {
        let [api, gateway, s3] = (self.ports.each_ref()).map(|port| format!("127.0.0.1:{port}"));
        let listen = [
            "--listen",
            &api,
            "--gateway-listen",
            &gateway,
            "--s3-listen",
            &s3,
        ];
        let arguments = [&["demo", "--"][..], &listen].concat();
        self.run(env!("CARGO_BIN_EXE_towpath"), &arguments)
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.ports[1]);
        // An error says that it was installed already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let mut request = client.request(method, url).header("host", HOST);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let answer = answer.error_for_status().expect("it is taken");
        answer.text().await.expect("text")
    }

    /// The greeting on the page, and what was noted.
    async fn sees(&self) -> (String, Vec<String>) {
        let page = self.ask(reqwest::Method::GET, "/", None).await;
        let (_, title) = page.split_once("<h1>").expect("a heading");
        let (greeting, _) = title.split_once('<').expect("its end");
        let notes = self.ask(reqwest::Method::GET, "/api/notes", None).await;
        let notes: Vec<Value> = serde_json::from_str(&notes).expect("JSON");
        let bodies = notes.iter().filter_map(|note| note["body"].as_str());
        (
            greeting.trim().to_owned(),
            bodies.map(str::to_owned).collect(),
        )
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // Where the test has ended before: nothing of it stays behind, and what went wrong is told already.
        let _ = self
            .command(
                env!("CARGO_BIN_EXE_towpath"),
                &["delete", "environment", "dev", "--with-data"],
            )
            .output();
        let _ = self
            .command(env!("CARGO_BIN_EXE_towpath"), &["down"])
            .output();
    }
}

/// The example, built along with the tests.
fn notes() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_towpath")).with_file_name("notes");
    let found = program.exists().then_some(program);
    testkit::servers::require(
        "notes",
        found.ok_or("it is not built: `cargo build -p notes`".into()),
    )
}

/// The commands that the demo says to try, without what it says of them.
fn suggested(said: &str) -> Vec<Vec<String>> {
    let (_, next) = said
        .split_once("What to try next:")
        .expect("what to try next");
    let program = env!("CARGO_BIN_EXE_towpath");
    let lines = next
        .lines()
        .filter_map(|line| line.trim().strip_prefix(program));
    lines
        .map(|line| {
            let (command, _remark) = line.split_once("   ").unwrap_or((line, ""));
            command.split_whitespace().map(str::to_owned).collect()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_says_to_try_next_works_and_what_was_noted_stays() {
    if testkit::servers::postgres().await.is_none() || notes().is_none() {
        return;
    }
    let user = User::new();
    let said = user.demo();
    let url = format!("http://{HOST}:{}", user.ports[1]);
    assert!(said.contains(&url), "the address is printed: {said}");

    let first = user.sees().await.0;
    user.ask(
        reqwest::Method::POST,
        "/api/notes",
        Some(json!({ "body": "buy milk" })),
    )
    .await;
    let noted = vec!["buy milk".to_owned()];

    let commands = suggested(&said);
    assert!(commands.len() >= 9, "{commands:?}");
    for command in &commands {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words[..] {
            // Follows until it is stopped.
            ["logs", .., "-f"] => {
                let mut following = user
                    .command(env!("CARGO_BIN_EXE_towpath"), &words)
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("it starts");
                let mut shown = BufReader::new(following.stdout.take().expect("it is piped"));
                let read = shown.read_line(&mut String::new());
                assert!(read.expect("text") > 0, "it shows what was written");
                // By then one that does not follow has come to its end.
                user.run(env!("CARGO_BIN_EXE_towpath"), &words[..words.len() - 1]);
                let ended = following.try_wait().expect("it is ours");
                assert!(ended.is_none(), "it follows: {ended:?}");
                following.kill().expect("it runs");
                following.wait().expect("it ends");
            }
            ["down"] => {
                user.run(
                    env!("CARGO_BIN_EXE_towpath"),
                    &["env", "delete", "dev", "--with-data"],
                );
                user.run(
                    env!("CARGO_BIN_EXE_towpath"),
                    &["env", "delete", "pr-1", "--with-data"],
                );
                user.run(env!("CARGO_BIN_EXE_towpath"), &words);
            }
            _ => {
                user.run(env!("CARGO_BIN_EXE_towpath"), &words);
            }
        }
        match words[0] {
            "deploy" if !words.contains(&"--env") => {
                assert_eq!(user.sees().await, ("Hello".to_owned(), noted.clone()));
            }
            "rollback" => assert_eq!(user.sees().await, (first.clone(), noted.clone())),
            _ => {}
        }
    }
    let tried = |word: &str| commands.iter().any(|command| command[0] == word);
    assert!(
        ["deploy", "rollback", "delete", "down"]
            .map(tried)
            .iter()
            .all(|tried| *tried)
    );
}
