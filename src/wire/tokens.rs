//! The tokenizers that are public: which of them a model has, and how many tokens a text is in it. Knows names of models and texts, no requests.
//!
//! `OpenAI` publishes its tokenizers, and with them which model has which. Those of Anthropic, Gemini and whoever else answers at an address are not
//! known here. Counting is linear in the length of a text, whatever is in it: a tokenizer that is not can be kept busy for minutes by a megabyte of
//! one letter. The tables of both are 47 MB of the program; each is loaded with its first count, which takes a tenth of a second.

/// A tokenizer of `OpenAI`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// `cl100k_base`.
    Cl100k,
    /// `o200k_base`.
    O200k,
}

/// Models by the beginning of their names (P, `model.py` of `OpenAI`'s tiktoken, as of October 2026). A name goes on with `-`, or with `:` where it
/// is of a fine-tuned model; one that ends in `*` goes on with anything.
const MODELS: [(&str, Encoding); 16] = [
    ("gpt-5*", Encoding::O200k),
    ("gpt-4.5", Encoding::O200k),
    ("gpt-4.1", Encoding::O200k),
    ("chatgpt-4o", Encoding::O200k),
    ("gpt-4o", Encoding::O200k),
    ("o1", Encoding::O200k),
    ("o3", Encoding::O200k),
    ("o4-mini", Encoding::O200k),
    ("gpt-4", Encoding::Cl100k),
    ("gpt-3.5", Encoding::Cl100k),
    // As Azure names it.
    ("gpt-35-turbo", Encoding::Cl100k),
    ("davinci-002", Encoding::Cl100k),
    ("babbage-002", Encoding::Cl100k),
    ("text-embedding-ada-002", Encoding::Cl100k),
    ("text-embedding-3-small", Encoding::Cl100k),
    ("text-embedding-3-large", Encoding::Cl100k),
];

impl Encoding {
    /// The tokenizer of a model by the name that `OpenAI` has for it, if it is known.
    pub fn of(model: &str) -> Option<Self> {
        let model = model.strip_prefix("ft:").unwrap_or(model);
        let is = |name: &str| match name.strip_suffix('*') {
            Some(name) => model.starts_with(name),
            None => model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':'])),
        };
        MODELS.iter().find(|(name, _)| is(name)).map(|(_, encoding)| *encoding)
    }

    /// The tokens of a text. Words that mean something to a model, as `<|endoftext|>`, are text like any other here, and so more tokens than one.
    pub fn count(self, text: &str) -> u64 {
        let tokenizer = match self {
            Self::Cl100k => bpe_openai::cl100k_base(),
            Self::O200k => bpe_openai::o200k_base(),
        };
        tokenizer.count(text) as u64
    }
}

#[cfg(test)]
mod tests;
