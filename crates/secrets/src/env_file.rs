//! Files of variables: `NAME=VALUE`, one a line, as shells and containers read them.
//!
//! Blank lines and lines that begin with `#` say nothing; `export` before a name is passed over. A value
//! goes to the end of its line, or to ` #`; in single quotes it is as it stands, in double quotes `\n`, `\r`,
//! `\t`, `\"`, `\\` and `\$` stand for what they mean in a shell. Quoted values may have several lines.
//! Nothing is substituted.

use kernel::{Location, Problem};

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, without quotes.
    pub value: String,
    /// The line that it begins on, from 1.
    pub line: usize,
}

/// The variables of `text`, in order, or all that is wrong with it. `file` names it in problems.
pub fn parse(file: &str, text: &str) -> Result<Vec<Variable>, Vec<Problem>> {
    let mut reader = Reader {
        file,
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
    };
    let (mut variables, mut problems) = (Vec::new(), Vec::new());
    while !reader.rest.is_empty() {
        match reader.variable() {
            Ok(Some(variable)) => variables.push(variable),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(variables)
    } else {
        Err(problems)
    }
}

/// Whether `name` can be a variable's: letters, digits and `_`, no digit first.
pub fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(inner) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

struct Reader<'t> {
    file: &'t str,
    rest: &'t str,
    line: usize,
}

impl<'t> Reader<'t> {
    /// Takes one line, or as many as a quoted value has.
    fn variable(&mut self) -> Result<Option<Variable>, Problem> {
        let line = self.line;
        let whole = self.rest.split('\n').next().unwrap_or_default();
        let meant = whole.trim_start();
        if meant.trim_end().is_empty() || meant.starts_with('#') {
            self.skip_line();
            return Ok(None);
        }
        let indent = whole.len() - meant.len();
        let Some((head, _)) = meant.split_once('=') else {
            self.skip_line();
            return Err(self.problem(line, "this line is no variable", "write NAME=VALUE"));
        };
        let name = head.strip_prefix("export ").unwrap_or(head).trim();
        if !is_name(name) {
            self.skip_line();
            let why = format!("`{}` is no name of a variable", shown(name));
            return Err(self.problem(line, &why, "use letters, digits and `_`, no digit first"));
        }
        self.rest = &self.rest[indent + head.len() + 1..];
        let value = self.value(line)?;
        Ok(Some(Variable {
            name: name.into(),
            value,
            line,
        }))
    }

    /// Takes a value and the rest of its line.
    fn value(&mut self, line: usize) -> Result<String, Problem> {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let value = match self.rest.chars().next() {
            Some('\'') => self.single(line)?,
            Some('"') => self.double(line)?,
            _ => {
                let plain = self.rest.split('\n').next().unwrap_or_default();
                self.skip_line();
                let comment = plain.find(" #").or_else(|| plain.find("\t#"));
                let begins = plain.starts_with('#').then_some(0);
                let end = begins.or(comment).unwrap_or(plain.len());
                return Ok(plain[..end].trim().to_owned());
            }
        };
        let after = self.rest.split('\n').next().unwrap_or_default().trim();
        let last = self.line;
        self.skip_line();
        if after.is_empty() || after.starts_with('#') {
            return Ok(value);
        }
        Err(self.problem(
            last,
            "something follows the closing quote",
            "quote the whole value",
        ))
    }

    fn single(&mut self, line: usize) -> Result<String, Problem> {
        let inside = &self.rest[1..];
        let Some(end) = inside.find('\'') else {
            return Err(self.unclosed(line));
        };
        Ok(self.take(inside, end).to_owned())
    }

    fn double(&mut self, line: usize) -> Result<String, Problem> {
        let inside = &self.rest[1..];
        let mut value = String::new();
        let mut letters = inside.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.take(inside, at);
                    return Ok(value);
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 'r')) => value.push('\r'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, same @ ('"' | '\\' | '$' | '`'))) => value.push(same),
                    Some((_, other)) => value.extend(['\\', other]),
                    None => break,
                },
                other => value.push(other),
            }
        }
        Err(self.unclosed(line))
    }

    /// Takes what is quoted, with both quotes.
    fn take(&mut self, inside: &'t str, end: usize) -> &'t str {
        let taken = &inside[..end];
        self.line += taken.matches('\n').count();
        self.rest = &inside[end + 1..];
        taken
    }

    /// A quote that does not end: nothing behind it can be told apart.
    fn unclosed(&mut self, line: usize) -> Problem {
        self.rest = "";
        self.problem(line, "the quote is not closed", "close it")
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.line += 1;
    }

    fn problem(&self, line: usize, message: &str, remedy: &str) -> Problem {
        Problem::new("env-file/line", "", message)
            .remedy(remedy)
            .at(Location {
                file: self.file.into(),
                line,
                column: 1,
                length: 0,
            })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
