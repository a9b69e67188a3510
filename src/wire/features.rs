//! What the words of a request may ask for beyond the common, as bits of the core's [`Features`], and who can express it. Decides no route.
//!
//! A bit says that the *dialect* has words for something, never that a model is able to do it: that is the provider's to say.

use super::Dialect;
use crate::gateway::features::Features;
use crate::gateway::plan::ServiceClass;

/// `POST /v1/chat/completions`, by itself or through translation.
pub const CHAT: Features = Features::of(0);
/// `POST /v1/completions`.
pub const COMPLETIONS: Features = Features::of(1);
/// `POST /v1/embeddings`.
pub const EMBEDDINGS: Features = Features::of(2);
/// `POST /v1/responses`.
pub const RESPONSES: Features = Features::of(3);
/// `POST /v1/messages`, by itself or through translation.
pub const MESSAGES: Features = Features::of(4);
/// `POST /v1/messages/count_tokens`.
pub const COUNT_TOKENS: Features = Features::of(5);
/// Functions that the model may call, and their results.
pub const TOOLS: Features = Features::of(6);
/// Several calls of tools in one turn, or a word on whether there may be.
pub const PARALLEL_TOOLS: Features = Features::of(7);
/// Images in the input.
pub const IMAGES: Features = Features::of(8);
/// Sound in the input or the output.
pub const AUDIO: Features = Features::of(9);
/// PDFs and other files in the input, as data.
pub const DOCUMENTS: Features = Features::of(10);
/// An output that follows a JSON schema.
pub const JSON_SCHEMA: Features = Features::of(11);
/// An output that is some JSON object.
pub const JSON_OBJECT: Features = Features::of(12);
/// Log probabilities of tokens.
pub const LOGPROBS: Features = Features::of(13);
/// More than one answer.
pub const CHOICES: Features = Features::of(14);
/// A predicted output.
pub const PREDICTION: Features = Features::of(15);
/// A word on how much to think: `reasoning_effort`, `thinking`.
pub const REASONING: Features = Features::of(16);
/// Thinking of earlier turns, signed by the provider that it came from.
pub const SIGNED_THINKING: Features = Features::of(17);
/// Tools that the provider runs itself: search, code, files, connectors.
pub const HOSTED_TOOLS: Features = Features::of(18);
/// Tools that are no functions: free text, grammars, computers.
pub const CUSTOM_TOOLS: Features = Features::of(19);
/// Input that the provider keeps: earlier responses, uploaded files, prompts by name.
pub const STORED: Features = Features::of(20);
/// `functions` and `function_call`, the tools of 2023.
pub const FUNCTIONS: Features = Features::of(21);
/// `logit_bias`, `frequency_penalty`, `presence_penalty` with a value that changes the answer.
pub const PENALTIES: Features = Features::of(22);
/// `top_k`.
pub const TOP_K: Features = Features::of(23);
/// The beginning of the answer as a last message of the assistant, to be gone on from.
pub const PREFILL: Features = Features::of(24);
/// Search on the web by an option of the request, not by a tool.
pub const WEB_SEARCH: Features = Features::of(25);

/// Words that only `OpenAI`'s dialect has: no translation of the request says the same.
pub const OPENAI_WORDS: Features = Features::of(26);
/// Words that only Anthropic's dialect has: no translation of the request says the same.
pub const ANTHROPIC_WORDS: Features = Features::of(27);

/// A field, role or part that translation does not know, or can't say: see [`super::translate`].
pub const UNTRANSLATED: Features = Features::of(28);

/// No class of service below the provider's standard one: all that does not ask for a cheaper one by name.
pub const STANDARD_SERVICE: Features = Features::of(29);
/// A class of service that costs more than the standard one.
pub const PREMIUM_SERVICE: Features = Features::of(30);
/// Tools that the provider runs itself and bills by their uses: no count of tokens bounds what they cost.
pub const BILLED_TOOLS: Features = Features::of(31);

/// What a request requires of the class of service that a deployment's rates are of.
pub const fn of_service(class: ServiceClass) -> Features {
    match class {
        ServiceClass::Economy => Features::NONE,
        ServiceClass::Standard => STANDARD_SERVICE,
        ServiceClass::Premium => STANDARD_SERVICE.and(PREMIUM_SERVICE),
    }
}

/// The class of service that a word under `service_tier` stands for, in a request or an answer. `auto` is what the account is set to, which is the
/// standard one unless somebody has changed it; `scale` is capacity that is paid by the hour. A word that is not known may cost anything.
pub fn service_of(word: &[u8]) -> ServiceClass {
    match word {
        b"flex" | b"batch" => ServiceClass::Economy,
        b"auto" | b"default" | b"standard" | b"standard_only" | b"on_demand" | b"scale" => ServiceClass::Standard,
        _ => ServiceClass::Premium,
    }
}

/// What of a request in `OpenAI`'s dialect can be said in Anthropic's ([`super::translate`]).
pub const FROM_OPENAI: Features = CHAT.and(TOOLS).and(PARALLEL_TOOLS).and(IMAGES).and(REASONING).and(of_service(ServiceClass::Premium));
/// What of a request in Anthropic's dialect can be said in `OpenAI`'s.
pub const FROM_ANTHROPIC: Features =
    MESSAGES.and(TOOLS).and(PARALLEL_TOOLS).and(IMAGES).and(REASONING).and(SIGNED_THINKING).and(of_service(ServiceClass::Premium));

/// What a request in `dialect` requires that uses `used`: that, and a target of its own dialect if translation can't say it all.
pub const fn required(dialect: Dialect, used: Features) -> Features {
    let (translated, words) = match dialect {
        Dialect::OpenAi => (FROM_OPENAI, OPENAI_WORDS),
        Dialect::Anthropic => (FROM_ANTHROPIC, ANTHROPIC_WORDS),
    };
    if translated.have(used) { used } else { used.and(words) }
}

/// Who answers at an address, as far as it matters for what can be asked there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `OpenAI`, or a copy of its API at another address.
    OpenAi,
    /// `OpenAI` on Azure.
    Azure,
    /// Gemini's endpoint in `OpenAI`'s dialect.
    Gemini,
    /// Anthropic, or a copy of its API at another address.
    Anthropic,
}

impl Service {
    /// What it speaks.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::OpenAi | Self::Azure | Self::Gemini => Dialect::OpenAi,
            Self::Anthropic => Dialect::Anthropic,
        }
    }

    /// What a request that is sent there may require: all that its own dialect has words for, and through translation what both have.
    pub const fn offers(self) -> Features {
        match self {
            Self::OpenAi | Self::Azure => Features::ALL.without(ANTHROPIC_WORDS),
            // Google's page on the endpoint lists chat, embeddings and models (S).
            Self::Gemini => Features::ALL.without(ANTHROPIC_WORDS).without(COMPLETIONS).without(RESPONSES),
            Self::Anthropic => Features::ALL.without(OPENAI_WORDS),
        }
    }
}
