//! Tables: columns apart by spaces, no lines, so that `awk` reads them too.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};

use super::control::shown;

/// A table with a head in capitals. `nothing` where there are no rows.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    rows: Vec<[String; N]>,
    nothing: &str,
) -> String {
    if rows.is_empty() {
        return nothing.into();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head.map(str::to_uppercase));
    for row in rows {
        // Written out before columns are measured.
        table.add_row(row.map(|cell| match &*shown(&cell) {
            "" => "-".to_owned(),
            cell => cell.to_owned(),
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Lines of `NAME  value`, the values below each other; empty values are left out.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let indented = value.replace('\n', &format!("\n{:width$}  ", ""));
        let _ = writeln!(text, "{name:width$}  {indented}");
    }
    text
}
