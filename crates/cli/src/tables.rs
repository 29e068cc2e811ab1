//! Aligned text: named values below each other, and tables.

use crate::failure::Outcome;
use crate::screen::{Screen, Style};

/// `Name:  value` lines, values aligned. A value of several parts has one line for each; one without
/// any is left out.
pub(crate) fn object(screen: &Screen, rows: &[(&str, Vec<String>)]) -> Outcome {
    for (name, line) in object_lines(rows) {
        screen.line(&line.replacen(&name, &screen.paint(Style::Bold, &name), 1))?;
    }
    Ok(())
}

fn object_lines(rows: &[(&str, Vec<String>)]) -> Vec<(String, String)> {
    let shown = || rows.iter().filter(|(_, values)| !values.is_empty());
    let width = shown().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 2;
    let mut lines = Vec::new();
    for (name, values) in shown() {
        for (index, value) in values.iter().enumerate() {
            let label = if index == 0 { (*name).to_owned() } else { String::new() };
            let colon = if index == 0 { ":" } else { " " };
            let gap = width - label.chars().count() - 1;
            let line = format!("{label}{colon}{}{value}", " ".repeat(gap));
            lines.push((label, line));
        }
    }
    lines
}

/// Columns side by side, two spaces between; without names when `names` is empty.
pub(crate) fn table(screen: &Screen, names: &[&str], rows: &[Vec<String>]) -> Outcome {
    for line in table_lines(names, rows) {
        screen.line(&line)?;
    }
    Ok(())
}

fn table_lines(names: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).chain([names.len()]).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    let heads: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    for row in rows.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = Vec::new();
    if !names.is_empty() {
        lines.push(aligned(&heads, &widths));
        let rule: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
        lines.push(aligned(&rule, &widths));
    }
    lines.extend(rows.iter().map(|row| aligned(row, &widths)));
    lines
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, &width) in row.iter().zip(widths) {
        let gap = width - cell.chars().count() + 2;
        line.push_str(cell);
        line.push_str(&" ".repeat(gap));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned_behind_the_longest_name() {
        let rows = [
            ("Owner", vec!["me@example.com".to_owned()]),
            ("Addons", vec![]),
            ("Collaborators", vec!["a@x".to_owned(), "b@x".to_owned()]),
        ];
        let lines: Vec<String> = object_lines(&rows).into_iter().map(|(_, line)| line).collect();
        assert_eq!(
            lines,
            ["Owner:         me@example.com", "Collaborators: a@x", "               b@x"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["v2".to_owned(), "Enable Logplex".to_owned(), "é@x".to_owned()],
            vec!["v10".to_owned(), "Deploy".to_owned(), String::new()],
        ];
        let lines = ["v2   Enable Logplex  é@x", "v10  Deploy"];
        assert_eq!(table_lines(&[], &rows), lines);
        assert_eq!(table_lines(&["A", "B"], &rows[1..])[0], "A    B");
    }
}
