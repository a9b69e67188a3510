//! How many tokens an image is billed as, by the rules that providers publish, from its size where the request shows it. Sees no pixels.
//!
//! | provider | rule | most |
//! |---|---|---|
//! | `OpenAI`, tiles (P, its guide to vision) | fitted into 2048 x 2048, shorter side to 768, then 85 + 170 for each tile of 512 x 512 | 1,445 |
//! | `gpt-4o-mini` (P) | the same tiles at 2,833 + 5,667 | 48,169 |
//! | `OpenAI`, patches (P) | patches of 32 x 32, at most 1,536, times 1.62 to 2.46 | 3,779 |
//! | Anthropic (P; S for the largest) | width x height / 750, or patches of 28 x 28; models up to 4.6 about 1,600 | 4,784 |
//! | Gemini (S) | 258 for each tile of 768 x 768 | by size |
//!
//! An image that shows no size, and one whose detail is `original`, is bounded by 20,000 (U).

use super::json::Value;

/// What the images of a request come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Images {
    /// How many there are.
    pub count: u32,
    /// An estimate of their tokens.
    pub tokens: u64,
    /// The most tokens on any model but the dear ones.
    pub tokens_max: u64,
    /// The most tokens on any model.
    pub tokens_max_dear: u64,
}

impl Images {
    /// These and another.
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.tokens += other.tokens;
        self.tokens_max += other.tokens_max;
        self.tokens_max_dear += other.tokens_max_dear;
    }
}

/// Whether a model counts images at 33 times what others do, so that they cost the same in dollars (P, `OpenAI`'s guide to vision).
pub fn is_dear(model: &str) -> bool {
    model.contains("4o-mini")
}

/// Tokens of an image that shows no size, in the estimate: 1024 x 1024 at `OpenAI`.
const UNKNOWN: u64 = 765;
/// The most tokens of an image that shows no size.
const UNKNOWN_MAX: u64 = 20_000;
const DEAR_MAX: u64 = 2833 + 8 * 5667;
const ANTHROPIC_MAX: u64 = 4784;
const PATCHES_MAX: u64 = 1536;
/// Sides beyond this are no image that anybody takes.
const SIDE_MAX: u64 = 100_000;

/// The image of a part of a message, in either dialect.
pub(super) fn read(part: Value<'_>) -> Images {
    let url = part.some("image_url").map(|url| url.some("url").unwrap_or(url));
    let source = part.some("source");
    let data = source.and_then(|source| source.some("data")).and_then(Value::string_raw);
    let inline = url.and_then(Value::string_raw).and_then(|url| url.strip_prefix("data:")).and_then(|url| url.split_once("base64,"));
    let detail = part.some("detail").or_else(|| part.some("image_url").and_then(|url| url.some("detail")));
    let original = detail.is_some_and(|detail| detail.is("original"));
    let size = data.or(inline.map(|(_, data)| data)).and_then(size);
    size.filter(|_| !original).map_or(UNSEEN, |(width, height)| measured(width, height))
}

const UNSEEN: Images = Images { count: 1, tokens: UNKNOWN, tokens_max: UNKNOWN_MAX, tokens_max_dear: DEAR_MAX };

fn measured(width: u64, height: u64) -> Images {
    let tiles = tiles(width, height);
    let by_tiles = 85 + 170 * tiles;
    // 2.46, rounded up.
    let by_patches = ((width.div_ceil(32) * height.div_ceil(32)).min(PATCHES_MAX) * 246).div_ceil(100);
    let at_anthropic = (width.div_ceil(28) * height.div_ceil(28)).max((width * height).div_ceil(750)).min(ANTHROPIC_MAX);
    let at_gemini = 258 * width.div_ceil(768) * height.div_ceil(768);
    let most = by_tiles.max(by_patches).max(at_anthropic).max(at_gemini);
    Images { count: 1, tokens: by_tiles.min(most), tokens_max: most, tokens_max_dear: (2833 + 5667 * tiles).max(most) }
}

/// Tiles of 512 x 512 once the image is fitted, rounded up at every step.
fn tiles(width: u64, height: u64) -> u64 {
    let (mut width, mut height) = (width, height);
    let fit = |width: u64, height: u64, of: u64, to: u64| ((width * to).div_ceil(of), (height * to).div_ceil(of));
    if width.max(height) > 2048 {
        (width, height) = fit(width, height, width.max(height), 2048);
    }
    if width.min(height) > 768 {
        (width, height) = fit(width, height, width.min(height), 768);
    }
    width.div_ceil(512) * height.div_ceil(512)
}

/// Width and height of an image in base64, from its first bytes.
fn size(data: &str) -> Option<(u64, u64)> {
    // JPEG may have a preview and colours before its size; PNG, GIF and WebP say it at once.
    let head = decode(data.as_bytes(), 64 << 10);
    let found = png(&head).or_else(|| gif(&head)).or_else(|| webp(&head)).or_else(|| jpeg(&head));
    found.filter(|(width, height)| (1..=SIDE_MAX).contains(width) && (1..=SIDE_MAX).contains(height))
}

fn png(head: &[u8]) -> Option<(u64, u64)> {
    let rest = head.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    (rest.get(4..8)? == b"IHDR").then_some(())?;
    Some((big(rest.get(8..12)?), big(rest.get(12..16)?)))
}

fn gif(head: &[u8]) -> Option<(u64, u64)> {
    let rest = head.strip_prefix(b"GIF87a").or_else(|| head.strip_prefix(b"GIF89a"))?;
    Some((little(rest.get(0..2)?), little(rest.get(2..4)?)))
}

fn webp(head: &[u8]) -> Option<(u64, u64)> {
    (head.get(..4)? == b"RIFF" && head.get(8..12)? == b"WEBP").then_some(())?;
    match head.get(12..16)? {
        b"VP8X" => Some((little(head.get(24..27)?) + 1, little(head.get(27..30)?) + 1)),
        b"VP8 " => Some((little(head.get(26..28)?) & 0x3FFF, little(head.get(28..30)?) & 0x3FFF)),
        b"VP8L" => {
            let bits = little(head.get(21..25)?);
            Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        _ => None,
    }
}

fn jpeg(head: &[u8]) -> Option<(u64, u64)> {
    let mut rest = head.strip_prefix(b"\xff\xd8")?;
    loop {
        let marker = *rest.get(1)?;
        if rest[0] != 0xFF {
            return None;
        }
        match marker {
            // Padding before a marker.
            0xFF => rest = &rest[1..],
            // Frames; the others in their range are tables.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => return Some((big(rest.get(7..9)?), big(rest.get(5..7)?))),
            _ => rest = rest.get(2 + usize::try_from(big(rest.get(2..4)?)).ok()?..)?,
        }
    }
}

fn big(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// At most `most` bytes of what base64 stands for; stops where it is none.
fn decode(data: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in data {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            // A slash may be escaped in JSON.
            b'\\' => continue,
            _ => break,
        };
        (bits, held) = (bits << 6 | u32::from(sextet), held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xFF) as u8);
            if out.len() == most {
                break;
            }
        }
    }
    out
}

#[cfg(test)]
pub(in crate::wire) mod tests;
