//! The audit lines: which operator did what, with which messages.
//!
//! Rule of this file: no personal data. A selection has ids, reasons and times.

/// Writes the line of one act.
pub(super) fn audit(operator: &str, action: &str, selection: &str, messages: usize, outcome: &str) {
    tracing::info!(operator, action, selection, messages, outcome, "console audit");
}
