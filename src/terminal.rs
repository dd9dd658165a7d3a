//! Text for a terminal: what every command that speaks to a person shares.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Text from anywhere, without what could steer a terminal.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && c != '\n';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// Text in columns as wide as they need to be.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
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
            // Writing to a text cannot fail.
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
    fn columns_line_up() {
        let rows = [["A", "LONG"], ["wide é", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "A       LONG\nwide é  x\n");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(harmless("a\nb\u{1b}[2J"), "a\nb\u{fffd}[2J");
    }
}
