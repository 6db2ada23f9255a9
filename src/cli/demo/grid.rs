//! A table for the eyes: aligned, each cell cut to its share of the terminal.

use serde_json::Value;

use super::text;

/// Between two columns.
const GAP: usize = 2;
/// No column gets narrower.
const NARROWEST: usize = 6;

/// `columns` as execute_query names them, `rows` as arrays.
pub(super) fn draw(columns: &[Value], rows: &[Value], width: usize) -> String {
    let head: Vec<String> = columns.iter().map(|column| text(column, "name").to_owned()).collect();
    let numeric: Vec<bool> = columns.iter().map(|column| is_number(text(column, "type"))).collect();
    let body: Vec<Vec<String>> =
        rows.iter().map(|row| row.as_array().into_iter().flatten().map(cell).collect()).collect();
    let mut widths: Vec<usize> = head.iter().map(|name| columns_of(name)).collect();
    for row in &body {
        for (wide, value) in widths.iter_mut().zip(row) {
            *wide = (*wide).max(columns_of(value));
        }
    }
    let texts: Vec<bool> = columns.iter().map(|column| is_text(text(column, "type"))).collect();
    shrink(&mut widths, &texts, width);
    let mut drawn = String::new();
    let rule: Vec<String> = widths.iter().map(|wide| "─".repeat(*wide)).collect();
    line(&mut drawn, &head, &widths, &numeric);
    line(&mut drawn, &rule, &widths, &numeric);
    for row in &body {
        line(&mut drawn, row, &widths, &numeric);
    }
    drawn
}

/// The widest column of texts gives way first; a number or a time that is cut says nothing.
fn shrink(widths: &mut [usize], texts: &[bool], width: usize) {
    loop {
        let total: usize = 4 + widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let widest = widths.iter_mut().zip(texts).filter(|(_, text)| **text).map(|(wide, _)| wide).max();
        match widest {
            Some(widest) if total > width && *widest > NARROWEST => *widest -= 1,
            _ => return,
        }
    }
}

fn line(drawn: &mut String, cells: &[String], widths: &[usize], numeric: &[bool]) {
    let mut text = String::from("    ");
    for ((cell, wide), right) in cells.iter().zip(widths).zip(numeric) {
        let cell = cut(cell, *wide);
        let padding = " ".repeat(wide.saturating_sub(columns_of(&cell)));
        let (before, after) = if *right { (padding.as_str(), "") } else { ("", padding.as_str()) };
        text.extend([before, &cell, after, &" ".repeat(GAP)]);
    }
    drawn.push_str(text.trim_end());
    drawn.push('\n');
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn cut(text: &str, wide: usize) -> String {
    if columns_of(text) <= wide {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += columns_of_char(character);
        if used > wide {
            break;
        }
        short.push(character);
    }
    short.push('…');
    short
}

fn columns_of(text: &str) -> usize {
    text.chars().map(columns_of_char).sum()
}

/// East Asian wide characters and emoji take two.
fn columns_of_char(character: char) -> usize {
    let wide = matches!(u32::from(character), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    if wide { 2 } else { 1 }
}

fn is_number(type_name: &str) -> bool {
    ["int", "numeric", "float", "double", "real"].iter().any(|number| type_name.starts_with(number))
}

fn is_text(type_name: &str) -> bool {
    !is_number(type_name) && !type_name.starts_with("time") && !type_name.starts_with("date")
}
