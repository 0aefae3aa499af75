//! The parser of server-sent events gives the same messages however the stream is cut.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use proptest::prelude::*;
use towpath_client::{Message, Parser};

fn parse(pieces: &[&[u8]]) -> Vec<Message> {
    let mut parser = Parser::default();
    pieces
        .iter()
        .flat_map(|piece| parser.push(piece).unwrap())
        .collect()
}

fn message(id: Option<&str>, event: &str, data: &str) -> Message {
    Message {
        id: id.map(Into::into),
        event: event.into(),
        data: data.into(),
    }
}

#[test]
fn fields_comments_and_line_ends() {
    let text = "\u{feff}: comment\r\nid: 7\revent: x\ndata: one\ndata:two\nretry: 5\n\n\
                data\n\nevent: dropped\n\nid\ndata: last\n\ndata: unfinished";
    assert_eq!(
        parse(&[text.as_bytes()]),
        [
            message(Some("7"), "x", "one\ntwo"),
            message(Some("7"), "", ""),
            message(None, "", "last"),
        ]
    );
}

#[test]
fn a_message_without_an_end_is_refused() {
    let mut parser = Parser::default();
    let piece = vec![b'x'; 1 << 20];
    let failed = (0..8).any(|_| parser.push(&piece).is_err());
    assert!(failed);
}

proptest! {
    #[test]
    fn cuts_do_not_matter(
        lines in prop::collection::vec("(id|data|event|retry)?:? ?[a-zé0-9 ]{0,6}", 0..20),
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n"]), 20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let text: String = lines.iter().zip(&ends).flat_map(|(l, e)| [l.as_str(), e]).collect();
        let bytes = text.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(parse(&pieces), parse(&[bytes]));
    }
}
