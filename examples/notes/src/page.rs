//! The page.

use std::fmt::Write as _;

use crate::notes::{Attachment, Note};

/// Its style sheet.
pub const STYLE: &str = include_str!("page/page.css");
/// Its script: sends the form, and reloads.
pub const SCRIPT: &str = include_str!("page/page.js");
const FRAME: &str = include_str!("page/page.html");

/// The page with its notes.
pub fn render(greeting: &str, version: &str, notes: &[Note]) -> String {
    let mut list = String::new();
    for note in notes {
        // Writing to a string cannot fail.
        let _ = write!(
            list,
            "<li><p>{}</p>{}<footer><time datetime=\"{at}\">{at}</time>\
             <button data-delete=\"{}\">Delete</button></footer></li>",
            escaped(&note.body),
            note.attachments.iter().map(attachment).collect::<String>(),
            note.id,
            at = escaped(&note.created_at),
        );
    }
    if notes.is_empty() {
        list.push_str("<li class=\"none\">No notes yet. Write the first one.</li>");
    }
    // In one pass, so that a note that contains a mark stays text.
    let mut page = String::with_capacity(FRAME.len() + list.len());
    let mut rest = FRAME;
    while let Some((before, (mark, after))) = rest
        .split_once("{{")
        .and_then(|(before, tail)| Some((before, tail.split_once("}}")?)))
    {
        page.push_str(before);
        match mark {
            "greeting" => page.push_str(&escaped(greeting)),
            "version" => page.push_str(&escaped(version)),
            "notes" => page.push_str(&list),
            _ => {}
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

fn attachment(attachment: &Attachment) -> String {
    let (id, name) = (attachment.id, escaped(&attachment.name));
    if attachment.media_type.starts_with("image/") {
        format!(
            "<a href=\"/api/attachments/{id}\"><img src=\"/api/attachments/{id}\" alt=\"{name}\"></a>"
        )
    } else {
        let kib = (attachment.size + 1023) / 1024;
        format!("<a href=\"/api/attachments/{id}\">{name}</a> <small>{kib} KiB</small>")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_stays_text() {
        let note = Note {
            id: 1,
            body: "<script>alert(1)</script> {{version}} \"x\"".into(),
            created_at: "2026-01-01T00:00:00Z".into(),
            attachments: vec![Attachment {
                id: 2,
                note: 1,
                name: "\"><img src=x>".into(),
                media_type: "text/plain".into(),
                size: 1,
            }],
        };
        let page = render("Hello & welcome", "v<1>", &[note]);
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt; {{version}}"),
            "{page}"
        );
        assert!(
            page.contains("Hello &amp; welcome") && page.contains("v&lt;1&gt;"),
            "{page}"
        );
        assert!(!page.contains("<img src=x"), "{page}");
    }
}
