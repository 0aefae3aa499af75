//! Images of programs of this workspace, and what Docker itself lists.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Whom clients of TLS trust: they do not begin without.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The example.
const NOTES: &str = "examples/notes";

/// An image that the example's own README has made. Removed when dropped, its base too.
pub struct Image {
    pub reference: String,
    base: String,
}

impl Image {
    /// Of the program `notes`, which is built beside the tests, by the command that its README gives; on a base of
    /// this machine's own libraries and certificates, since no registry can be asked. `version` is its
    /// tag, and what the program finds in `VERSION`. `mark` keeps the images of tests that run at once apart.
    pub fn of_notes(version: &str, mark: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_towpath")).with_file_name("notes");
        assert!(program.is_file(), "build it first: cargo build -p notes");
        let packed = tempfile::tempdir().expect("a directory");
        // Symbols are most of it, and the daemon has no use for them.
        let stripped = Command::new("strip")
            .args([Path::new("-o"), &packed.path().join("notes"), &program])
            .status();
        if !stripped.is_ok_and(|status| status.success()) {
            std::fs::copy(&program, packed.path().join("notes")).expect("it is copied");
        }
        let base = format!("towpath-test/notes-{mark}-base:{version}");
        import(&program, &base);
        let reference = format!("towpath-test/notes-{mark}:{version}");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = std::fs::read_to_string(root.join(NOTES).join("README.md"));
        let text = text.expect("the example has a README");
        let command = text
            .lines()
            .find(|line| line.contains("docker build"))
            .expect("it says how to build the image");
        let command = [
            ("target/debug", packed.path().to_str().expect("it is text")),
            ("notes:1", &reference),
            ("VERSION=1", &format!("VERSION={version}")),
        ]
        .into_iter()
        .fold(command.trim().to_owned(), |command, (written, here)| {
            assert!(command.contains(written), "{command}");
            command.replace(written, here)
        });
        let build = command.replace(
            "docker build",
            &format!("docker build --build-arg BASE={base}"),
        );
        output(
            Command::new("sh")
                .args(["-ec", &build])
                .current_dir(root.canonicalize().expect("it is there")),
        );
        Self { reference, base }
    }
}

/// Makes an image of what `program` is linked with, and of certificates.
fn import(program: &Path, reference: &str) {
    let root = tempfile::tempdir().expect("a directory");
    let mut files = libraries(program);
    files.push(CERTIFICATES.into());
    for file in files {
        let to = root
            .path()
            .join(file.strip_prefix("/").expect("it is absolute"));
        std::fs::create_dir_all(to.parent().expect("it has one")).expect("a directory");
        std::fs::copy(&file, to).expect("a file of the system is copied");
    }
    // A temporary directory is its owner's alone; `/` of a container is everybody's to look into.
    output(Command::new("chmod").arg("755").arg(root.path()));
    let script = "tar -C \"$1\" -c . | docker import - \"$2\"";
    let root = root.path().to_str().expect("it is text");
    output(Command::new("sh").args(["-ec", script, "import", root, reference]));
}

impl Drop for Image {
    fn drop(&mut self) {
        let removed = Command::new("docker")
            .args(["image", "rm", "--force", &self.reference, &self.base])
            .output();
        assert!(
            removed.is_ok_and(|it| it.status.success()) || std::thread::panicking(),
            "{} stays behind",
            self.reference
        );
    }
}

/// The libraries that a program is linked with, the loader too.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = output(Command::new("ldd").arg(program));
    listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|word| PathBuf::from(word.trim_end_matches(':')))
        .collect()
}

/// What Docker lists that bears the name of an environment: containers, those that have ended too,
/// networks and volumes.
pub fn listed(environment: &str) -> BTreeMap<&'static str, Vec<String>> {
    let [containers, networks, volumes] = [
        &["ps", "--all", "--format", "{{.Names}}"][..],
        &["network", "ls", "--format", "{{.Name}}"],
        &["volume", "ls", "--format", "{{.Name}}"],
    ]
    .map(|arguments| {
        let all = output(Command::new("docker").args(arguments));
        let mark = format!("-{environment}");
        let ours = all.lines().filter(|name| name.contains(&mark));
        ours.map(ToOwned::to_owned).collect()
    });
    BTreeMap::from([
        ("container", containers),
        ("network", networks),
        ("docker volume", volumes),
    ])
}

/// One field of a container, as `docker inspect --format` writes it.
pub fn inspected(container: &str, format: &str) -> String {
    output(Command::new("docker").args(["inspect", "--format", format, container]))
}

/// What a command that must succeed writes.
fn output(command: &mut Command) -> String {
    let ended = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {said}");
    String::from_utf8(ended.stdout).expect("it writes text")
}

/// Removes what a failed test has left of an environment in Docker.
pub struct Cleaned(pub String);

impl Drop for Cleaned {
    fn drop(&mut self) {
        let label = format!("label=dev.towpath.environment={}", self.0);
        let script = format!(
            "docker ps -aq --filter {label} | xargs -r docker rm -f >/dev/null; \
             docker network ls -q --filter {label} | xargs -r docker network rm >/dev/null"
        );
        let cleaned = Command::new("sh").arg("-c").arg(script).status();
        assert!(cleaned.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
