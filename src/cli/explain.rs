//! `gwsim explain`: why one request cost what it cost, or which ones cost most. Finds them in a report's files; the words are
//! [`crate::report::explain`]'s.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{ExplainArguments, Format};
use super::{Exit, Failure, Printer, reports};
use crate::journal::is_journal;
use crate::report::numbers::count;
use crate::report::requests::file::{CALLS, REQUESTS, read};
use crate::report::requests::{CallRow, RequestName, RequestRow, journal};
use crate::report::{Report, explain as words};

/// Tells a request's story in every variant or one, or lists the dearest requests.
///
/// # Errors
/// If there is no such report, request or variant, or the report was made without its requests.
pub fn explain(arguments: &ExplainArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    if is_journal(&arguments.report) {
        return tell(of_journal(arguments)?, arguments, printer);
    }
    let report = reports::open(&arguments.report)?;
    if let Some(name) = &arguments.variant {
        reports::variant(&report, name)?;
    }
    let (requests, calls) = files(&arguments.report)?;
    let is_meant = |variant: &str| arguments.variant.as_ref().is_none_or(|meant| meant == variant);
    let told = match (&arguments.id, arguments.worst) {
        (_, Some(most)) => worst(&requests, most as usize, arguments.variant.as_ref().unwrap_or(&report.variants[report.reference].name))?
            .into_iter()
            .map(|request| Story { request, calls: None })
            .collect(),
        (Some(id), None) => one(&report, id, (&requests, &calls), &is_meant)?,
        (None, None) => return Err(Failure::usage(WHICH)),
    };
    tell(told, arguments, printer)
}

/// Prints what there is to be told.
fn tell(told: Vec<Story>, arguments: &ExplainArguments, printer: &mut Printer) -> Result<Exit, Failure> {
    let text = match arguments.format {
        Format::Json => serde_json::to_string_pretty(&told).map_err(Failure::internal)? + "\n",
        Format::Text if arguments.worst.is_some() => words::worst(&told.into_iter().map(|story| story.request).collect::<Vec<_>>()),
        Format::Text => {
            told.iter().map(|story| words::story(&story.request, story.calls.as_deref().unwrap_or_default())).collect::<Vec<_>>().join("\n")
        }
    };
    printer.result(&text)?;
    Ok(Exit::Pass)
}

/// What an error says where no request is named.
const WHICH: &str = "which request? its number, or --worst 10";

/// The request of a journal that is meant, or its dearest ones.
fn of_journal(arguments: &ExplainArguments) -> Result<Vec<Story>, Failure> {
    if arguments.variant.is_some() {
        return Err(Failure::usage("a journal has no variants\nhint: leave out --variant"));
    }
    let wrong = |id: &String| Failure::usage(format!("`{id}` is no request\nhint: the number that its answer's x-gwsim-request-id says"));
    let only = arguments.id.as_ref().map(|id| id.parse::<u64>().map_err(|_| wrong(id))).transpose()?;
    let mut told: Vec<Story> = Vec::new();
    let most = arguments.worst.map_or(usize::MAX, |most| most as usize);
    journal::read(&arguments.report, only, |chunk| {
        for request in chunk.requests {
            let calls = chunk.calls.iter().filter(|call| call.request == request.request).cloned().collect();
            told.push(Story { request, calls: Some(calls).filter(|_| only.is_some()) });
        }
        if told.len() / 2 > most {
            keep_dearest(&mut told, most);
        }
    })
    .map_err(Failure::incomplete)?;
    match (only, arguments.worst) {
        (Some(id), _) if told.is_empty() => {
            Err(Failure::usage(format!("no request {id} that is over\nhint: --worst 10 lists the dearest; one in flight is not told of yet")))
        }
        (None, None) => Err(Failure::usage(WHICH)),
        (None, Some(_)) if told.is_empty() => Err(Failure::usage("the journal has no requests that are over")),
        _ => {
            keep_dearest(&mut told, most);
            Ok(told)
        }
    }
}

fn keep_dearest(told: &mut Vec<Story>, most: usize) {
    let by = |story: &Story| (std::cmp::Reverse(story.request.cost_picousd), story.request.name());
    told.sort_by_key(by);
    told.truncate(most);
}

/// What is told of a request.
#[derive(Serialize)]
struct Story {
    request: RequestRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<Vec<CallRow>>,
}

/// The files of a report's requests and calls.
///
/// # Errors
/// If it was made without them.
pub(super) fn files(report: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let file = crate::report::read::file(report);
    let (requests, calls) = (file.with_file_name(REQUESTS), file.with_file_name(CALLS));
    if requests.exists() && calls.exists() {
        return Ok((requests, calls));
    }
    let why = format!("{} has no {REQUESTS} and {CALLS}: it was made without its requests", report.display());
    Err(Failure::usage(format!("{why}\nhint: run its scenario again with `gwsim run SCENARIO --requests`")))
}

fn worst(requests: &Path, most: usize, variant: &str) -> Result<Vec<RequestRow>, Failure> {
    let mut found: Vec<RequestRow> = Vec::new();
    let seen = read(requests, |mut rows: Vec<RequestRow>| {
        rows.retain(|row| row.variant == variant);
        found.append(&mut rows);
        // Equal ones in the order of the traffic, so that a tie has one answer.
        found.sort_by(|a, b| b.cost_picousd.cmp(&a.cost_picousd).then_with(|| a.name().cmp(&b.name())));
        found.truncate(most);
        true
    });
    seen.map_err(|error| Failure::usage(format!("{}: {error}", requests.display())))?;
    if found.is_empty() { Err(Failure::usage("the report has no requests")) } else { Ok(found) }
}

fn one(report: &Report, id: &str, (requests, calls): (&Path, &Path), is_meant: &dyn Fn(&str) -> bool) -> Result<Vec<Story>, Failure> {
    let wrong = || Failure::usage(format!("`{id}` is no request\nhint: its number in the traffic, from 1: 17, or 17.1 for its client's first retry"));
    let name = RequestName::parse(id).ok_or_else(wrong)?;
    let unreadable = |error: polars::error::PolarsError| Failure::usage(format!("{}: {error}", requests.display()));
    let mut found: Vec<RequestRow> = Vec::new();
    let look = |rows: Vec<RequestRow>| {
        found.extend(rows.into_iter().filter(|row| row.name() == name && is_meant(&row.variant)));
        true
    };
    read(requests, look).map_err(unreadable)?;
    if found.is_empty() {
        let known = count(report.traffic.requests);
        let retries = if name.retry > 0 { ", and not every client retries" } else { "" };
        return Err(Failure::usage(format!("no request {name}: the traffic has {known} requests{retries}\nhint: --worst 10 lists the dearest")));
    }
    let mut made: Vec<CallRow> = Vec::new();
    let look = |rows: Vec<CallRow>| {
        made.extend(rows.into_iter().filter(|row| row.request == name.row && row.retry == name.retry && is_meant(&row.variant)));
        true
    };
    read(calls, look).map_err(unreadable)?;
    let order = |variant: &str| report.variants.iter().position(|known| known.name == variant);
    found.sort_by_key(|row| order(&row.variant));
    let story = |request: RequestRow| {
        let calls = made.iter().filter(|call| call.variant == request.variant).cloned().collect();
        Story { request, calls: Some(calls) }
    };
    Ok(found.into_iter().map(story).collect())
}
