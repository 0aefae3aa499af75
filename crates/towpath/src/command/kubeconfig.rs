//! `towpath kubeconfig`

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::json;
use serde_yaml_ng::{Mapping, Value};

use super::program::own_name;
use crate::{
    context::{Chosen, Context},
    exit::Exit,
    failure::{Failure, Result},
    logins::replace,
    render::document,
};

/// Write a kubeconfig that logs in as you
///
/// It names `towpath credential` as the plugin that gives kubectl a token, and holds none itself: kubectl
/// goes on for as long as your login lasts. It is printed, or with --write merged into the file that
/// kubectl reads, where everything else stays.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath kubeconfig --cluster-name prod --cluster-server https://10.0.0.1:6443 --cluster-ca ca.crt\n  towpath kubeconfig --cluster-name prod --cluster-server https://10.0.0.1:6443 --cluster-ca ca.crt --write\n\nThe API server has to know the platform as an issuer: see docs/identity.md."
)]
pub(crate) struct Kubeconfig {
    /// The cluster's name, and that of the context in the kubeconfig
    #[arg(long, value_name = "NAME")]
    cluster_name: String,
    /// Where its API server is
    #[arg(long, value_name = "URL")]
    cluster_server: String,
    /// The file with the certificates of its authority, in PEM [default: the system's authorities]
    #[arg(long, value_name = "FILE")]
    cluster_ca: Option<PathBuf>,
    /// Merge it into the file that kubectl reads: the first of $KUBECONFIG, else ~/.kube/config
    #[arg(long)]
    write: bool,
    /// Leave the current context of that file as it is
    #[arg(long, requires = "write")]
    keep_current: bool,
}

impl Kubeconfig {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let Chosen::Login { context: login, .. } = context.chosen()? else {
            return Err(Failure::new(
                Exit::Refused,
                "Kubernetes knows people by their logins, and no login is chosen",
            )
            .remedy("log in with `towpath login`, or name a login with --context"));
        };
        let entries = self.entries(&login)?;
        if !self.write {
            let mut config = Mapping::new();
            merge(&mut config, entries, true)?;
            return context.print(&document::text(
                crate::context::Format::Yaml,
                &Value::Mapping(config),
            ));
        }
        let path = kubeconfig_path()?;
        update(&path, entries, !self.keep_current)?;
        let answer = json!({ "file": path, "context": self.cluster_name });
        context.answer(&answer, || {
            format!(
                "{} has the context `{}`: try `kubectl --context {} auth whoami`",
                path.display(),
                self.cluster_name,
                self.cluster_name
            )
        })
    }

    fn entries(&self, login: &str) -> Result<Entries> {
        if !self.cluster_server.starts_with("https://") {
            return Err(Failure::usage(format!(
                "{} is no https address: a token would cross the network in the clear",
                self.cluster_server
            )));
        }
        let mut cluster = json!({ "server": self.cluster_server });
        if let Some(file) = &self.cluster_ca {
            cluster["certificate-authority-data"] = json!(STANDARD.encode(certificates(file)?));
        }
        let name = &self.cluster_name;
        let user = format!("oidc-user@{name}");
        let mut exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": own_name(),
            "args": ["credential", "--context", login],
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": false,
            "installHint": "towpath logs you in to this cluster: install it, then `towpath login`",
        });
        // The same logins from wherever kubectl is called.
        if let Some(config) = std::env::var_os("TOWPATH_CONFIG").filter(|path| !path.is_empty()) {
            let path = std::path::absolute(&config).unwrap_or_else(|_| config.into());
            exec["env"] = json!([{ "name": "TOWPATH_CONFIG", "value": path }]);
        }
        Ok(Entries {
            name: name.clone(),
            user: user.clone(),
            cluster: value(&json!({ "name": name, "cluster": cluster }))?,
            credential: value(&json!({ "name": user, "user": { "exec": exec } }))?,
            context: value(&json!({ "name": name, "context": { "cluster": name, "user": user } }))?,
        })
    }
}

/// What a kubeconfig gets.
struct Entries {
    /// Of the cluster, and of the context.
    name: String,
    user: String,
    cluster: Value,
    credential: Value,
    context: Value,
}

fn value(json: &serde_json::Value) -> Result<Value> {
    serde_yaml_ng::to_value(json).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("a kubeconfig cannot be written: {error}"),
        )
    })
}

/// The certificates in a file.
fn certificates(file: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(file).map_err(|error| {
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("{} cannot be read: {error}", file.display()))
    })?;
    let text = String::from_utf8_lossy(&bytes);
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Failure::new(
            Exit::Invalid,
            format!("{} holds no certificate in PEM", file.display()),
        ));
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(Failure::new(
            Exit::Invalid,
            format!("{} holds a private key", file.display()),
        )
        .remedy("name a file with the certificates alone"));
    }
    Ok(bytes)
}

/// The file that kubectl writes to.
fn kubeconfig_path() -> Result<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"));
    first.or_else(home).ok_or_else(|| {
        Failure::usage("there is no home directory with a kubeconfig")
            .remedy("name the file in KUBECONFIG, or leave out --write")
    })
}

/// Merges the entries into the file at `path`, which is locked as kubectl locks it.
fn update(path: &Path, entries: Entries, use_it: bool) -> Result<()> {
    let doing = format!("{} cannot be written", path.display());
    let io = |error: std::io::Error| Failure::io(&doing, &error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(io)?;
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = |extension: &str| {
        let mut name = target.clone().into_os_string();
        name.push(extension);
        PathBuf::from(name)
    };
    let _lock = Lock::take(beside(".lock"))?;
    let mut config = match fs::read_to_string(&target) {
        Ok(text) if text.trim().is_empty() => Mapping::new(),
        Ok(text) => serde_yaml_ng::from_str(&text).map_err(|error| {
            let place = error.location().map_or(0, |at| at.line());
            Failure::new(
                Exit::Invalid,
                format!("{}, line {place}, is no kubeconfig", path.display()),
            )
            .remedy("mend it, or leave out --write and put in what is printed")
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => Mapping::new(),
        Err(error) => return Err(io(error)),
    };
    merge(&mut config, entries, use_it)?;
    let text = document::text(crate::context::Format::Yaml, &Value::Mapping(config));
    replace(&beside(".towpath-new"), &target, text.as_bytes()).map_err(io)
}

/// Kubectl's own lock: a file that is there.
struct Lock(PathBuf);

impl Lock {
    fn take(path: PathBuf) -> Result<Self> {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => Ok(Self(path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failure::new(
                Exit::Conflict,
                format!(
                    "somebody is writing the kubeconfig: {} is there",
                    path.display()
                ),
            )
            .remedy("try again; if nobody is, remove that file")),
            Err(error) => Err(Failure::io(
                &format!("{} cannot be written", path.display()),
                &error,
            )),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever finds it is told to remove it.
        let _ = fs::remove_file(&self.0);
    }
}

/// Puts the entries in place of those of their names, and leaves all else as it is.
fn merge(config: &mut Mapping, entries: Entries, use_it: bool) -> Result<()> {
    let fixed = |config: &mut Mapping, name: &str, text: &str| {
        config
            .entry(name.into())
            .or_insert_with(|| Value::from(text));
    };
    fixed(config, "apiVersion", "v1");
    fixed(config, "kind", "Config");
    put(config, "clusters", &entries.name, entries.cluster)?;
    put(config, "users", &entries.user, entries.credential)?;
    put(config, "contexts", &entries.name, entries.context)?;
    let has_current = config
        .get("current-context")
        .and_then(Value::as_str)
        .is_some_and(|current| !current.is_empty());
    if use_it || !has_current {
        config.insert("current-context".into(), entries.name.into());
    }
    Ok(())
}

fn put(config: &mut Mapping, list: &str, name: &str, entry: Value) -> Result<()> {
    let found = config
        .entry(list.into())
        .or_insert_with(|| Value::Sequence(Vec::new()));
    if found.is_null() {
        *found = Value::Sequence(Vec::new());
    }
    let Value::Sequence(entries) = found else {
        return Err(Failure::new(
            Exit::Invalid,
            format!("`{list}` in the kubeconfig is no list"),
        ));
    };
    let named = |one: &Value| one.get("name").and_then(Value::as_str) == Some(name);
    match entries.iter_mut().find(|one| named(one)) {
        Some(before) => *before = entry,
        None => entries.push(entry),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(server: &str) -> Entries {
        let kubeconfig = Kubeconfig {
            cluster_name: "prod".into(),
            cluster_server: server.into(),
            cluster_ca: None,
            write: true,
            keep_current: false,
        };
        kubeconfig.entries("acme").unwrap()
    }

    const OTHERS: &str = "apiVersion: v1\nkind: Config\npreferences: {colors: true}\ncurrent-context: mine\n\
        clusters:\n- {name: mine, cluster: {server: 'https://mine'}}\n- {name: prod, cluster: {server: 'https://old'}}\n\
        users:\ncontexts: []\nextensions: [{name: x, extension: {a: 1}}]\n";

    #[test]
    fn what_others_wrote_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kube/config");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, OTHERS).unwrap();
        update(&path, entries("https://new"), false).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        let config: serde_json::Value = serde_yaml_ng::from_str(&first).unwrap();
        assert_eq!(config["current-context"], "mine");
        assert_eq!(config["preferences"]["colors"], true);
        assert_eq!(config["extensions"][0]["extension"]["a"], 1);
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://mine");
        assert_eq!(config["clusters"][1]["cluster"]["server"], "https://new");
        assert_eq!(config["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(config["users"][0]["name"], "oidc-user@prod");
        assert_eq!(
            config["users"][0]["user"]["exec"]["args"],
            json!(["credential", "--context", "acme"])
        );
        // Again, it is the same.
        update(&path, entries("https://new"), false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        update(&path, entries("https://new"), true).unwrap();
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .contains("current-context: prod")
        );
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn what_is_no_kubeconfig_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        for text in ["[1, 2]", "clusters: {a: 1}", "a: [b", "x"] {
            fs::write(&path, text).unwrap();
            let failure = update(&path, entries("https://new"), true).unwrap_err();
            assert_eq!(failure.exit, Exit::Invalid, "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn while_kubectl_writes_nobody_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        fs::write(directory.path().join("config.lock"), "").unwrap();
        let failure = update(&path, entries("https://new"), true).unwrap_err();
        assert_eq!(failure.exit, Exit::Conflict);
        assert!(!path.exists());
    }
}
