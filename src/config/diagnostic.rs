//! Problems found in the user's input: where, what, why, and what to write instead. Collects and renders; knows no format and no setting.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Output is laid out for terminals of this many columns.
const COLUMNS: usize = 100;

/// Which source text a [`Place`] is in: a file, or an argument of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(u32);

/// A stretch of a source text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The text.
    pub source: SourceId,
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Place {
    /// The stretch `range` of `source`.
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        Self { source, start: range.start, end: range.end }
    }
}

/// Whether a problem stops the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is loaded.
    Error,
    /// Loaded, but probably not what was meant.
    Warning,
}

/// One problem. Made by the constructor functions of [`super::problem`], or by a reader of another format.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where; `None` for a text that could not be read at all.
    pub place: Option<Place>,
    /// Whether it stops the load.
    pub severity: Severity,
    /// What is wrong: one line without a full stop.
    pub message: String,
    /// Why it matters, or what is there: shown at the caret.
    pub why: String,
    /// What to write instead.
    pub help: String,
    /// Another place that has to do with it, and how.
    pub also: Option<(Place, String)>,
}

impl Problem {
    /// An error at `place`.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), severity: Severity::Error, message: message.into(), why: String::new(), help: String::new(), also: None }
    }

    /// A warning at `place`.
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// An error about a text that has no places, such as a file that could not be read.
    pub fn without_place(message: impl Into<String>) -> Self {
        Self { place: None, severity: Severity::Error, message: message.into(), why: String::new(), help: String::new(), also: None }
    }

    /// The same with a reason, shown at the caret.
    #[must_use]
    pub fn why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// The same with a way out.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// The same with a second place.
    #[must_use]
    pub fn also(self, place: Place, label: impl Into<String>) -> Self {
        Self { also: Some((place, label.into())), ..self }
    }
}

#[derive(Debug, Clone)]
struct Source {
    name: String,
    text: String,
}

/// All problems of one load, with the texts that they are in.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    sources: Vec<Source>,
    problems: RefCell<Vec<Problem>>,
}

impl Diagnostics {
    /// No problems, no texts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a text, so that places can be in it. `name` is what the user calls it: a path as given, or `--set`.
    pub fn add_source(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.sources.push(Source { name: name.into(), text: text.into() });
        SourceId(u32::try_from(self.sources.len() - 1).expect("fewer than 2^32 sources"))
    }

    /// The same texts, about which nothing has been said yet.
    #[must_use]
    pub fn without_problems(&self) -> Self {
        Self { sources: self.sources.clone(), problems: RefCell::default() }
    }

    /// The source of that name, if there is one.
    pub fn find_source(&self, name: &str) -> Option<SourceId> {
        self.sources.iter().zip(0..).find(|(source, _)| source.name == name).map(|(_, number)| SourceId(number))
    }

    /// The text of a source.
    pub fn text(&self, source: SourceId) -> &str {
        &self.sources[source.0 as usize].text
    }

    /// All texts with their names, in the order in which they were taken in.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().map(|source| (source.name.as_str(), source.text.as_str()))
    }

    /// The name of a source.
    pub fn name(&self, source: SourceId) -> &str {
        &self.sources[source.0 as usize].name
    }

    /// The text at a place; empty where the place reaches outside.
    pub fn text_at(&self, place: Place) -> &str {
        self.text(place.source).get(place.start..place.end).unwrap_or_default()
    }

    /// Line and column of a place, both from 1; the column counts characters.
    pub fn line_and_column(&self, place: Place) -> (usize, usize) {
        let text = self.text(place.source);
        let before = &text[..text.floor_char_boundary(place.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Adds a problem.
    pub fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Whether something stops the load.
    pub fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// How many problems stop the load, repeated ones counted each time.
    pub fn error_count(&self) -> usize {
        self.problems.borrow().iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// All problems in the order of the sources and of their positions there, each once (a file read for several variants repeats its own).
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.borrow().clone();
        problems.sort();
        problems.dedup();
        problems
    }

    /// Everything as text for a terminal, with a last line that counts; empty if there is nothing to say.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(COLUMNS);
        let problems = self.problems();
        let mut text = String::new();
        for problem in &problems {
            text.push_str(&renderer.render(&[self.group(problem)]));
            text.push_str("\n\n");
        }
        if !problems.is_empty() {
            text.push_str(&count_line(&problems));
            text.push('\n');
        }
        text
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(problem.message.as_str()).elements(std::iter::empty::<Snippet<'_, annotate_snippets::Annotation<'_>>>());
        if let Some(place) = problem.place {
            let mut snippet = self.snippet(place).annotation(AnnotationKind::Primary.span(self.range(place)).label(label(&problem.why)));
            match &problem.also {
                Some((other, text)) if other.source == place.source => {
                    snippet = snippet.annotation(AnnotationKind::Context.span(self.range(*other)).label(text.as_str()));
                    group = group.element(snippet);
                }
                Some((other, text)) => {
                    let elsewhere = self.snippet(*other).annotation(AnnotationKind::Context.span(self.range(*other)).label(text.as_str()));
                    group = group.element(snippet).element(elsewhere);
                }
                None => group = group.element(snippet),
            }
        } else if !problem.why.is_empty() {
            group = group.element(Level::NOTE.message(problem.why.as_str()));
        }
        if problem.help.is_empty() { group } else { group.element(Level::HELP.message(wrapped(&problem.help))) }
    }

    fn snippet(&self, place: Place) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        Snippet::source(self.text(place.source)).path(self.name(place.source))
    }

    /// A range that lies within the text and between characters, whatever a parser said.
    fn range(&self, place: Place) -> Range<usize> {
        let text = self.text(place.source);
        let start = text.floor_char_boundary(place.start.min(text.len()));
        let end = text.ceil_char_boundary(place.end.min(text.len())).max(start);
        // A header or a table may span lines: its first line says enough.
        let line_end = text[start..end].find('\n').map_or(end, |newline| start + newline);
        start..line_end
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// Breaks lines between words, leaving room for the frame around a message.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = COLUMNS - 14;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        lines.push(String::new());
        for word in line.split(' ') {
            let last = lines.last_mut().expect("pushed above");
            if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(word.to_owned());
            } else {
                last.push_str(if last.is_empty() { "" } else { " " });
                last.push_str(word);
            }
        }
    }
    lines.join("\n")
}

fn label(why: &str) -> Option<&str> {
    if why.is_empty() { None } else { Some(why) }
}

fn count_line(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, problems.len() - errors) {
        (errors, 0) => plural(errors, "error"),
        (0, warnings) => plural(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    }
}
