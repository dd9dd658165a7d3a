//! Formats text for a terminal. All commands for people use it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Replaces control characters in text from an unknown source: they could control the terminal. Line breaks stay.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    let is_control = |c: char| c.is_control() && c != '\n';
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_control(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// Aligns rows in columns. Each column is as wide as its longest cell.
pub fn align_columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{:<width$}  ", cell.replace('\n', " "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["A", "LONG"], ["wide é", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(align_columns(&rows), "A       LONG\nwide é  x\n");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(sanitize("a\nb\u{1b}[2J"), "a\nb\u{fffd}[2J");
    }
}
