//! A digest of requests, as they are handed to a gateway: equal digests mean the same traffic. Decides what of a row counts; knows no file.
//!
//! It tells traffic apart that differs by accident, not by design: the hash is cheap and anyone can make two streams with the same digest.

use super::trace::{Batch, LeftAfter, NameId, Row};
use crate::gateway::request::Fingerprint;

/// A digest in the making. How the rows are cut into batches makes no difference, and neither does the line that a row was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    rows: Lanes,
    names: [Lanes; 7],
}

impl Digest {
    /// Takes in the rows of the next batch.
    pub fn add(&mut self, batch: &Batch) {
        for (names, lanes) in batch.first_seen.kinds().into_iter().zip(&mut self.names) {
            for name in names {
                lanes.add(name.len() as u64);
                name.bytes().for_each(|byte| lanes.add(u64::from(byte)));
            }
        }
        for row in &batch.rows {
            self.add_row(batch, row);
        }
    }

    /// The digest of all rows so far: 32 hexadecimal digits.
    pub fn finish(&self) -> String {
        let mut all = self.rows;
        for names in &self.names {
            all.add(names.a);
            all.add(names.b);
        }
        format!("{:016x}{:016x}", finished(all.a), finished(all.b))
    }

    fn add_row(&mut self, batch: &Batch, row: &Row) {
        // Whatever a row gains has to be thought of here.
        let Row { at, line: _, fingerprint, model, key, team, end_user, session, input_tokens, output_tokens, max_tokens, block_size, .. } = row;
        let Fingerprint(high, low) = *fingerprint;
        let lanes = &mut self.rows;
        lanes.add(at.0);
        // The fingerprint of a row without one tells its place in the file.
        if fingerprint.is_unique() {
            lanes.add(0);
        } else {
            lanes.add(high);
            lanes.add(low);
        }
        lanes.add(pair(name(*model), name(*key)));
        lanes.add(pair(name(*team), name(*end_user)));
        lanes.add(pair(name(*session), u64::from(*block_size)));
        lanes.add(pair(u64::from(*input_tokens), u64::from(output_tokens.is_some()) | u64::from(max_tokens.is_some()) << 1));
        lanes.add(pair(u64::from(output_tokens.unwrap_or(0)), u64::from(max_tokens.unwrap_or(0))));
        let (kind, left) = match row.left_after {
            None => (0, 0),
            Some(LeftAfter::Tokens(tokens)) => (1, u64::from(tokens)),
            Some(LeftAfter::Waited(span)) => (2, span.0),
        };
        lanes.add(kind | row.stream.map_or(0, |stream| 1 + u64::from(stream)) << 2);
        lanes.add(left);
        let (blocks, tags) = (batch.blocks(row), batch.tags(row));
        lanes.add(pair(blocks.len() as u64, tags.len() as u64));
        blocks.iter().for_each(|block| lanes.add(*block));
        tags.iter().for_each(|tag| lanes.add(u64::from(tag.number())));
    }
}

/// 0 for no name.
fn name(id: Option<NameId>) -> u64 {
    id.map_or(0, |id| u64::from(id.number()) + 1)
}

/// Two numbers below 2^32 as one.
fn pair(high: u64, low: u64) -> u64 {
    high << 32 | low
}

/// Two chains of steps that lose nothing each (an odd factor, a turn): two inputs that differ in one word can't end alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Lanes {
    a: u64,
    b: u64,
}

impl Lanes {
    #[inline]
    fn add(&mut self, word: u64) {
        self.a = (self.a ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_add(0x2545_f491_4f6c_dd1d);
        self.b = self.b.wrapping_add(word).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ self.b.rotate_right(23);
    }
}

/// Spreads the last words over all bits.
fn finished(mut lane: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        lane ^= lane >> 33;
        lane = lane.wrapping_mul(factor);
    }
    lane ^ lane >> 33
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::gateway::time::{Span, Time};
    use crate::traffic::trace::FirstSeen;

    fn rows(count: u64) -> Vec<Row> {
        let row = |n: u64| Row {
            model: Some(NameId::new(0)),
            output_tokens: Some(10),
            ..Row::new(Time(n * 1_000_000_000), n + 2, Fingerprint(n, n * n), 100)
        };
        (0..count).map(row).collect()
    }

    fn named(model: &str) -> FirstSeen {
        FirstSeen { models: vec![model.to_owned()], ..FirstSeen::default() }
    }

    fn of(batches: Vec<(Vec<Row>, FirstSeen)>) -> String {
        let mut digest = Digest::default();
        batches.into_iter().for_each(|(rows, names)| digest.add(&Batch::of(rows, names)));
        digest.finish()
    }

    #[test]
    fn batches_and_lines_make_no_difference() {
        let whole = of(vec![(rows(9), named("gpt-4o"))]);
        let mut parts = rows(9);
        parts.iter_mut().for_each(|row| row.line += 1);
        let rest = parts.split_off(4);
        assert_eq!(of(vec![(parts, named("gpt-4o")), (rest, FirstSeen::default())]), whole);
        assert_eq!(whole.len(), 32);
    }

    #[test]
    fn whatever_a_gateway_could_notice_makes_a_difference() {
        let changes: [fn(&mut Row); 13] = [
            |row| row.at = row.at + Span(1),
            |row| row.fingerprint = Fingerprint(7, 7),
            |row| row.model = None,
            |row| row.key = Some(NameId::new(0)),
            |row| row.team = Some(NameId::new(0)),
            |row| row.end_user = Some(NameId::new(0)),
            |row| row.session = Some(NameId::new(0)),
            |row| row.input_tokens += 1,
            |row| row.output_tokens = None,
            |row| row.output_tokens = Some(0),
            |row| row.max_tokens = Some(10),
            |row| row.stream = Some(false),
            |row| row.left_after = Some(LeftAfter::Tokens(10)),
        ];
        let mut seen =
            BTreeSet::from([of(vec![(rows(5), named("gpt-4o"))]), of(vec![(rows(5), named("gpt-4"))]), of(vec![(rows(4), named("gpt-4o"))])]);
        for change in changes {
            let mut rows = rows(5);
            change(&mut rows[3]);
            seen.insert(of(vec![(rows, named("gpt-4o"))]));
        }
        let mut swapped = rows(5);
        swapped.swap(1, 2);
        seen.insert(of(vec![(swapped, named("gpt-4o"))]));
        assert_eq!(seen.len(), 3 + changes.len() + 1);
    }
}
