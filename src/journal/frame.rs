//! Frames: how anything lies in a file of the journal, so that a torn end and a rotten middle are told apart. Knows no turns.
//!
//! A frame is a CRC-32, the length of its payload, and the payload, whose first byte says what it is. The checksum covers the length too.

/// Bytes before the payload.
const HEAD: usize = 8;

/// What a frame is: the first byte of its payload.
pub(super) mod kind {
    /// What a file is, in its first frame.
    pub(in crate::journal) const HEAD: u8 = 1;
    /// All facts of one turn.
    pub(in crate::journal) const TURN: u8 = 2;
    /// A piece of a checkpoint.
    pub(in crate::journal) const PIECE: u8 = 3;
    /// The end of a checkpoint.
    pub(in crate::journal) const END: u8 = 4;
}

/// What is at a place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole frame: its kind, the rest of its payload, and where the next one begins.
    Frame(u8, &'a [u8], usize),
    /// The end of the file.
    End,
    /// No whole frame, and why.
    Broken(&'static str),
}

/// Begins a frame at the end of `bytes`; what is put there until [`end`] is its payload. Returns where it began.
pub(super) fn begin(bytes: &mut Vec<u8>, kind: u8) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, kind]);
    start
}

/// Ends the frame that began at `start`.
///
/// # Panics
/// If its payload has 4 GiB or more.
pub(super) fn end(bytes: &mut [u8], start: usize) {
    let length = u32::try_from(bytes.len() - start - HEAD).expect("a frame is shorter than 4 GiB");
    bytes[start + 4..start + HEAD].copy_from_slice(&length.to_le_bytes());
    let sum = crc32fast::hash(&bytes[start + 4..]);
    bytes[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

/// The frame at `offset`.
pub(super) fn at(bytes: &[u8], offset: usize) -> Found<'_> {
    let rest = &bytes[offset.min(bytes.len())..];
    if rest.is_empty() {
        return Found::End;
    }
    let number = |at: usize| rest.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
    let (Some(sum), Some(length)) = (number(0), number(4)) else { return Found::Broken("it ends in the head of a frame") };
    let Some(payload) = rest.get(HEAD..HEAD + length as usize) else { return Found::Broken("it ends within a frame") };
    let Some((kind, body)) = payload.split_first() else { return Found::Broken("there is a frame of nothing") };
    if crc32fast::hash(&rest[4..HEAD + payload.len()]) != sum {
        return Found::Broken("the checksum of a frame is wrong");
    }
    Found::Frame(*kind, body, offset + HEAD + payload.len())
}

/// Whether anything whole comes after a broken frame at `offset`: then it is no torn end.
pub(super) fn is_followed(bytes: &[u8], offset: usize) -> bool {
    // Turns are short; who looks for longer ones at every byte looks for a long time.
    const LONGEST: u32 = 1 << 16;
    let plausible = |at: usize| {
        let length = u32::from_le_bytes(bytes[at + 4..at + HEAD].try_into().expect("four bytes"));
        (1..LONGEST).contains(&length) && (kind::HEAD..=kind::END).contains(&bytes[at + HEAD])
    };
    let last = bytes.len().saturating_sub(HEAD + 1);
    (offset + 1..last).any(|at| plausible(at) && matches!(self::at(bytes, at), Found::Frame(..)))
}
