//! HTML as text: escaping, tables, figures with their tables. Decides the page's structure, not what is on it.

use std::fmt::Write;

/// `text` where neither tags nor quotes are meant.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML has no way to write these.
            letter if letter.is_control() && letter != '\n' => escaped.push('\u{FFFD}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// `<p>` with `text`.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// `<p class="note">` with `text`: what qualifies a figure.
pub(super) fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

/// A list of sentences.
pub(super) fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escape(item))).collect();
    if items.is_empty() { items } else { format!("<ul>\n{items}</ul>\n") }
}

/// A section with a heading of the second level; nothing if it has nothing to say.
pub(super) fn section(id: &str, heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{}</h2>\n{content}</section>\n", escape(heading))
}

/// A table: names to the left, the rest to the right or, where it is text, to the left.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    caption: String,
    columns: Vec<String>,
    texts: Vec<usize>,
    rows: Vec<Row>,
}

/// What a row is beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Sum,
    Best,
}

#[derive(Debug, Clone)]
struct Row {
    name: String,
    cells: Vec<String>,
    kind: Kind,
}

impl Table {
    /// A table of that caption; the first column is that of the names.
    pub(super) fn new<S: Into<String>>(caption: &str, columns: impl IntoIterator<Item = S>) -> Self {
        Self { caption: caption.to_owned(), columns: columns.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Columns that hold text, counted from 0 with the names.
    pub(super) fn texts(mut self, columns: &[usize]) -> Self {
        self.texts = columns.to_vec();
        self
    }

    /// Adds a row.
    pub(super) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row { name: name.to_owned(), cells: cells.into_iter().collect(), kind: Kind::Plain });
    }

    /// Adds a row that sums up those above it.
    pub(super) fn sum(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row { name: name.to_owned(), cells: cells.into_iter().collect(), kind: Kind::Sum });
    }

    /// Makes the row of that number stand out, and says why after its name.
    pub(super) fn mark(&mut self, number: usize, why: &str) {
        if let Some(row) = self.rows.get_mut(number) {
            row.kind = Kind::Best;
            row.name = format!("{} ({why})", row.name);
        }
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table in a box that scrolls sideways where it is too wide for the screen.
    pub(super) fn render(&self) -> String {
        let caption = escape(&self.caption);
        let mut html = format!(
            "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table>\n<caption>{caption}</caption>\n<thead><tr>"
        );
        let class = |column: usize| if self.texts.contains(&column) { " class=\"text\"" } else { "" };
        for (at, column) in self.columns.iter().enumerate() {
            match column.as_str() {
                "" => html.push_str("<td></td>"),
                column => {
                    let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(at), escape(column));
                }
            }
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for Row { name, cells, kind } in &self.rows {
            let class_of_row = match kind {
                Kind::Plain => "",
                Kind::Sum => " class=\"sum\"",
                Kind::Best => " class=\"best\"",
            };
            let _ = write!(html, "<tr{}><th scope=\"row\">{}</th>", class_of_row, escape(name));
            for (at, cell) in (1..).zip(cells) {
                let _ = write!(html, "<td{}>{}</td>", class(at), escape(cell));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table></div>\n");
        html
    }
}

/// A chart with what it says in words and, under it, in numbers.
#[derive(Debug)]
pub(super) struct Figure {
    /// Its name within the page.
    pub(super) id: String,
    /// What it shows.
    pub(super) title: String,
    /// How to read it; may be empty.
    pub(super) reading: String,
    /// The drawings: for wide screens and paper, and for narrow screens. Already HTML.
    pub(super) drawings: String,
    /// What stands between caption and drawings: a key. Already HTML.
    pub(super) key: String,
    /// The same figures in numbers.
    pub(super) table: Table,
    /// What has to be said about the numbers; may be empty.
    pub(super) note: String,
}

impl Figure {
    pub(super) fn render(&self) -> String {
        let mut html = format!("<figure id=\"{}\">\n<figcaption><strong>{}</strong>", self.id, escape(&self.title));
        if !self.reading.is_empty() {
            let _ = write!(html, " {}", escape(&self.reading));
        }
        let _ = write!(html, "</figcaption>\n{}{}<details><summary>The same in numbers</summary>\n{}", self.key, self.drawings, self.table.render());
        if !self.note.is_empty() {
            html.push_str(&note(&self.note));
        }
        html.push_str("</details>\n</figure>\n");
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_name_is_text_and_no_markup() {
        let mut table = Table::new("a & b", ["", "<script>"]);
        table.row("\"x\"", ["1 < 2".to_owned()]);
        let html = table.render();
        assert!(html.contains("<th scope=\"col\">&lt;script&gt;</th>") && html.contains("<td>1 &lt; 2</td>"), "{html}");
        assert!(html.contains("aria-label=\"a &amp; b\"") && html.contains(">&quot;x&quot;</th>"), "{html}");
    }

    #[test]
    fn a_section_with_nothing_to_say_is_not_there() {
        assert_eq!(section("a", "A", ""), "");
    }
}
