use super::*;

#[test]
fn a_text_has_the_tokens_that_its_tokenizer_makes_of_it() {
    // P: OpenAI's cookbook, "How to count tokens with tiktoken".
    for (text, cl100k, o200k) in [("antidisestablishmentarianism", 6, 6), ("2 + 2 = 4", 7, 7), ("お誕生日おめでとう", 9, 8), ("", 0, 0)] {
        assert_eq!((Encoding::Cl100k.count(text), Encoding::O200k.count(text)), (cl100k, o200k), "{text}");
    }
}

#[test]
fn words_that_mean_something_to_a_model_are_text() {
    for encoding in [Encoding::Cl100k, Encoding::O200k] {
        assert!(encoding.count("<|endoftext|>") > 1);
        assert!(encoding.count("<|im_start|>system") > 2);
    }
}

#[test]
fn a_long_run_of_anything_is_counted() {
    // A tokenizer that takes time by the square of a word's length would be at this for minutes.
    let texts = ["a", "A", " ", "\n", "\n ", "!", "é", "漢", "e\u{301}", "\u{200d}", "0", "'s", "aA"];
    for text in texts {
        let long = text.repeat((1 << 17) / text.len());
        for encoding in [Encoding::Cl100k, Encoding::O200k] {
            let tokens = encoding.count(&long);
            assert!(tokens > 0 && tokens <= long.len() as u64, "{text:?}");
        }
    }
}

#[test]
fn models_have_the_tokenizers_that_openai_names() {
    let of = |model| Encoding::of(model);
    for model in ["gpt-4o", "gpt-4o-mini-2024-07-18", "chatgpt-4o-latest", "gpt-4.1-nano", "gpt-5", "gpt-5.1-codex", "o1", "o3-mini", "o4-mini"] {
        assert_eq!(of(model), Some(Encoding::O200k), "{model}");
    }
    for model in ["gpt-4", "gpt-4-turbo", "gpt-3.5-turbo-0125", "gpt-35-turbo", "text-embedding-3-large", "davinci-002"] {
        assert_eq!(of(model), Some(Encoding::Cl100k), "{model}");
    }
    assert_eq!(of("ft:gpt-4o-mini-2024-07-18:acme::1"), Some(Encoding::O200k));
    assert_eq!(of("ft:gpt-3.5-turbo:acme::1"), Some(Encoding::Cl100k));
    for model in ["claude-sonnet-4-5", "gemini-2.5-pro", "gpt-oss-120b", "gpt-40", "o1x", "openai/gpt-4o", "my-deployment", ""] {
        assert_eq!(of(model), None, "{model}");
    }
}
