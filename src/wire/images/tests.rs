use super::super::json::Document;
use super::*;

/// Bytes in base64, with no padding.
pub(in crate::wire) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets = bytes.chunks(3).flat_map(|three| {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).map(move |at| word >> (18 - 6 * at) & 63)
    });
    sextets.map(|sextet| char::from(ALPHABET[sextet as usize])).collect()
}

/// The front of a PNG.
pub(in crate::wire) fn png_of(width: u32, height: u32) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &width.to_be_bytes(), &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat()
}

#[test]
fn sizes_are_read_from_the_front_of_every_format() {
    let jpeg = |frame: u8| {
        let app: &[u8] = &[0xFF, 0xD8, 0xFF, 0xE0, 0, 6, 1, 2, 3, 4, 0xFF, 0xFF];
        [app, &[frame, 0, 17, 8], &600u16.to_be_bytes(), &800u16.to_be_bytes(), &[3]].concat()
    };
    let riff = |kind: &[u8], rest: &[u8]| [b"RIFF\0\0\0\0WEBP", kind, &[0; 4], rest].concat();
    let (width, height) = (800u32, 600u32);
    let lossless = ((width - 1) | (height - 1) << 14).to_le_bytes();
    let formats = [
        png_of(width, height),
        [b"GIF89a".as_slice(), &800u16.to_le_bytes(), &600u16.to_le_bytes(), &[0]].concat(),
        jpeg(0xC0),
        jpeg(0xC2),
        riff(b"VP8X", &[&[0; 4], &799u32.to_le_bytes()[..3], &599u32.to_le_bytes()[..3]].concat()),
        riff(b"VP8 ", &[&[0; 6][..], &800u16.to_le_bytes(), &600u16.to_le_bytes()].concat()),
        riff(b"VP8L", &[&[0x2F][..], &lossless].concat()),
    ];
    for format in formats {
        assert_eq!(size(&base64(&format)), Some((800, 600)), "{:?}", &format[..12]);
    }
    assert_eq!(size("AAAA"), None);
    assert_eq!(size(&base64(&png_of(0, 5))), None);
    assert_eq!(size("<not base64>"), None);
}

#[test]
fn tokens_follow_the_published_examples() {
    // OpenAI's guide: 1024 x 1024 is 765 tokens, 2048 x 4096 is 1,105.
    assert_eq!(measured(1024, 1024).tokens, 765);
    assert_eq!(measured(2048, 4096).tokens, 1105);
    assert_eq!(measured(1024, 1024).tokens_max_dear, 2833 + 4 * 5667);
    // Anthropic's table: 1000 x 1000 is about 1,334; patches of 32 make more of it at OpenAI.
    assert!(measured(1000, 1000).tokens_max >= 1334);
}

#[test]
fn an_image_of_any_shape_is_within_the_bounds_of_one_that_shows_no_size() {
    for (width, height) in [(1, 1), (1, 4000), (512, 512), (769, 769), (2048, 768), (6000, 6000), (8000, 3)] {
        let image = measured(width, height);
        assert!(image.tokens <= image.tokens_max && image.tokens_max <= image.tokens_max_dear, "{width} x {height}: {image:?}");
        assert!(image.tokens_max <= UNKNOWN_MAX && image.tokens_max_dear <= DEAR_MAX.max(UNKNOWN_MAX), "{width} x {height}: {image:?}");
    }
}

#[test]
fn both_dialects_show_the_size_of_what_they_carry() {
    let data = base64(&png_of(1024, 1024));
    let of = |text: &str| read(Document::parse(text.as_bytes()).unwrap().root(text.as_bytes())).tokens;
    assert_eq!(of(&format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}"#)), 765);
    assert_eq!(of(&format!(r#"{{"type":"input_image","image_url":"data:image/png;base64,{data}"}}"#)), 765);
    assert_eq!(of(&format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}"#)), 765);
    assert_eq!(of(r#"{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}"#), UNKNOWN);
}
