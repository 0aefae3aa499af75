//! Two real Kubernetes API servers that know the platform as their issuer, and a member with the real kubectl.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use person::Person;
use serde_json::json;
use site::Site;
use testkit::{PATIENCE, eventually, free_port, servers};
use tokio::net::TcpStream;

/// Calls kubectl as the operator of a cluster.
type Operate<'a> = &'a dyn Fn(&[&str]);

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
        eventually("nginx answers", PATIENCE, async || {
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
async fn clusters_let_members_in_by_one_login() {
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
    let front = Front::start(&nginx, directory.path(), &site, port.number()).await;
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

    let second = free_port();
    let beside = cluster.beside(second.number(), directory.path());

    person::user(&site, "ada").await;
    let payments = |members: &[&str]| json!({ "members": members });
    person::put(&site, "identity/groups/payments", payments(&["ada"])).await;
    person::team(&site, "payments").await;
    let both: [Operate<'_>; 2] = [
        &|arguments| drop(cluster.operate(arguments)),
        &|arguments| drop(cluster.operate_at(&beside, arguments)),
    ];
    for operate in both {
        for namespace in ["payments-dev", "shop-dev"] {
            operate(&["create", "namespace", namespace]);
        }
        let role = ["create", "role", "payments", "-n", "payments-dev"];
        let may = ["--verb=create,get,list", "--resource=configmaps"];
        operate(&[&role[..], &may[..]].concat());
        let binding = ["create", "rolebinding", "payments", "-n", "payments-dev"];
        let members = ["--role=payments", "--group=local:payments"];
        operate(&[&binding[..], &members[..]].concat());
    }

    // Operators administer both, by the binding that the platform prints.
    let printed = site
        .cli(&["identity", "admin-binding", "--prefix", ""])
        .await;
    assert_eq!(printed.code, 0, "{printed:?}");
    let binding = directory.path().join("admins.yaml");
    fs::write(&binding, &printed.out).unwrap();
    for operate in both {
        operate(&["apply", "-f", binding.to_str().unwrap()]);
    }
    person::user(&site, "olga").await;
    let operators = json!({ "members": ["olga"] });
    person::put(&site, "identity/groups/platform", operators).await;

    // Operators say which clusters there are, and she has them by one login.
    let api = fs::read_to_string(&cluster.kubeconfig).unwrap();
    let api: serde_json::Value = serde_yaml_ng::from_str(&api).unwrap();
    let api = &api["clusters"][0]["cluster"];
    let other = json!({
        "server": format!("https://127.0.0.1:{second}"),
        "certificate-authority-data": fs::read_to_string(&front.authority).unwrap(),
    });
    for (name, api, is_default) in [("prod", api, true), ("qa", &other, false)] {
        let spec = json!({
            "endpoint": api["server"], "default": is_default, "roles": [name],
            "certificateAuthorityData": api["certificate-authority-data"],
        });
        person::put(&site, &format!("clusters/{name}"), json!({ "spec": spec })).await;
    }
    let ada = Person::trusting(&front.authority);
    assert_eq!(ada.login(&front.address, "ada", &[]).await.code, 0);
    let olga = Person::trusting(&front.authority);
    assert_eq!(olga.login(&front.address, "olga", &[]).await.code, 0);
    for person in [&ada, &olga] {
        let written = person.run(&["kubeconfig", "--write"]).await;
        assert_eq!(written.code, 0, "{written:?}");
        as_this_kubectl_speaks(&person.home().join(".kube/config"));
    }
    let kubeconfig = ada.home().join(".kube/config");
    let first = fs::read_to_string(&kubeconfig).unwrap();

    let kubectl_of = |person: &Person, context: &[&str], namespace: &str, arguments: &[&str]| {
        let mut command = cluster.kubectl();
        command
            .env("HOME", person.home())
            .env("SSL_CERT_FILE", &front.authority)
            .args(context)
            .args(["--namespace", namespace])
            .args(arguments);
        let ended = command.output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let both = said(&ended.stdout) + &said(&ended.stderr);
        (ended.status.success(), both)
    };
    let kubectl = |context: &[&str], namespace: &str, arguments: &[&str]| {
        kubectl_of(&ada, context, namespace, arguments)
    };
    let contexts: [&[&str]; 2] = [&["--context", "prod"], &["--context", "qa"]];
    for context in contexts {
        let make = ["create", "configmap", &format!("by-ada-{}", context[1])];
        let (made, said) = kubectl(context, "payments-dev", &make);
        assert!(made, "{said}");
        let (made, said) = kubectl(context, "shop-dev", &make);
        assert!(
            !made && said.contains("forbidden") && said.contains("local:ada"),
            "{said}"
        );
    }
    // Who operates the platform may do all, in all namespaces; who does not may not.
    for context in contexts {
        let nodes = ["auth", "can-i", "*", "*"];
        let (may, said) = kubectl_of(&olga, context, "default", &nodes);
        assert!(may, "{said}");
        let (may, said) = kubectl(context, "payments-dev", &nodes);
        assert!(!may, "{said}");
    }
    // They are two: what is in one is not in the other. None is named: the default one.
    for (context, own, others) in [
        (contexts[0], "by-ada-prod", "by-ada-qa"),
        (contexts[1], "by-ada-qa", "by-ada-prod"),
        (&[], "by-ada-prod", "by-ada-qa"),
    ] {
        let (listed, said) = kubectl(context, "payments-dev", &["get", "configmaps"]);
        assert!(
            listed && said.contains(own) && !said.contains(others),
            "{said}"
        );
    }

    // Her tokens have ended: kubectl goes on without a login, and nothing is put into its file.
    let long_ago = json!("2001-01-01T00:00:00Z");
    let before = ada.tokens(0);
    ada.change(0, |tokens| {
        for ended in ["expires", "renewAt"] {
            tokens[ended] = long_ago.clone();
        }
        tokens["id"]["expires"] = long_ago.clone();
        tokens["access"] = json!("ended");
        tokens["id"]["token"] = json!("ended");
    });
    for context in contexts {
        let (listed, said) = kubectl(context, "payments-dev", &["get", "configmaps"]);
        assert!(listed, "{said}");
    }
    let renewed = ada.tokens(0);
    let token = renewed["id"]["token"].as_str().unwrap();
    assert_ne!(renewed["id"]["token"], before["id"]["token"]);
    assert_ne!(token, "ended");
    assert_eq!(fs::read_to_string(&kubeconfig).unwrap(), first);
    assert!(
        !first.contains(token) && !first.contains("token:"),
        "{first}"
    );

    // She leaves the team: her next token says so.
    person::put(&site, "identity/groups/payments", payments(&[])).await;
    ada.change(0, |tokens| tokens["renewAt"] = long_ago.clone());
    for context in contexts {
        let (listed, said) = kubectl(context, "payments-dev", &["get", "configmaps"]);
        assert!(!listed && said.contains("forbidden"), "{said}");
    }
}

/// Debian's kubectl is of before 1.22, and asks in the version before.
fn as_this_kubectl_speaks(kubeconfig: &Path) {
    let text = fs::read_to_string(kubeconfig).unwrap();
    let version = "client.authentication.k8s.io/v1";
    assert!(text.contains(&format!("{version}\n")), "{text}");
    let older = text.replace(&format!("{version}\n"), &format!("{version}beta1\n"));
    fs::write(kubeconfig, older).unwrap();
}
