//! Which entry a model name means, and which names come near an unknown one. Knows names only, no prices.

use std::cmp::Reverse;

use super::entry::Entry;

/// Providers and the prefixes LiteLLM writes for them, in the order in which a bare name is given to a seller: those that made the model first,
/// then the clouds, then hosts of open models. A provider that is not here comes last.
const PROVIDERS: [(&str, &[&str]); 15] = [
    ("openai", &["openai", "text-completion-openai"]),
    ("anthropic", &["anthropic"]),
    ("gemini", &["gemini", "google"]),
    ("vertex", &["vertex_ai", "vertex", "vertex_ai_beta"]),
    ("mistral", &["mistral", "codestral", "text-completion-codestral"]),
    ("cohere", &["cohere", "cohere_chat"]),
    ("deepseek", &["deepseek"]),
    ("xai", &["xai"]),
    ("perplexity", &["perplexity"]),
    ("azure", &["azure", "azure_text"]),
    ("azure_ai", &["azure_ai"]),
    ("bedrock", &["bedrock", "bedrock_converse", "bedrock_mantle"]),
    ("groq", &["groq"]),
    ("together", &["together_ai", "together"]),
    ("fireworks", &["fireworks_ai", "fireworks"]),
];

/// Segments after the provider that choose an API of it, not a model: `bedrock/converse/...`, `openai/responses/...`.
const ROUTES: [&str; 5] = ["responses", "converse", "converse_like", "invoke", "chat"];

/// Most near names that an error offers.
const NEAR_MAX: usize = 3;

/// Every name of a list's entries, sorted, with the entry that it means.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    sorted: Vec<(String, usize)>,
}

impl Names {
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut names: Vec<(String, Rank, usize)> = Vec::with_capacity(entries.len() * 3);
        for (index, entry) in entries.iter().enumerate() {
            let (bare, own_prefix) = bare(entry);
            let rank = |kind| Rank { kind, provider: provider_rank(&entry.provider), own_prefix: Reverse(own_prefix) };
            names.push((entry.model.clone(), rank(0), index));
            names.push((format!("{}/{bare}", entry.provider), rank(1), index));
            // `groq/openai/gpt-oss-20b` must not answer for `openai/gpt-oss-20b`: a stated provider is never another one.
            if bare.split_once('/').is_none_or(|(first, _)| provider_of_prefix(first).is_none()) {
                names.push((bare.to_owned(), rank(2), index));
            }
        }
        names.sort_by(|a, b| (&a.0, &a.1, &entries[a.2].model).cmp(&(&b.0, &b.1, &entries[b.2].model)));
        names.dedup_by(|later, first| later.0 == first.0);
        Self { sorted: names.into_iter().map(|(name, _, index)| (name, index)).collect() }
    }

    /// The entry that `name` means.
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.exact(name).or_else(|| {
            let (prefix, rest) = name.split_once('/')?;
            let provider = provider_of_prefix(prefix)?;
            let rest = rest.split_once('/').filter(|(route, _)| ROUTES.contains(route)).map_or(rest, |(_, model)| model);
            self.exact(&format!("{prefix}/{rest}")).or_else(|| self.exact(&format!("{provider}/{rest}")))
        })
    }

    fn exact(&self, name: &str) -> Option<usize> {
        let position = self.sorted.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(self.sorted[position].1)
    }
}

/// The listed names nearest to `name`, nearest first: within a quarter of its length in edits (two in a short one), or it with another ending.
pub(super) fn near(entries: &[Entry], name: &str) -> Vec<String> {
    let asked = folded(name);
    let asked_model = last_segment(&asked);
    let edits_max = (asked_model.len() / 4).max(2).min(asked_model.len() / 2);
    let mut scored: Vec<(usize, usize, usize, usize, &str)> = Vec::new();
    for entry in entries {
        let known = folded(&entry.model);
        let known_model = last_segment(&known);
        let mut edits = distance(asked_model, known_model);
        let continues = |long: &str, short: &str| short.len() >= 4 && long.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'));
        if continues(asked_model, known_model) || continues(known_model, asked_model) {
            edits = edits.min(2);
        }
        if edits <= edits_max {
            scored.push((edits, provider_rank(&entry.provider), known_model.len().abs_diff(asked_model.len()), entry.model.len(), &entry.model));
        }
    }
    scored.sort_unstable();
    scored.into_iter().take(NEAR_MAX).map(|(.., model)| model.to_owned()).collect()
}

/// Our name of the provider that LiteLLM's `litellm_provider` field means.
pub(super) fn provider_of_litellm(field: &str) -> &str {
    let family = field.split_once("-").map_or(field, |(family, _)| if family == "vertex_ai" || family == "fireworks_ai" { family } else { field });
    provider_of_prefix(family).unwrap_or(field)
}

/// Which of several entries a name goes to; the least wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// 0: the name as listed, 1: `provider/model`, 2: the bare model.
    kind: u8,
    provider: usize,
    own_prefix: Reverse<bool>,
}

fn provider_of_prefix(prefix: &str) -> Option<&'static str> {
    PROVIDERS.iter().find(|(_, prefixes)| prefixes.contains(&prefix)).map(|(provider, _)| *provider)
}

fn provider_rank(provider: &str) -> usize {
    PROVIDERS.iter().position(|(known, _)| *known == provider).unwrap_or(PROVIDERS.len())
}

/// The name without the prefix of its own provider, and whether that was the main prefix: `codestral/...` is Mistral's second one.
fn bare(entry: &Entry) -> (&str, bool) {
    let Some((prefix, rest)) = entry.model.split_once('/') else { return (&entry.model, true) };
    if prefix == entry.provider {
        return (rest, true);
    }
    match PROVIDERS.iter().find(|(provider, _)| *provider == entry.provider) {
        Some((_, prefixes)) if prefixes.contains(&prefix) => (rest, prefixes[0] == prefix),
        _ => (&entry.model, true),
    }
}

fn folded(name: &str) -> String {
    name.chars().map(|letter| if matches!(letter, '.' | '_' | ' ' | '@' | ':') { '-' } else { letter.to_ascii_lowercase() }).collect()
}

fn last_segment(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(byte != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
