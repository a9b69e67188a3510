//! The language of the twin: how many tokens a text has, texts of so many tokens, and the marker by which traffic says what answer it stands for.
//! Knows no dialect.
//!
//! A token is four bytes of text, the last one of a text maybe fewer. Every word here has three letters and a space, so that a text of `n` words has
//! `n` tokens, and a gateway that takes four bytes for a token is right about it (about 4 characters a token is also OpenAI's rule of thumb for
//! English; S).

use crate::gateway::draw::{self, Purpose};

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 4;

/// Three letters each; the number is a power of two.
const WORDS: [&str; 64] = [
    "air", "ant", "arm", "art", "ash", "bay", "bed", "bee", "box", "bus", "cap", "car", "cat", "cow", "cup", "day", "dew", "dog", "ear", "egg",
    "elm", "eye", "fan", "fig", "fir", "fly", "fog", "fox", "gem", "hat", "hay", "hen", "ice", "ink", "ivy", "jam", "jar", "jay", "key", "lap",
    "leg", "log", "map", "mud", "net", "nut", "oak", "oar", "owl", "pea", "pen", "pie", "pot", "ray", "rye", "sea", "sky", "sun", "tea", "toe",
    "van", "wax", "yak", "zoo",
];

const OPENS: &str = "[[gwsim";
const CLOSES: &str = "]]";

/// The tokens of a text that has no marker.
pub fn tokens(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX)
}

/// Appends a text without its markers.
pub fn append(mut text: &str, onto: &mut String) {
    while let Some((marker, after)) = next_marker(text) {
        onto.push_str(&text[..text.len() - after.len() - marker.len()]);
        text = after;
    }
    onto.push_str(text);
}

/// Appends words `from` up to `to` of the endless text that `subject` stands for.
pub fn write(subject: u64, from: u32, to: u32, text: &mut String) {
    text.reserve((to.saturating_sub(from)) as usize * TOKEN_BYTES);
    for number in from..to {
        // Ten words of 6 bits from one draw.
        let bits = draw::bits(0, subject, Purpose::Traffic, number / 10);
        text.push_str(WORDS[(bits >> (number % 10 * 6)) as usize % WORDS.len()]);
        text.push(' ');
    }
}

/// What a marker asks for. What it leaves out is up to the world.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marker {
    /// Output tokens of the whole answer, if nothing limits it.
    pub output: Option<u32>,
    /// Tokens in a block of the prompt, for the provider's prompt cache; 0 if nothing of it is ever found there.
    pub block: Option<u32>,
    /// Tells prompts apart that have the same text.
    pub id: Option<u64>,
    /// The answer is a call of the first tool offered.
    pub tool: bool,
    /// The provider's model that counts tokens as they are written here; others may count otherwise.
    pub counted_by: Option<String>,
}

impl Marker {
    /// The last marker in a text, if there is one: `[[gwsim output=350 block=128 id=2a tool]]`, in any order. What
    /// is not known there is passed over.
    pub fn find(text: &str) -> Option<Self> {
        let (mut found, mut rest) = (None, text);
        while let Some((marker, after)) = next_marker(rest) {
            found = Some(Self::read(marker));
            rest = after;
        }
        found
    }

    fn read(text: &str) -> Self {
        let inner = &text[OPENS.len()..text.len() - CLOSES.len()];
        let mut marker = Self::default();
        for word in inner.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("output", number)) => marker.output = number.parse().ok(),
                Some(("block", number)) => marker.block = number.parse().ok(),
                Some(("counted_by", model)) => marker.counted_by = Some(model.to_owned()),
                Some(("id", digits)) => marker.id = u64::from_str_radix(digits, 16).ok(),
                None if word == "tool" => marker.tool = true,
                _ => {}
            }
        }
        marker
    }
}

impl std::fmt::Display for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(OPENS)?;
        self.output.map_or(Ok(()), |tokens| write!(f, " output={tokens}"))?;
        self.block.map_or(Ok(()), |tokens| write!(f, " block={tokens}"))?;
        self.id.map_or(Ok(()), |id| write!(f, " id={id:016x}"))?;
        self.counted_by.as_ref().map_or(Ok(()), |model| write!(f, " counted_by={model}"))?;
        f.write_str(if self.tool { " tool" } else { "" })?;
        f.write_str(CLOSES)
    }
}

/// The first marker in a text, and what comes after it.
fn next_marker(text: &str) -> Option<(&str, &str)> {
    let from = text.find(OPENS)?;
    let to = from + text[from..].find(CLOSES)? + CLOSES.len();
    Some((&text[from..to], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_so_many_words_has_so_many_tokens() {
        for (from, to) in [(0, 0), (0, 1), (0, 350), (17, 4_000)] {
            let mut text = String::new();
            write(7, from, to, &mut text);
            assert_eq!(tokens(&text), to - from);
        }
        assert!(WORDS.iter().all(|word| word.len() + 1 == TOKEN_BYTES));
    }

    #[test]
    fn a_text_goes_on_where_it_was_left_and_others_are_others() {
        let part = |subject, from, to| {
            let mut text = String::new();
            write(subject, from, to, &mut text);
            text
        };
        assert_eq!(part(1, 0, 5) + &part(1, 5, 40), part(1, 0, 40));
        assert_ne!(part(1, 0, 40), part(2, 0, 40));
    }

    #[test]
    fn a_marker_is_read_wherever_it_stands_and_is_no_text() {
        let counted_by = Some("claude-3-haiku".to_owned());
        let marker = Marker { output: Some(350), block: Some(512), id: Some(0xfe), tool: true, counted_by };
        let text = format!("cat {marker}dog {marker}sun ");
        let mut plain = String::new();
        append(&text, &mut plain);
        assert_eq!((Marker::find(&text), plain.as_str()), (Some(marker), "cat dog sun "));
        assert_eq!(Marker::find("[[gwsim output=7]] [[gwsim tool]]"), Some(Marker { tool: true, ..Marker::default() }), "the last one counts");
        assert_eq!(Marker::find("[[gwsim output=many block= colour=red]]"), Some(Marker::default()));
        assert_eq!((Marker::find("[[gwsim output=7"), Marker::find("no")), (None, None));
    }
}
