//! `towpath secrets inject`

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use secrets::template::Template;
use serde_json::json;

use super::resolve::resolve;
use crate::{
    command::unreadable,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    secret_file::{SecretFile, refuse_other_than_files},
};

/// Write a file from a template with secrets in it
///
/// {{ towpath://TEAM/NAME }} stands for a value; everything else stays as it is. The file is written completely or
/// not at all, readable only by its owner (mode 0600), and replaces an existing file.
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
        let text = read(&self.template).map_err(|error| unreadable(&self.template, &error))?;
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
        SecretFile::begin(&self.file)?.finish(&filled)?;
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
