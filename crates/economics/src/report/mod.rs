//! The report: tables and charts about the paper's games and one pool, each with the command that makes its numbers.

mod chart;
mod games;
mod pool;

use std::fmt::Write;

use assay_protocol::PoolParams;

use crate::simulate::SetupError;

use chart::escape;

pub use pool::{conditions_table, risks_table};

/// A table with its title, what to read in it and the command that prints its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its title.
    pub title: String,
    /// What it shows, in a sentence or two.
    pub note: String,
    /// The command behind its numbers.
    pub command: String,
    /// Names of columns.
    pub header: Vec<String>,
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Its title.
    pub title: String,
    /// What it shows.
    pub note: String,
    /// The command that draws it.
    pub command: String,
    /// Name of its file, without an ending.
    pub name: &'static str,
    /// The picture.
    pub svg: String,
}

/// A part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A heading.
    Heading(String),
    /// A table.
    Table(Table),
    /// A chart.
    Chart(Chart),
}

/// What a report is about, and how long its simulations may be.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The pool.
    pub params: PoolParams,
    /// Seconds between two rounds of its beacon.
    pub period: u64,
    /// How commands name the pool.
    pub file: String,
    /// Requests of each simulation.
    pub requests: u64,
    /// Same seed, same report.
    pub seed: u64,
}

/// Everything the report holds.
///
/// # Errors
/// [`SetupError`]: the pool's parameters have no meaning, or its juries are larger than a hundred servers can fill.
pub fn parts(subject: &Subject) -> Result<Vec<Part>, SetupError> {
    let mut all = vec![Part::Heading("The paper's games".to_owned())];
    all.extend(games::parts());
    all.push(Part::Heading(format!("The pool of {}", subject.file)));
    all.extend(pool::parts(subject)?);
    Ok(all)
}

/// The tables as text, columns aligned.
pub fn text(parts: &[Part]) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Heading(title) => {
                let _ = writeln!(out, "# {title}\n");
            }
            Part::Table(t) => {
                let _ = writeln!(out, "## {}\n{}\n$ {}\n", t.title, t.note, t.command);
                let _ = writeln!(out, "{}", aligned(&t.header, &t.rows));
            }
            Part::Chart(_) => {}
        }
    }
    out
}

/// A header and rows as text, columns aligned: numbers to the right.
pub fn aligned(header: &[String], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|i| {
            let cells = rows.iter().filter_map(|row| row.get(i)).chain(&header[i..=i]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let is_number: Vec<bool> = (0..header.len())
        .map(|i| {
            let mut cells =
                rows.iter().filter_map(|row| row.get(i)).filter(|cell| !cell.is_empty()).peekable();
            cells.peek().is_some()
                && cells.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
        })
        .collect();
    let mut out = String::new();
    for row in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = " ".repeat(width - cell.chars().count());
            let space = if i == 0 { "" } else { "  " };
            let _ = if is_number[i] {
                write!(line, "{space}{gap}{cell}")
            } else {
                write!(line, "{space}{cell}{gap}")
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// One page that needs nothing else.
pub fn html(parts: &[Part]) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Assay: economics</title><style>\
         body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
         table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
         td:first-child,th:first-child{text-align:left}code{background:#f4f4f4;padding:.1rem .3rem}svg{max-width:100%}\
         @media print{h2,figure,table{break-inside:avoid}}</style>",
    );
    for part in parts {
        match part {
            Part::Heading(title) => {
                let _ = write!(out, "<h1>{}</h1>", escape(title));
            }
            Part::Table(t) => {
                let cells = |row: &[String], tag: &str| -> String {
                    row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
                };
                let rows: String =
                    t.rows.iter().map(|row| format!("<tr>{}</tr>", cells(row, "td"))).collect();
                let _ = write!(
                    out,
                    "<h2>{}</h2><p>{}</p><p><code>{}</code></p><table><tr>{}</tr>{rows}</table>",
                    escape(&t.title),
                    escape(&t.note),
                    escape(&t.command),
                    cells(&t.header, "th")
                );
            }
            Part::Chart(c) => {
                let _ = write!(
                    out,
                    "<h2>{}</h2><figure>{}<figcaption>{} <code>{}</code></figcaption></figure>",
                    escape(&c.title),
                    c.svg,
                    escape(&c.note),
                    escape(&c.command)
                );
            }
        }
    }
    out + "</html>\n"
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A share as percent with so many decimals.
fn percent(share: f64, decimals: usize) -> String {
    format!("{:.decimals$} %", 100.0 * share)
}
