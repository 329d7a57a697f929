//! What is printed, for people and for programs.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use admmgt::{Error, Record, Status};
use serde::Serialize;
use serde_json::json;

use crate::args::{Format, Shared};
use crate::exit;
use crate::words::as_commands;

/// A value, in the form that was asked for.
pub(crate) fn value(shared: &Shared, value: &(impl Display + Serialize)) {
    match shared.format {
        Format::Human => line(&value.to_string()),
        Format::Json => line(&serde_json::to_string(value).unwrap_or_else(|error| format!("null // {error}"))),
    }
}

pub(crate) fn done(shared: &Shared, words: &str) {
    match shared.format {
        Format::Human => line(words),
        Format::Json => line(&json!({ "done": words }).to_string()),
    }
}

pub(crate) fn error(shared: &Shared, error: &Error) -> ExitCode {
    if let (Format::Human, Some(report)) = (shared.format, error.report().filter(|report| !report.ran.is_empty())) {
        line(&report.to_string());
    }
    refused(shared, error, exit::of_error(error))
}

/// How everything stands, and why nothing could run.
pub(crate) fn check(shared: &Shared, status: &Status, refused: Option<&Error>, code: u8) {
    if shared.format == Format::Json {
        let mut all = json!(status);
        all["refusals"] = json!(refused.map_or(&[][..], Error::refusals));
        all["exit"] = json!(code);
        return line(&all.to_string());
    }
    value(shared, status);
    if let Some(error) = refused {
        problem(shared, &error.to_string(), code);
    }
}

fn refused(shared: &Shared, error: &Error, code: u8) -> ExitCode {
    if shared.format == Format::Json {
        let words = as_commands(&error.to_string(), &shared.program);
        let (refusals, report) = (error.refusals(), error.report());
        line(&json!({ "error": words, "exit": code, "refusals": refusals, "report": report }).to_string());
        return ExitCode::from(code);
    }
    problem(shared, &error.to_string(), code)
}

/// The name that a program was called by, without its folder.
pub(crate) fn program(path: &std::ffi::OsStr) -> String {
    let name = std::path::Path::new(path).file_name().unwrap_or(path);
    name.to_string_lossy().into_owned()
}

pub(crate) fn problem(shared: &Shared, words: &str, code: u8) -> ExitCode {
    let words = &as_commands(words, &shared.program);
    match shared.format {
        Format::Human => eprintln!("error: {words}"),
        Format::Json => line(&json!({ "error": words, "exit": code }).to_string()),
    }
    ExitCode::from(code)
}

pub(crate) fn history(shared: &Shared, records: &[Record]) {
    if shared.format == Format::Json {
        return line(&serde_json::to_string(records).unwrap_or_default());
    }
    if records.is_empty() {
        return line("no history yet");
    }
    for record in records {
        let Record { seq, at, migration, kind, direction, by, host, .. } = record;
        let mut text = format!("{seq:>5}  {at}  {kind:<9}  {direction:<4}  {migration}  by {by} on {host}");
        if let Some(step) = record.step {
            text.push_str(&format!("  statement {step}"));
        }
        if let (Some(detail), None) = (&record.detail, record.step) {
            text.push_str(&format!("  ({detail})"));
        }
        line(&one_line(&text));
    }
}

/// Without what a terminal would obey: names of people and files come from anywhere.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A closed pipe (`admmgt history | head`) is no panic.
fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
