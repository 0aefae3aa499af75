//! Where a template makes one value of others, guards stand: what goes in there is counted, so that nothing
//! grows without end, however it is written.
//!
//! The engine counts steps, and what it gives is counted as it is written. In between, one step may make a
//! value of any size: `"x" * 1000000`, `a ~ a` in a loop in a loop. It has no hook there. So, before a template
//! is read by the engine, filters are written into it, at the tokens that the engine itself sees: [`COUNTED`]
//! behind each operand of `~` and `+`, of `in` and of comparisons, which go through what they are given, before each
//! filter and test, behind each slice, which is a copy, and around what a loop goes through; [`NUMBER`] behind each
//! operand of `*`. What has a filter in it is not computed ahead, when a template is only checked.
//!
//! What functions, filters and tests are given beside that is not counted: it is no longer than what the template
//! is about, than [`LONGEST`], or than what was counted when it was made. Nor is what functions and methods give,
//! until it goes into one of these places.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use minijinja::{
    Environment, Error, ErrorKind, Value, functions,
    machinery::{Span, Token, tokenize},
    syntax::SyntaxConfig,
    value::ValueKind,
};

const COUNTED: &str = "|counted";
const NUMBER: &str = "|number";

/// What all that is guarded while a template is rendered comes to at the most, in bytes. Files, and teams of
/// thousands, are far below it.
const MOST: usize = 16 * 1024 * 1024;

/// What a value costs that is in another, beside its text.
const EACH: usize = 8;

/// Values in each other, at the most.
const DEPTH: usize = 200;

/// Items that `range` has at the most. One costs a step, however long it is, and whatever goes through it no more.
const LONGEST: usize = 1000;

/// A token, and where it stands.
type Placed<'t> = (Token<'t>, Span);

/// What is written into a template: at which byte, in which order there, and what.
type Guards = BTreeSet<(usize, u8, &'static str)>;

/// Has `engine` know the guards, for one rendering.
pub(crate) fn install(engine: &mut Environment<'_>) {
    let left = AtomicUsize::new(MOST);
    engine.add_filter("counted", move |value: Value| -> Result<Value, Error> {
        counted(value, &left)
    });
    engine.add_filter("number", number);
}

/// The engine's own `range`, and no longer than [`LONGEST`].
pub(crate) fn range(
    lower: isize,
    upper: Option<isize>,
    step: Option<isize>,
) -> Result<Value, Error> {
    let made = functions::range(lower, upper, step)?;
    if made.try_iter()?.nth(LONGEST).is_none() {
        return Ok(made);
    }
    let why = format!("`range` has more than {LONGEST} items");
    Err(Error::new(ErrorKind::InvalidOperation, why))
}

/// `template` with its guards. What is no template stays as it is: the engine says where.
///
/// # Errors
/// The statement that is not allowed.
pub(crate) fn guarded(template: &str, syntax: &SyntaxConfig) -> Result<String, &'static str> {
    let mut guards = Guards::new();
    let mut tag = Vec::new();
    for token in tokenize(template, false, syntax.clone()) {
        match token {
            Err(_) => return Ok(template.to_owned()),
            Ok((Token::VariableStart | Token::BlockStart | Token::TemplateData(_), _)) => {
                tag.clear();
            }
            Ok((Token::VariableEnd | Token::BlockEnd, _)) => guard(&tag, &mut guards)?,
            Ok(token) => tag.push(token),
        }
    }
    let mut text = String::with_capacity(template.len() + guards.len() * COUNTED.len());
    let mut from = 0;
    for (at, _, filter) in guards {
        text.push_str(&template[from..at]);
        text.push_str(filter);
        from = at;
    }
    text.push_str(&template[from..]);
    Ok(text)
}

/// Guards what stands between two delimiters.
fn guard(tag: &[Placed<'_>], guards: &mut Guards) -> Result<(), &'static str> {
    let looped = looped(tag)?;
    if let Some((begins, last)) = looped {
        guards.insert((end(&tag[begins]), 0, "("));
        // Behind a guard of its last operand.
        guards.insert((end(&tag[last]), 1, ")|counted"));
    }
    for last in slices(tag) {
        guards.insert((end(&tag[last]), 0, COUNTED));
    }
    for (at, (token, _)) in tag.iter().enumerate() {
        let (filter, is_between) = match token {
            Token::Pipe | Token::Ident("is") => (COUNTED, false),
            Token::Tilde
            | Token::Plus
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte => (COUNTED, true),
            Token::Ident("in") if looped.is_none_or(|(begins, _)| begins != at) => (COUNTED, true),
            Token::Mul => (NUMBER, true),
            _ => continue,
        };
        let Some(before) = before(tag, at) else {
            continue;
        };
        guards.insert((end(&tag[before]), 0, filter));
        if is_between && let Some(last) = operand(tag, at + 1) {
            guards.insert((end(&tag[last]), 0, filter));
        }
    }
    Ok(())
}

/// The last token of what stands before the operator at `at`; none where that is no operator.
fn before(tag: &[Placed<'_>], at: usize) -> Option<usize> {
    let before = at.checked_sub(1)?;
    match (&tag[at].0, &tag[before].0) {
        // Before a list of arguments, and a name that is asked for.
        (Token::Mul | Token::Ident(_), Token::ParenOpen | Token::Comma)
        | (Token::Ident(_), Token::Dot | Token::Pipe) => None,
        (Token::Ident(_), Token::Ident("not")) => before.checked_sub(1),
        _ => Some(before),
    }
}

/// Of a loop: where its `in` is, and where what it goes through ends. One that calls itself is refused: what
/// it gives is kept, and nobody counts it.
fn looped(tag: &[Placed<'_>]) -> Result<Option<(usize, usize)>, &'static str> {
    if !matches!(tag.first(), Some((Token::Ident("for"), _))) {
        return Ok(None);
    }
    let is_in =
        |(at, depth): &(usize, i32)| *depth == 0 && matches!(tag[*at].0, Token::Ident("in"));
    let is_if =
        |(at, depth): &(usize, i32)| *depth == 0 && matches!(tag[*at].0, Token::Ident("if"));
    let mut depth = 0;
    let mut deep = tag.iter().enumerate().map(|(at, (token, _))| {
        depth += nesting(token);
        (at, depth)
    });
    let Some((begins, _)) = deep.find(is_in) else {
        return Ok(None);
    };
    let ends = deep.find(is_if).map_or(tag.len(), |(at, _)| at);
    let last = &tag[begins + 1..];
    if let [.., (before, _), (Token::Ident("recursive"), _)] = last
        && !matches!(before, Token::Dot)
    {
        return Err("for ... recursive");
    }
    Ok((ends > begins + 1).then_some((begins, ends - 1)))
}

/// The last token of the operand that begins at `at`: signs, one thing, what is asked of it, and its filters.
fn operand(tag: &[Placed<'_>], mut at: usize) -> Option<usize> {
    while matches!(tag.get(at)?.0, Token::Minus) {
        at += 1;
    }
    let mut last = group(tag, at)?;
    while let Some((token, _)) = tag.get(last + 1) {
        last = match token {
            Token::Dot | Token::Pipe => group(tag, last + 2)?,
            Token::ParenOpen | Token::BracketOpen => group(tag, last + 1)?,
            // Texts beside each other are one.
            Token::Str(_) | Token::String(_) => last + 1,
            _ => break,
        };
    }
    Some(last)
}

/// Where slices end. One of which more is asked at once is left out: no filter can stand there, and of the copy
/// no more stays than that.
fn slices(tag: &[Placed<'_>]) -> Vec<usize> {
    let mut ends = Vec::new();
    // Of each bracket that is open, whether a colon is in it.
    let mut open = Vec::new();
    for (at, (token, _)) in tag.iter().enumerate() {
        match token {
            Token::Colon => {
                if let Some(has_colon) = open.last_mut() {
                    *has_colon = true;
                }
            }
            _ if nesting(token) > 0 => open.push(false),
            _ if nesting(token) < 0 => {
                let has_colon = open.pop() == Some(true);
                let goes_on = matches!(
                    tag.get(at + 1),
                    Some((Token::Dot | Token::BracketOpen | Token::ParenOpen, _))
                );
                if has_colon && !goes_on && matches!(token, Token::BracketClose) {
                    ends.push(at);
                }
            }
            _ => {}
        }
    }
    ends
}

/// The last token of what begins at `at`: itself, or the bracket that closes it.
fn group(tag: &[Placed<'_>], at: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, (token, _)) in tag.iter().enumerate().skip(at) {
        depth += nesting(token);
        if depth <= 0 {
            return (depth == 0).then_some(at);
        }
    }
    None
}

fn nesting(token: &Token<'_>) -> i32 {
    match token {
        Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => 1,
        Token::ParenClose | Token::BracketClose | Token::BraceClose => -1,
        _ => 0,
    }
}

fn end((_, span): &Placed<'_>) -> usize {
    span.end_offset as usize
}

/// `value`, where there is room for it in what is left.
fn counted(value: Value, left: &AtomicUsize) -> Result<Value, Error> {
    let before = left.load(Relaxed);
    let mut after = before;
    let fits = take(&value, &mut after, DEPTH);
    left.store(after, Relaxed);
    if fits {
        return Ok(value);
    }
    let why = format!("its values come to more than {MOST} bytes, or are too deep in each other");
    Err(Error::new(ErrorKind::InvalidOperation, why))
}

/// Takes what `value` costs out of what is left; false where that is not enough.
fn take(value: &Value, left: &mut usize, depth: usize) -> bool {
    let text = value.as_str().map_or(0, str::len);
    let (Some(rest), Some(depth)) = (left.checked_sub(text + EACH), depth.checked_sub(1)) else {
        return false;
    };
    *left = rest;
    let is_map = match value.kind() {
        ValueKind::Map => true,
        ValueKind::Seq | ValueKind::Iterable => false,
        _ => return true,
    };
    // What cannot be gone through is for whoever uses it to refuse.
    let Ok(mut items) = value.try_iter() else {
        return true;
    };
    items.all(|item| {
        take(&item, left, depth)
            && (!is_map || take(&value.get_item(&item).unwrap_or_default(), left, depth))
    })
}

/// `value`, where it is a number: `*` repeats texts and lists.
fn number(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Number | ValueKind::Bool => Ok(value),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        other => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("`*` multiplies numbers, and repeats nothing: this is a {other}"),
        )),
    }
}
