//! A real Kubernetes API server that knows the platform as its issuer, and a member with the real kubectl.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use person::Person;
use serde_json::json;
use site::Site;
use testkit::{eventually, free_port, servers};
use tokio::net::TcpStream;

/// nginx before the platform, since Kubernetes takes no issuer without TLS.
struct Front {
    nginx: Child,
    address: String,
    authority: PathBuf,
}

impl Front {
    async fn start(program: &Path, directory: &Path, site: &Site, port: u16) -> Self {
        certificates(directory);
        let at = directory.display();
        let api = site.api;
        let config = format!(
            "daemon off; pid {at}/nginx.pid; error_log {at}/nginx.log;
             events {{}}
             http {{
               access_log off;
               client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3;
               uwsgi_temp_path {at}/4; scgi_temp_path {at}/5;
               server {{
                 listen 127.0.0.1:{port} ssl;
                 ssl_certificate {at}/server.crt; ssl_certificate_key {at}/server.key;
                 location / {{
                   proxy_pass http://127.0.0.1:{api};
                   proxy_set_header Host $http_host;
                 }}
               }}
             }}"
        );
        fs::write(directory.join("nginx.conf"), config).unwrap();
        let nginx = Command::new(program)
            .arg("-c")
            .arg(directory.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("nginx answers", Duration::from_secs(10), async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self {
            nginx,
            address: format!("https://127.0.0.1:{port}"),
            authority: directory.join("ca.crt"),
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // As root it asks its workers to end only where it is asked itself.
        let pid = rustix::process::Pid::from_child(&self.nginx);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.nginx.wait();
    }
}

/// An authority, and a certificate for the loopback address by it.
fn certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(directory);
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout ca.key -out ca.crt");
    openssl("req -newkey rsa:2048 -nodes -subj /CN=towpath -keyout server.key -out server.csr");
    fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    openssl(
        "x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -extfile names -out server.crt",
    );
}

#[tokio::test]
async fn a_cluster_lets_members_in_by_their_login() {
    let Some(nginx) = servers::nginx() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let issuer = format!("https://127.0.0.1:{port}");
    let authority = directory.path().join("ca.crt");
    let data = tempfile::tempdir().unwrap();
    let mut site = Site::new(data.path());
    site.options = vec!["--issuer".into(), issuer.clone()];
    let front = Front::start(&nginx, directory.path(), &site, port).await;
    let _running = site.start().await;
    // The API server reads the keys of its issuer once it starts.
    let flags = [
        format!("--oidc-issuer-url={issuer}"),
        format!("--oidc-ca-file={}", authority.display()),
        "--oidc-client-id=towpath-cli".into(),
        "--oidc-groups-claim=source_groups".into(),
    ];
    let Some(cluster) = servers::kubernetes(&flags.each_ref().map(String::as_str)) else {
        return;
    };

    person::user(&site, "ada").await;
    let payments = |members: &[&str]| json!({ "members": members });
    person::put(&site, "identity/groups/payments", payments(&["ada"])).await;
    person::team(&site, "payments").await;
    for namespace in ["payments-dev", "shop-dev"] {
        cluster.operate(&["create", "namespace", namespace]);
    }
    let binding = ["create", "rolebinding", "payments", "-n", "payments-dev"];
    let members = ["--clusterrole=edit", "--group=local:payments"];
    cluster.operate(&[&binding[..], &members[..]].concat());

    let ada = Person::trusting(&front.authority);
    assert_eq!(ada.login(&front.address, "ada", &[]).await.code, 0);
    let api = fs::read_to_string(&cluster.kubeconfig).unwrap();
    let api: serde_json::Value = serde_yaml_ng::from_str(&api).unwrap();
    let api = &api["clusters"][0]["cluster"];
    let server = api["server"].as_str().unwrap();
    let encoded = api["certificate-authority-data"].as_str().unwrap();
    let certificate = ada.home().join("cluster.crt");
    fs::write(&certificate, STANDARD.decode(encoded).unwrap()).unwrap();
    let written = ada
        .run(&[
            "kubeconfig",
            "--cluster-name",
            "prod",
            "--cluster-server",
            server,
            "--cluster-ca",
            certificate.to_str().unwrap(),
            "--write",
        ])
        .await;
    assert_eq!(written.code, 0, "{written:?}");
    as_this_kubectl_speaks(&ada.home().join(".kube/config"));

    let kubectl = |namespace: &str, arguments: &[&str]| {
        let mut command = cluster.kubectl();
        command
            .env("HOME", ada.home())
            .env("SSL_CERT_FILE", &front.authority)
            .args(["--namespace", namespace])
            .args(arguments);
        let ended = command.output().unwrap();
        (
            ended.status.success(),
            String::from_utf8_lossy(&ended.stderr).into_owned(),
        )
    };
    let make = ["create", "configmap", "made-by-ada"];
    let (made, said) = kubectl("payments-dev", &make);
    assert!(made, "{said}");
    let (made, said) = kubectl("shop-dev", &make);
    assert!(
        !made && said.contains("forbidden") && said.contains("local:ada"),
        "{said}"
    );

    // She leaves the team: her next token says so.
    person::put(&site, "identity/groups/payments", payments(&[])).await;
    ada.change(0, |tokens| {
        tokens["renewAt"] = json!("2001-01-01T00:00:00Z");
    });
    let (listed, said) = kubectl("payments-dev", &["get", "configmaps"]);
    assert!(!listed && said.contains("forbidden"), "{said}");
}

/// Debian's kubectl is of before 1.22, and asks in the version before.
fn as_this_kubectl_speaks(kubeconfig: &Path) {
    let text = fs::read_to_string(kubeconfig).unwrap();
    let version = "client.authentication.k8s.io/v1";
    assert!(text.contains(&format!("{version}\n")), "{text}");
    let older = text.replace(&format!("{version}\n"), &format!("{version}beta1\n"));
    fs::write(kubeconfig, older).unwrap();
}
