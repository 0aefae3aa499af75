//! What people are shown before they let a program in.

use serde_json::json;

use crate::support::{Browser, PASSWORD, Site, text};

/// Compares a page, line by line, without what is drawn anew each time.
macro_rules! shows {
    ($name:literal, $page:expr) => {{
        let page = $page;
        let mut settings = insta::Settings::clone_current();
        settings.add_filter("[A-Za-z0-9_-]{43}", "RANDOM");
        settings.add_filter("[B-Z]{4}-[B-Z]{4}", "CODE");
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!($name, page.body.replace("><", ">\n<")));
    }};
}

async fn site() -> Site {
    let site = Site::new().await;
    site.user("ada").await;
    let portal = json!({
        "description": "The <portal>", "redirectUris": ["https://portal.example.com/back"],
        "deviceGrant": true,
    });
    let path = "/v1/identity/clients/portal";
    site.admin("PUT", path, portal).await.ok();
    site
}

#[tokio::test]
async fn a_login_page_names_the_program_that_asks() {
    let site = site().await;
    let browser = Browser::new(&site);
    let asked = [
        ("client_id", "portal"),
        ("redirect_uri", "https://portal.example.com/back"),
    ];
    let page = browser.authorize(&asked).await.location();
    shows!("login_to_a_program", browser.get(&page).await.ok());
    let cli = browser.authorize(&[]).await.location();
    let page = browser.get(&cli).await.ok();
    assert!(
        page.body.contains("Towpath's command line (towpath-cli)"),
        "{}",
        page.body
    );
    // So it does where the password was wrong.
    let again = browser.log_in(&cli, "ada", "wrong").await;
    assert_eq!(again.status, 403);
    assert!(again.body.contains("(towpath-cli)"), "{}", again.body);
}

#[tokio::test]
async fn nobody_approves_a_device_whose_program_and_code_they_have_not_seen() {
    let site = site().await;
    let fields = [("client_id", "portal"), ("scope", "openid")];
    let device = site.post("/oauth/device/code", &fields).await.ok().json();
    let code = text(&device, "user_code");
    let browser = Browser::new(&site);
    // Not logged in, one is told the code, and not whose it is.
    let login = browser
        .get(text(&device, "verification_uri_complete"))
        .await
        .location();
    let page = browser.get(&login).await.ok();
    assert!(
        page.body.contains(code) && !page.body.contains("portal"),
        "{}",
        page.body
    );
    shows!("login_for_a_device", page);
    let entered = browser.log_in(&login, "ada", PASSWORD).await;
    let page = browser.get(&entered.location()).await.ok();
    assert!(page.body.contains(code), "{}", page.body);
    shows!("device_to_be_approved", page);
    // What is no code is not shown.
    let other = Browser::new(&site);
    let login = other.get("/device?user_code=%3Cb%3Eyes").await.location();
    shows!("login_for_some_device", other.get(&login).await.ok());
}
