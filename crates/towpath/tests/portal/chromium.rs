//! The portal in a real browser, driven by WebDriver (W3C): what only a browser does, such as holding pages to
//! their policy, sending forms by itself, and keeping cookies as it was told.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::servers::{program, require};

use crate::{person::PASSWORD, world::furnished};

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Tall enough for a picture of a whole page.
const HEIGHT: u32 = 2200;

/// Chromium, and what drives it.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let both = program("chromium").and_then(|browser| Ok((browser, program("chromedriver")?)));
    require("chromium", both)
}

/// A window of Chromium; closed when dropped.
struct Window {
    driver: Child,
    /// What the driver goes on saying has somewhere to go.
    _said: BufReader<ChildStdout>,
    http: reqwest::Client,
    session: String,
    _profile: tempfile::TempDir,
}

impl Window {
    /// A window of this size, with what else is said to Chromium.
    async fn open((browser, driver): (PathBuf, PathBuf), width: u32, option: &str) -> Self {
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended by itself");
            // First it says on which it was asked to: any, which is 0.
            let port = line.trim().trim_end_matches('.').rsplit_once("on port ");
            match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
                Some(port) if port != 0 => break port,
                _ => {}
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless=new".to_owned(),
            // Within a container there is no other sandbox to be had, and no shared memory to speak of.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-proxy-server".to_owned(),
            option.to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": {
                "binary": browser,
                "args": arguments,
                // A window by itself is never as narrow as a telephone.
                "mobileEmulation": { "deviceMetrics": {
                    "width": width, "height": HEIGHT, "pixelRatio": 1.0, "mobile": true, "touch": false,
                }},
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let mut window = Self {
            driver,
            _said: said,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let made = window.call(Method::POST, "", wanted).await;
        let id = made["sessionId"].as_str().unwrap();
        window.session = format!("{}/{id}", window.session);
        window
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let value = self.ask(method, path, body).await;
        assert!(value["error"].is_null(), "{path}: {value}");
        value
    }

    /// What the driver answers, which may be an error.
    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["value"].clone()
    }

    /// Waits until a page is there of which `script` says this: a click may be over before its page comes.
    async fn until(&self, script: &str, said: impl Fn(&str) -> bool) -> String {
        let body = json!({ "script": script, "args": [] });
        let what = format!("the page at which `{script}`");
        testkit::eventually(&what, Duration::from_secs(30), || async {
            let answer = self.ask(Method::POST, "/execute/sync", body.clone()).await;
            answer.as_str().filter(|text| said(text)).map(str::to_owned)
        })
        .await
    }

    /// Waits until it is at this path.
    async fn arrives(&self, path: &str) {
        self.until("return location.pathname", |at| at == path)
            .await;
    }

    /// Waits until the page says this; answers all that it says.
    async fn shows(&self, text: &str) -> String {
        self.until("return document.body.innerText", |all| all.contains(text))
            .await
    }

    async fn go(&self, url: &str) {
        self.call(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// What a script in the page says: the driver's, to which the page's policy is nothing.
    async fn script(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.call(Method::POST, "/execute/sync", body).await
    }

    async fn element(&self, css: &str) -> String {
        let asked = json!({ "using": "css selector", "value": css });
        let found = self.call(Method::POST, "/element", asked).await;
        format!("/element/{}", found[ELEMENT].as_str().unwrap())
    }

    async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.call(
            Method::POST,
            &format!("{element}/value"),
            json!({ "text": text }),
        )
        .await;
    }

    async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.call(Method::POST, &format!("{element}/click"), json!({}))
            .await;
    }

    /// What the browser complains of: a policy that was broken, a file that was not there.
    async fn complaints(&self) -> Value {
        self.call(Method::POST, "/se/log", json!({ "type": "browser" }))
            .await
    }

    /// Keeps a picture where TOWPATH_TEST_PICTURES names a directory: for people to look at.
    async fn picture(&self, name: &str, width: u32) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let Some(directory) = std::env::var_os("TOWPATH_TEST_PICTURES") else {
            return;
        };
        let taken = self.call(Method::GET, "/screenshot", Value::Null).await;
        let png = STANDARD.decode(taken.as_str().unwrap()).unwrap();
        let file = PathBuf::from(directory).join(format!("{name}-{width}.png"));
        std::fs::write(file, png).unwrap();
    }

    /// Whether everything fits the window's width.
    async fn fits(&self) -> bool {
        let script =
            "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        self.script(script).await == json!(true)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Asked to end, it takes its browser along; killed, it would leave that behind.
        let port = self
            .session
            .split('/')
            .nth(2)
            .unwrap_or_default()
            .to_owned();
        if let Ok(mut stream) = std::net::TcpStream::connect(&port) {
            use std::io::{Read as _, Write as _};
            let ask =
                format!("GET /shutdown HTTP/1.1\r\nHost: {port}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(ask.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_does_it_all_on_a_small_telephone() {
    walk(360, "--blink-settings=preferredColorScheme=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_does_it_all_at_a_desk_in_the_dark() {
    walk(1280, "--blink-settings=preferredColorScheme=0").await;
}

async fn walk(width: u32, option: &str) {
    let Some(programs) = programs() else {
        return;
    };
    let world = furnished(&[]).await;
    world.ready("payments").await;
    let window = Window::open(programs, width, option).await;
    window.go(&world.at("/")).await;
    window.arrives("/login").await;
    assert_eq!(window.script("return window.innerWidth").await, width);
    window.picture("login", width).await;
    window.fill("#username", "max").await;
    window.fill("#password", PASSWORD).await;
    window.click("form button").await;
    window.arrives("/portal/").await;
    window.shows("Welcome, max").await;
    window.picture("home", width).await;

    window.click("a[href='/portal/onboard']").await;
    window.shows("the access that the team has").await;
    window.fill("#name", "checkout").await;
    window.fill("#leads", "nobody").await;
    window.click("form.fields button").await;
    window.shows("nobody is no subject").await;
    window.picture("onboard-refused", width).await;
    assert!(window.fits().await, "the form is wider than the window");
    let leads = window.element("#leads").await;
    window
        .call(Method::POST, &format!("{leads}/clear"), json!({}))
        .await;
    window.fill("#leads", "local:max").await;
    window.click("form.fields button").await;
    window.arrives("/portal/teams/checkout").await;
    world.ready("checkout").await;
    window.go(&world.at("/portal/teams/checkout")).await;
    window.shows("checkout-dev").await;
    window.picture("team", width).await;
    assert!(window.fits().await, "the team is wider than the window");

    window
        .click("a[href='/portal/teams/checkout/secrets']")
        .await;
    window.arrives("/portal/teams/checkout/secrets").await;
    window.picture("secrets", width).await;
    window
        .click("a[href='/portal/teams/checkout/secrets/set']")
        .await;
    window.arrives("/portal/teams/checkout/secrets/set").await;
    window.fill("#name", "stripe/key").await;
    window
        .fill("#description", "<img src=x onerror=alert(1)>")
        .await;
    window.fill("#value", "canary").await;
    window.picture("secret-set", width).await;
    window.click("form.fields button").await;
    window.arrives("/portal/teams/checkout/secrets/show").await;
    let text = window.shows("<img src=x onerror=alert(1)>").await;
    assert!(!text.contains("canary"), "{text}");
    window.picture("secret", width).await;
    window.click("form[action$='/reveal'] button").await;
    window.shows("canary").await;
    assert!(window.fits().await, "the secret is wider than the window");

    // No script sees the session, and none of a page's would run.
    assert_eq!(window.script("return document.cookie").await, "");
    // The form that was refused is all that the browser has to say of any page: no policy was broken.
    let complaints = window.complaints().await;
    let all: Vec<_> = complaints.as_array().unwrap().iter().collect();
    assert!(
        all.len() == 1
            && all[0]["message"]
                .as_str()
                .unwrap()
                .contains("/portal/onboard - "),
        "the browser complains: {all:#?}"
    );
    let tried = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; \
                 document.body.append(s); return window.ran === undefined";
    assert_eq!(window.script(tried).await, true);

    window.go(&world.at("/portal/teams/no-such")).await;
    window.shows("does not exist").await;
    window.picture("problem", width).await;
    window.click("header form button").await;
    window.arrives("/portal/logged-out").await;
    window.go(&world.at("/portal/")).await;
    // The provider asks again.
    window.arrives("/login").await;
}
