//! When two recorded requests are the same one. Decides how an identity is made from what a file has; what it is good for, caches decide.

use crate::gateway::draw::philox;
use crate::gateway::request::Fingerprint;

impl Fingerprint {
    const UNIQUE: u64 = u64::MAX;

    /// The fingerprint of a request that is nobody's duplicate, from its 0-based place in the file.
    pub const fn unique(ordinal: u64) -> Self {
        Self(Self::UNIQUE, ordinal)
    }

    /// The fingerprint with these 128 bits, for requests that no file gives one. Never a unique one.
    pub(in crate::traffic) const fn of_halves([high, low]: [u64; 2]) -> Self {
        Self(if high == Self::UNIQUE { 0 } else { high }, low)
    }

    /// Its 128 bits.
    pub(in crate::traffic) const fn halves(self) -> [u64; 2] {
        [self.0, self.1]
    }

    /// Whether the file gave this request no identity, so that it duplicates nothing.
    pub const fn is_unique(self) -> bool {
        self.0 == Self::UNIQUE
    }

    /// The fingerprint of a text: its own value if it is 32 lower-case hexadecimal digits, a 128-bit hash of it otherwise.
    pub fn of_text(text: &str) -> Self {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex && let (Ok(high), Ok(low)) = (u64::from_str_radix(&text[..16], 16), u64::from_str_radix(&text[16..], 16)) {
            return Self(high, low);
        }
        let bytes = text.as_bytes();
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        Self::of_words(words, bytes.len() as u64)
    }

    /// The fingerprint of a prompt known by its chained block ids and its length in tokens.
    ///
    /// The output length is not part of it: the same prompt is the same request, however long the recorded answer was.
    pub fn of_prompt(blocks: &[u64], input_tokens: u32) -> Self {
        Self::of_words(blocks.iter().copied(), u64::from(input_tokens))
    }

    /// Davies-Meyer over Philox4x32-10: stable for ever, unlike a hasher of a library. Not meant to resist an attacker.
    fn of_words(words: impl Iterator<Item = u64>, length: u64) -> Self {
        let mut state = [0x6777_7369, 0x6d20_6670, 0, 0];
        for word in words.chain([length]) {
            let mixed = philox(word, state);
            for (part, mixed) in state.iter_mut().zip(mixed) {
                *part ^= mixed;
            }
        }
        let [a, b, c, d] = state.map(u64::from);
        let high = a | b << 32;
        Self::of_halves([high, c | d << 32])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_what_it_prints_and_tells_texts_apart() {
        let known = Fingerprint::of_text("00112233445566778899aabbccddeeff");
        assert_eq!(known, Fingerprint(0x0011_2233_4455_6677, 0x8899_aabb_ccdd_eeff));
        let texts = ["", "a", "b", "a\0", "abcdefgh", "abcdefgh\0", "00112233445566778899AABBCCDDEEFF"];
        for (i, a) in texts.iter().enumerate() {
            assert!(!Fingerprint::of_text(a).is_unique());
            for b in &texts[..i] {
                assert_ne!(Fingerprint::of_text(a), Fingerprint::of_text(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_prompt_is_its_blocks_in_order_and_its_length() {
        let of = Fingerprint::of_prompt;
        assert_eq!(of(&[1, 2], 900), of(&[1, 2], 900));
        assert_ne!(of(&[1, 2], 900), of(&[2, 1], 900));
        assert_ne!(of(&[1, 2], 900), of(&[1, 2], 901));
        assert_ne!(of(&[], 1), of(&[1], 0));
    }
}
