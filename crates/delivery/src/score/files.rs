//! Files beside the Score file, taken into the workload before it leaves the person's machine.

use std::{
    fs::File as Handle,
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
};

use base64::Engine as _;
use kernel::Problem;

use super::{
    Document, Limits, Workload,
    placeholder::{Template, join_path},
};

/// Replaces every `source` of the workload by the content of the file, relative to `base`: the
/// directory of the Score file. Text becomes `content`, other bytes become `binaryContent`. Refused
/// are absolute paths, paths and links that lead out of `base`, and anything but regular files.
///
/// Either all files are taken in, or the workload is as it was and every problem is reported.
pub fn inline_sources(
    document: &mut Document,
    base: &Path,
    limits: &Limits,
) -> Result<(), Vec<Problem>> {
    let mut workload = document.workload.clone();
    let mut problems = Vec::new();
    for (name, container) in &mut workload.containers {
        for (target, file) in &mut container.files {
            let Some(source) = file.source.clone() else {
                continue;
            };
            match content(base, &source, file.no_expand, limits) {
                Ok(content) => {
                    match content {
                        Ok(text) => file.content = Some(text),
                        Err(bytes) => {
                            let engine = base64::engine::general_purpose::STANDARD;
                            file.binary_content = Some(engine.encode(bytes));
                        }
                    }
                    file.source = None;
                }
                Err((message, remedy)) => {
                    let path = join_path(["containers", name, "files", target, "source"]);
                    let location = document.locate(&path);
                    let mut problem = Problem::new("score/source", path, message).remedy(remedy);
                    problem.location = location;
                    problems.push(problem);
                }
            }
        }
    }
    if problems.is_empty() {
        problems = placeholders(document, &workload);
    }
    if problems.is_empty() {
        document.workload = workload;
        Ok(())
    } else {
        Err(problems)
    }
}

/// What is wrong with the placeholders of the texts that were taken in.
fn placeholders(document: &Document, workload: &Workload) -> Vec<Problem> {
    let Ok(json) = serde_json::to_value(workload) else {
        return Vec::new();
    };
    let mut problems = super::validate(&json).err().unwrap_or_default();
    for problem in &mut problems {
        problem.location = document.locate(&problem.path);
    }
    problems
}

/// What is wrong, and how to mend it.
pub(super) type Wrong = (String, String);

/// What is in the file `source` beside the Score file: a text, or other bytes.
pub(super) fn content(
    base: &Path,
    source: &str,
    no_expand: bool,
    limits: &Limits,
) -> Result<Result<String, Vec<u8>>, Wrong> {
    let content = String::from_utf8(read(base, source, limits)?);
    if let (Ok(text), false) = (&content, no_expand) {
        whole(source, text)?;
    }
    Ok(content.map_err(std::string::FromUtf8Error::into_bytes))
}

/// Whether the placeholders of a text that is taken in can be read at all.
fn whole(source: &str, text: &str) -> Result<(), Wrong> {
    Template::parse(text).map(|_| ()).map_err(|malformed| {
        let before = &text[..malformed.offset];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (
            format!("{source}:{line}:{column}: {}", malformed.reason),
            "mend it there, or set `noExpand: true` if the file has no placeholders of Score"
                .into(),
        )
    })
}

fn read(base: &Path, source: &str, limits: &Limits) -> Result<Vec<u8>, Wrong> {
    let outside = || {
        (
            format!("`{source}` leads out of the directory of the Score file"),
            "name a file in that directory or below it, by a relative path".to_owned(),
        )
    };
    let cannot = |error: io::Error| {
        (
            format!("`{source}` cannot be read: {}", reason(&error)),
            format!(
                "see that {} is there and can be read",
                base.join(source).display()
            ),
        )
    };
    let path = Path::new(source);
    let inside = path
        .components()
        .all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(outside());
    }
    let base = PathBuf::from(if base.as_os_str().is_empty() {
        Path::new(".")
    } else {
        base
    });
    let base = base.canonicalize().map_err(cannot)?;
    let real = base.join(path).canonicalize().map_err(cannot)?;
    if !real.starts_with(&base) {
        return Err(outside());
    }
    // Asked before it is opened: a named pipe would block.
    let metadata = real.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err((
            format!("`{source}` is not a regular file"),
            "name a file; a directory is best mounted as a volume".to_owned(),
        ));
    }
    let most = limits.file_bytes as u64;
    let mut bytes = Vec::new();
    let file = Handle::open(&real).map_err(cannot)?;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > most {
        return Err((
            format!("`{source}` is larger than {most} bytes"),
            "put it into the image, or on a volume".to_owned(),
        ));
    }
    Ok(bytes)
}

/// The system's words without its numbers.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}
