//! The file that kubectl reads.

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde_json::json;
use serde_yaml_ng::{Mapping, Value};

use crate::{
    context::Format,
    exit::Exit,
    failure::{Failure, Result},
    logins::replace,
    render::document,
};

/// What may be done to a file that is there.
#[derive(Clone, Copy)]
pub(super) struct Leave {
    /// To choose the current context.
    pub(super) choose: bool,
    /// To take the place of what others have written under the names that are wanted.
    pub(super) overwrite: bool,
}

/// What a kubeconfig gets.
pub(super) struct Entries {
    pub(super) clusters: Vec<Entry>,
    /// The context that is meant where none is named.
    pub(super) current: Option<String>,
}

/// A cluster, and who one is there.
pub(super) struct Entry {
    /// Of the cluster, and of the context.
    name: String,
    user: String,
    cluster: Value,
    credential: Value,
    context: Value,
}

impl Entry {
    /// The cluster `name`, where `exec` gives a token.
    pub(super) fn new(
        name: &str,
        cluster: &serde_json::Value,
        exec: &serde_json::Value,
    ) -> Result<Self> {
        let user = format!("oidc-user@{name}");
        Ok(Self {
            name: name.to_owned(),
            cluster: value(&json!({ "name": name, "cluster": cluster }))?,
            credential: value(&json!({ "name": user, "user": { "exec": exec } }))?,
            context: value(&json!({ "name": name, "context": { "cluster": name, "user": user } }))?,
            user,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// A kubeconfig of these entries alone.
pub(super) fn text(entries: Entries) -> Result<String> {
    let mut config = Mapping::new();
    merge(&mut config, entries, true)?;
    Ok(document::text(Format::Yaml, &Value::Mapping(config)))
}

fn value(json: &serde_json::Value) -> Result<Value> {
    serde_yaml_ng::to_value(json).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("a kubeconfig cannot be written: {error}"),
        )
    })
}

/// The file that kubectl writes to.
pub(super) fn kubeconfig_path() -> Result<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"));
    first.or_else(home).ok_or_else(|| {
        Failure::usage("there is no home directory with a kubeconfig")
            .remedy("name the file in KUBECONFIG, or leave out --write")
    })
}

/// Merges the entries into the file at `path`, which is locked as kubectl locks it. Gives the contexts that were of
/// another login, with its name. Where a name is somebody else's, nothing is written.
pub(super) fn update(path: &Path, entries: Entries, leave: Leave) -> Result<Vec<(String, String)>> {
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
    let others = of_others(&config, &entries);
    if !others.is_empty() && !leave.overwrite {
        return Err(held(path, &others));
    }
    let taken = of_other_logins(&config, &entries);
    merge(&mut config, entries, leave.choose)?;
    let text = document::text(Format::Yaml, &Value::Mapping(config));
    replace(&beside(".towpath-new"), &target, text.as_bytes()).map_err(io)?;
    Ok(taken)
}

/// What the list has by this name.
fn found<'c>(config: &'c Mapping, list: &str, name: &str) -> Option<&'c Value> {
    let entries = config.get(list)?.as_sequence()?;
    entries
        .iter()
        .find(|one| one.get("name").and_then(Value::as_str) == Some(name))
}

/// The login by which a user gets their tokens, where it is one that this command has written.
fn login(user: &Value) -> Option<String> {
    let arguments = user.get("user")?.get("exec")?.get("args")?.as_sequence()?;
    if arguments.first()? != "credential" {
        return None;
    }
    let mut named = arguments.iter().skip_while(|one| *one != "--context");
    Some(named.nth(1)?.as_str()?.to_owned())
}

/// What bears a name that is wanted, and was not written by this command. That is told by the user: a cluster
/// says nothing of who wrote it, and is ours where the user is there who was written with it.
fn of_others(config: &Mapping, entries: &Entries) -> Vec<String> {
    let mut others = Vec::new();
    for Entry { name, user, .. } in &entries.clusters {
        let there = found(config, "users", user);
        let is_ours = there.and_then(login).is_some();
        let context = found(config, "contexts", name);
        let has = context.and_then(|one| one.get("context")?.get("user")?.as_str());
        if context.is_some() && has != Some(user) {
            others.push(format!("the context `{name}`"));
        }
        if found(config, "clusters", name).is_some() && !is_ours {
            others.push(format!("the cluster `{name}`"));
        }
        if there.is_some() && !is_ours {
            others.push(format!("the user `{user}`"));
        }
    }
    others
}

fn held(path: &Path, others: &[String]) -> Failure {
    Failure::new(
        Exit::Conflict,
        format!(
            "{} has {}, which `towpath kubeconfig` has not written: nothing was changed",
            path.display(),
            others.join(", ")
        ),
    )
    .remedy(
        "keep the two apart by KUBECONFIG=FILE, write another cluster alone with --cluster, or give up what is \
         there with --overwrite",
    )
}

/// The contexts that get another login than they had: two platforms may have a cluster of one name.
fn of_other_logins(config: &Mapping, entries: &Entries) -> Vec<(String, String)> {
    let before = |entry: &Entry| found(config, "users", &entry.user).and_then(login);
    let all = entries.clusters.iter();
    all.filter_map(|entry| {
        let before = before(entry).filter(|one| Some(one) != login(&entry.credential).as_ref())?;
        Some((entry.name.clone(), before))
    })
    .collect()
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
    for entry in entries.clusters {
        put(config, "clusters", &entry.name, entry.cluster)?;
        put(config, "users", &entry.user, entry.credential)?;
        put(config, "contexts", &entry.name, entry.context)?;
    }
    let has_current = config
        .get("current-context")
        .and_then(Value::as_str)
        .is_some_and(|current| !current.is_empty());
    if let Some(current) = entries.current
        && (use_it || !has_current)
    {
        config.insert("current-context".into(), current.into());
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
        let exec = json!({ "args": ["credential", "--context", "acme"] });
        let entry = Entry::new("prod", &json!({ "server": server }), &exec).unwrap();
        Entries {
            clusters: vec![entry],
            current: Some("prod".into()),
        }
    }

    const CHOOSE: Leave = Leave {
        choose: true,
        overwrite: false,
    };
    const KEEP: Leave = Leave {
        choose: false,
        overwrite: false,
    };

    const OTHERS: &str = "apiVersion: v1\nkind: Config\npreferences: {colors: true}\ncurrent-context: mine\n\
        clusters:\n- {name: mine, cluster: {server: 'https://mine'}}\n\
        users:\ncontexts: []\nextensions: [{name: x, extension: {a: 1}}]\n";

    #[test]
    fn what_others_wrote_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kube/config");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, OTHERS).unwrap();
        update(&path, entries("https://first"), KEEP).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        let config: serde_json::Value = serde_yaml_ng::from_str(&first).unwrap();
        assert_eq!(config["current-context"], "mine");
        assert_eq!(config["preferences"]["colors"], true);
        assert_eq!(config["extensions"][0]["extension"]["a"], 1);
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://mine");
        assert_eq!(config["clusters"][1]["cluster"]["server"], "https://first");
        assert_eq!(config["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(config["users"][0]["name"], "oidc-user@prod");
        assert_eq!(
            config["users"][0]["user"]["exec"]["args"],
            json!(["credential", "--context", "acme"])
        );
        // Again, it is the same; and its own is brought up to date.
        update(&path, entries("https://first"), KEEP).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        update(&path, entries("https://new"), CHOOSE).unwrap();
        let last = fs::read_to_string(&path).unwrap();
        assert!(last.contains("current-context: prod"), "{last}");
        assert!(last.contains("https://new"), "{last}");
        assert!(!last.contains("https://first"), "{last}");
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn what_bears_its_names_and_is_somebody_elses_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        for (theirs, named) in [
            (
                "contexts: [{name: prod, context: {cluster: old, user: me}}]",
                "the context `prod`",
            ),
            (
                "clusters: [{name: prod, cluster: {server: 'https://old'}}]",
                "the cluster `prod`",
            ),
            (
                "users: [{name: oidc-user@prod, user: {token: x}}]",
                "the user `oidc-user@prod`",
            ),
            (
                "users: [{name: oidc-user@prod, user: {exec: {args: [get-token, --context, x]}}}]",
                "the user `oidc-user@prod`",
            ),
        ] {
            fs::write(&path, theirs).unwrap();
            let failure = update(&path, entries("https://new"), CHOOSE).unwrap_err();
            assert_eq!(failure.exit, Exit::Conflict, "{theirs}");
            let told = format!("{failure:?}");
            for words in [named, "KUBECONFIG=FILE", "--overwrite"] {
                assert!(told.contains(words), "{words}: {told}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
            let left = fs::read_dir(directory.path()).unwrap().count();
            assert_eq!(left, 1, "{theirs}");

            let leave = Leave {
                overwrite: true,
                ..KEEP
            };
            update(&path, entries("https://new"), leave).unwrap();
            // From now on they are its own.
            update(&path, entries("https://new"), KEEP).unwrap();
            let config: serde_json::Value =
                serde_yaml_ng::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(config["clusters"][0]["cluster"]["server"], "https://new");
            assert_eq!(config["contexts"][0]["context"]["user"], "oidc-user@prod");
        }
    }

    #[test]
    fn a_context_that_was_of_another_login_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        assert!(
            update(&path, entries("https://new"), CHOOSE)
                .unwrap()
                .is_empty()
        );
        assert!(
            update(&path, entries("https://new"), CHOOSE)
                .unwrap()
                .is_empty()
        );
        let exec = json!({ "args": ["credential", "--context", "beta"] });
        let beta = || Entry::new("prod", &json!({ "server": "https://new" }), &exec).unwrap();
        let others = Entries {
            clusters: vec![beta()],
            current: None,
        };
        let taken = update(&path, others, CHOOSE).unwrap();
        assert_eq!(taken, [("prod".to_owned(), "acme".to_owned())]);
    }

    #[test]
    fn where_none_is_meant_the_one_that_was_chosen_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let undecided = || Entries {
            current: None,
            ..entries("https://new")
        };
        update(&path, undecided(), CHOOSE).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        assert!(!first.contains("current-context"), "{first}");
        update(&path, entries("https://new"), CHOOSE).unwrap();
        update(&path, undecided(), CHOOSE).unwrap();
        let kept = fs::read_to_string(&path).unwrap();
        assert!(kept.contains("current-context: prod"), "{kept}");
    }

    #[test]
    fn what_is_no_kubeconfig_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        for text in ["[1, 2]", "clusters: {a: 1}", "a: [b", "x"] {
            fs::write(&path, text).unwrap();
            let failure = update(&path, entries("https://new"), CHOOSE).unwrap_err();
            assert_eq!(failure.exit, Exit::Invalid, "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn while_kubectl_writes_nobody_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        fs::write(directory.path().join("config.lock"), "").unwrap();
        let failure = update(&path, entries("https://new"), CHOOSE).unwrap_err();
        assert_eq!(failure.exit, Exit::Conflict);
        assert!(!path.exists());
    }
}
