//! `towpath secrets inject`

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use kernel::Secret;
use secrets::template::Template;
use serde_json::json;

use super::resolve::resolve;
use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Write a file from a template with secrets in it
///
/// {{ towpath://TEAM/NAME }} stands for a value; everything else stays as it is. The file is written whole
/// or not at all, for the eyes of its owner alone (mode 0600); what lay there is replaced.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath secrets inject -i terraformrc.tpl -o ~/.terraformrc"
)]
pub(crate) struct Inject {
    /// The template; `-` is standard input
    #[arg(long = "in-file", short = 'i', value_name = "TEMPLATE")]
    template: PathBuf,
    /// The file to write; here -o is short for it
    #[arg(long = "out-file", value_name = "FILE")]
    file: PathBuf,
}

/// The arguments of this program, with `--out-file` for the `-o` of this command: elsewhere `-o` is the form of
/// the answer, and a command cannot have a global option's letter for another.
pub(crate) fn spelled_out(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let (mut here, mut options) = (false, true);
    for argument in arguments {
        let after = |word: &str| all.last().is_some_and(|last| last == word);
        here |= argument == "inject" && after("secrets");
        options &= argument != "--";
        all.push(if here && options && argument == "-o" {
            "--out-file".into()
        } else {
            argument
        });
    }
    all
}

impl Inject {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let name = self.template.display().to_string();
        let text = read(&self.template)
            .map_err(|error| Failure::io(&format!("{name} cannot be read"), &error))?;
        let template = Template::parse(&name, &text).map_err(|problems| {
            Failure::new(
                Exit::Invalid,
                "the template cannot be used: nothing was written",
            )
            .problems(problems)
            .sources(BTreeMap::from([(name, text)]))
        })?;
        // Before a value is asked for, which is recorded.
        refuse_other_than_files(&self.file)?;
        let references = template.references().cloned().collect();
        let values = resolve(&context.client()?, references).await?;
        let count = values.len();
        let filled = template
            .render(|reference| values.get(reference))
            .ok_or_else(|| Failure::new(Exit::Failed, "a reference has no value"))?;
        let file = self.file.display();
        write(&self.file, &filled)
            .map_err(|error| Failure::io(&format!("{file} cannot be written"), &error))?;
        context.answer(
            &json!({ "file": file.to_string(), "secrets": count }),
            || format!("{file} is written, with {count} secrets in it"),
        )
    }
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

/// A symbolic link may lead anywhere, and what is no file cannot be replaced by one.
fn refuse_other_than_files(path: &Path) -> Result<()> {
    let what = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::io(
                &format!("{} cannot be looked at", path.display()),
                &error,
            ));
        }
        Ok(found) if found.is_file() => return Ok(()),
        Ok(found) if found.is_symlink() => "a symbolic link",
        Ok(_) => "no file",
    };
    Err(Failure::new(
        Exit::Conflict,
        format!("{} is {what}: nothing was written", path.display()),
    )
    .remedy("name the file itself"))
}

/// Writes beside the file, then puts it in its place: nobody ever reads half of it.
fn write(path: &Path, content: &Secret) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", uuid::Uuid::now_v7()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    let written = file
        .write_all(content.expose())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        // The draft holds secrets; the error that is told is the first.
        let _ = std::fs::remove_file(&draft);
    }
    written
}
