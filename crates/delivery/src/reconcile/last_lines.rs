//! The last lines of a log, as a diagnosis tells them.

use crate::engine::LogLine;

/// `lines` in the order in which they were written, where that is known; else stream by stream, each under its
/// name.
pub(super) fn told(mut lines: Vec<LogLine>) -> Vec<String> {
    if lines.iter().all(|line| line.time.is_some()) {
        lines.sort_by_key(|line| line.time);
        return folded(&texts(&lines));
    }
    let is_same = |a: &LogLine, b: &LogLine| (&a.container, &a.stream) == (&b.container, &b.stream);
    let streams: Vec<&[LogLine]> = lines.chunk_by(is_same).collect();
    if let [only] = streams.as_slice() {
        return folded(&texts(only));
    }
    let mut told = Vec::new();
    for stream in streams {
        let LogLine {
            container,
            stream: name,
            ..
        } = &stream[0];
        told.push(format!("(last lines of {name} of container {container})"));
        told.extend(folded(&texts(stream)));
    }
    told
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| line.line.clone()).collect()
}

/// `lines`, with those that stand there again and again said once, with how often: a program that ends whenever it is
/// started writes the same each time.
fn folded(lines: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    let mut rest = lines;
    while let [first, others @ ..] = rest {
        let is_thrice = |size: &usize| rest[..2 * size] == rest[*size..3 * size];
        let Some(size) = (1..=rest.len() / 3).find(is_thrice) else {
            told.push(first.clone());
            rest = others;
            continue;
        };
        let block = &rest[..size];
        let times = rest.chunks(size).take_while(|next| *next == block).count();
        if size == 1 {
            told.push(format!("{first} ({times} times)"));
        } else {
            told.extend_from_slice(block);
            told.push(format!("(these {size} lines {times} times)"));
        }
        rest = &rest[size * times..];
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_says_again_and_again_is_told_once() {
        for (lines, told) in [
            ("a,b", &["a", "b"][..]),
            ("", &[]),
            ("a,a,b,b", &["a", "a", "b", "b"]),
            ("a,b,b,b,b", &["a", "b (4 times)"]),
            ("b,a,b,a,b,a,b", &["b", "a", "(these 2 lines 3 times)", "b"]),
        ] {
            let lines: Vec<String> = lines.split_terminator(',').map(Into::into).collect();
            assert_eq!(folded(&lines), told);
        }
    }

    #[test]
    fn lines_whose_order_nobody_knows_are_told_by_stream() {
        let line = |stream: &str, second: Option<i64>, text: &str| LogLine {
            release: 1,
            container: "main".into(),
            stream: stream.into(),
            time: second.map(|second| jiff::Timestamp::from_second(second).unwrap()),
            line: text.into(),
        };
        let timed = [("stderr", 3, "c"), ("stdout", 1, "a"), ("stdout", 2, "b")];
        let timed = timed.map(|(stream, second, text)| line(stream, Some(second), text));
        assert_eq!(told(timed.to_vec()), ["a", "b", "c"]);
        let untimed = [("stderr", "no"), ("stdout", "one"), ("stdout", "two")];
        let untimed = untimed.map(|(stream, text)| line(stream, None, text));
        assert_eq!(
            told(untimed.to_vec()),
            [
                "(last lines of stderr of container main)",
                "no",
                "(last lines of stdout of container main)",
                "one",
                "two",
            ]
        );
        assert_eq!(told(untimed[1..].to_vec()), ["one", "two"]);
        assert_eq!(told(Vec::new()), [""; 0]);
    }
}
