//! Randomness as data: a draw is a pure function of (seed, counter). There is no stream to get out of step.

/// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
///
/// Injective in `counter` for a given `key`, so two different draws never share their bits.
#[inline]
pub const fn philox(key: u64, counter: [u32; 4]) -> [u32; 4] {
    const M0: u64 = 0xD251_1F53;
    const M1: u64 = 0xCD9E_8D57;
    const W0: u32 = 0x9E37_79B9;
    const W1: u32 = 0xBB67_AE85;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let mut k0 = key as u32;
    let mut k1 = (key >> 32) as u32;
    let mut round = 0;
    while round < 10 {
        let p0 = M0 * c0 as u64;
        let p1 = M1 * c2 as u64;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(W0);
        k1 = k1.wrapping_add(W1);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// What a draw decides. Part of the counter, so that two decisions about one request never share luck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Purpose {
    /// Which deployment the router picks.
    Pick = 1,
    /// The jitter of a back-off.
    Jitter = 2,
    /// The time to the first token of a call.
    FirstToken = 3,
    /// The speed of a call's output.
    Speed = 4,
    /// Whether and how a call fails.
    Failure = 5,
    /// How long a client waits before it leaves.
    Patience = 6,
    /// The length of an output that the traffic does not state.
    Output = 7,
    /// The state of a provider at an instant.
    World = 8,
    /// What an overlay adds to a request: key, stream, duplicates.
    Overlay = 9,
    /// How long a client library waits before it tries again.
    ClientBackoff = 20,
    /// A request of synthetic traffic: when it comes, its lengths, its session.
    Traffic = 30,
    /// Which requests and copies a scale keeps, and how far a copy is moved in time.
    Scale = 31,
}

/// 64 uniform bits for the `ordinal`-th decision of `purpose` about `subject` (a request's id, for the gateway).
#[inline]
pub const fn bits(seed: u64, subject: u64, purpose: Purpose, ordinal: u32) -> u64 {
    let [a, b, _, _] = philox(seed, [subject as u32, (subject >> 32) as u32, purpose as u32, ordinal]);
    a as u64 | (b as u64) << 32
}

/// Maps 64 uniform bits to `0..bound` by multiplication; the bias is below `bound / 2^64`. Zero when `bound` is.
#[inline]
pub const fn below(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123 1.14.0, file `tests/kat_vectors`, lines `philox4x32 10`.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox(0, [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox(u64::MAX, [u32::MAX; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(0x299f_31d0_a409_3822, counter), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        assert_eq!(below(0, 10), 0);
        assert_eq!(below(u64::MAX, 10), 9);
        assert_eq!(below(u64::MAX, 0), 0);
    }
}
