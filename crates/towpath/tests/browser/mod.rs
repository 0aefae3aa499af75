//! A browser, as far as logging in needs one: keeps cookies, follows redirects, fills in forms.

#![allow(dead_code, reason = "each test uses its part")]

use std::{collections::BTreeMap, path::Path, sync::Mutex};

use reqwest::{Client, RequestBuilder, header, redirect::Policy};

pub struct Browser {
    http: Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

/// What came of the last step.
#[derive(Debug)]
pub struct Page {
    pub url: reqwest::Url,
    pub status: u16,
    pub headers: header::HeaderMap,
    pub body: String,
}

impl Page {
    /// The value of a hidden field.
    #[track_caller]
    pub fn field(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let Some((_, rest)) = self.body.split_once(&mark) else {
            panic!("no field {name} at {}: {}", self.url, self.body);
        };
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Browser {
    pub fn new() -> Self {
        Self::trusting(None)
    }

    /// A browser that trusts the certificates of an authority, in PEM, beside the system's.
    pub fn trusting(authority: Option<&Path>) -> Self {
        // Installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = Client::builder().no_proxy().redirect(Policy::none());
        if let Some(file) = authority {
            let pem = std::fs::read(file).unwrap();
            http = http.add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap());
        }
        Self {
            http: http.build().unwrap(),
            cookies: Mutex::default(),
        }
    }

    /// Goes to `url`, and on to where that leads.
    pub async fn go(&self, url: &str) -> Page {
        self.follow(self.http.get(url), url.parse().unwrap()).await
    }

    /// Sends a form of the page.
    pub async fn send(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let url = page.url.join(path).unwrap();
        let origin = page.url.origin().ascii_serialization();
        let request = self.http.post(url.clone()).header("origin", origin);
        self.follow(request.form(fields), url).await
    }

    async fn follow(&self, mut request: RequestBuilder, mut url: reqwest::Url) -> Page {
        loop {
            let answer = request
                .header(header::COOKIE, self.cookie_header())
                .send()
                .await
                .unwrap();
            for set in answer.headers().get_all(header::SET_COOKIE) {
                let pair = set.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                self.set_cookie(name, value);
            }
            if let Some(location) = answer.headers().get(header::LOCATION) {
                url = url.join(location.to_str().unwrap()).unwrap();
                request = self.http.get(url.clone());
                continue;
            }
            return Page {
                url,
                status: answer.status().as_u16(),
                headers: answer.headers().clone(),
                body: answer.text().await.unwrap(),
            };
        }
    }

    /// The cookies that it has.
    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.lock().unwrap().clone()
    }

    /// Gives it a cookie; an empty one is none.
    pub fn set_cookie(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.lock().unwrap();
        cookies.remove(name);
        if !value.is_empty() {
            cookies.insert(name.into(), value.into());
        }
    }

    /// Goes to `url`, and no further: what is answered there.
    pub async fn look(&self, url: &str) -> reqwest::Response {
        let cookies = self.cookie_header();
        let request = self.http.get(url).header(header::COOKIE, cookies);
        request
            .header(header::ACCEPT, "text/html")
            .send()
            .await
            .unwrap()
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies();
        let pairs = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Goes to `url`, and logs in where that is asked for.
    pub async fn enter(&self, url: &str, name: &str, password: &str) -> Page {
        let page = self.go(url).await;
        if !page.url.path().starts_with("/login") {
            return page;
        }
        let (id, csrf) = (page.field("page"), page.field("csrf"));
        let fields = [
            ("page", id.as_str()),
            ("csrf", &csrf),
            ("username", name),
            ("password", password),
        ];
        self.send(&page, "/login", &fields).await
    }

    /// Opens the page of a device's code, and logs in where that is asked for.
    pub async fn device_page(&self, url: &str, name: &str, password: &str) -> Page {
        self.enter(url, name, password).await
    }

    /// Decides on the device of that page: `approve` or `deny`.
    pub async fn decide(&self, page: &Page, decision: &str) -> Page {
        let (csrf, code) = (page.field("csrf"), page.field("user_code"));
        let fields = [
            ("csrf", csrf.as_str()),
            ("user_code", &code),
            ("decision", decision),
        ];
        self.send(page, "/device", &fields).await
    }
}
