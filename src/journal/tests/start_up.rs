//! How much is read at a start: what came after the newest checkpoint, however long the journal is. `cargo bench --bench journal` says how long.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::script::open;
use crate::gateway::Gateway;
use crate::gateway::command::{Command, KeySpec};
use crate::gateway::features::Features;
use crate::gateway::id::{KeyId, ModelId, RequestId, Slot};
use crate::gateway::in_flight::{Action, Event, InFlight};
use crate::gateway::rate_card::Usage;
use crate::gateway::request::{Fingerprint, Request};
use crate::gateway::tests::plain_plan;
use crate::gateway::time::{Span, Time};
use crate::journal::{Draft, Opened, Settings, recover};

const BUSY: usize = 64;

#[test]
fn a_start_reads_what_came_after_the_newest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 100_000, segment_age: Duration::from_secs(86_400), ..Settings::default() };
    let turns = fill(folder.path(), settings, 1_000_000);
    let recovered = recover(folder.path(), &mut ()).unwrap().unwrap();
    assert!(recovered.turns * 5 < turns, "{} of {turns} turns were read", recovered.turns);
}

/// Writes a journal of so many bytes: requests that overlap, each with one call. A last segment is as full as it gets.
fn fill(folder: &Path, settings: Settings, bytes: u64) -> u64 {
    let plan = Arc::new(plain_plan());
    let first = || (Gateway::new(&plan, 1), Arc::clone(&plan));
    let Opened { log, mut buffer, mut gateway, mut next, .. } = open(folder, settings, Time(0), first).unwrap();
    let mut now = Time(1_700_000_000_000_000_000);
    gateway.apply(&plan, now, Command::PutKey { name: "intern".into(), spec: KeySpec::default() }, &mut buffer).unwrap();
    buffer.end_turn();
    let mut open: VecDeque<(Slot, InFlight)> = VecDeque::new();
    let (mut free, mut written, mut in_segment): (Vec<Slot>, u64, u64) = ((0..=BUSY as u32).map(Slot).collect(), 0, 0);
    // The last segment is left just before it would be closed.
    while written < bytes || in_segment * 20 < settings.segment_bytes * 19 {
        now = now + Span(200_000);
        let slot = free.pop().unwrap();
        let mut in_flight = InFlight::new();
        let action = in_flight.step(&plan, &mut gateway, now, Event::Arrived(request(next, slot)), &mut buffer);
        assert!(matches!(action, Action::Call(_)), "{action:?}");
        next = RequestId(next.0 + 1);
        buffer.end_turn();
        open.push_back((slot, in_flight));
        if open.len() > BUSY {
            let (slot, mut in_flight) = open.pop_front().unwrap();
            in_flight.step(&plan, &mut gateway, now, Event::Opened { call: 1 }, &mut buffer);
            buffer.end_turn();
            in_flight.step(&plan, &mut gateway, now, Event::Finished { call: 1, received: 0, usage: Some(Usage::plain(1200, 80)) }, &mut buffer);
            free.push(slot);
        }
        let turn = buffer.end_turn();
        log.commit(turn, |bytes| {
            let reach = buffer.give(bytes);
            (written, in_segment) = (written + bytes.len() as u64, in_segment + bytes.len() as u64);
            reach
        })
        .unwrap();
        if in_segment >= settings.segment_bytes {
            in_segment = 0;
            log.rotate(now, |bytes| {
                let reach = buffer.give(bytes);
                Draft::new(reach, &gateway, &plan, next, open.iter().map(|(slot, request)| (*slot, request, &plan)))
            })
            .unwrap();
        }
    }
    buffer.turn()
}

fn request(id: RequestId, slot: Slot) -> Request {
    Request {
        id,
        slot,
        key: KeyId(0),
        model: ModelId(0),
        end_user: None,
        tag: None,
        input_tokens: 1200,
        input_tokens_max: 1400,
        input_tokens_counted: 1400,
        max_tokens: NonZeroU32::new(100),
        choices: 1,
        stream: true,
        no_cache: false,
        no_store: false,
        countable: false,
        fingerprint: Fingerprint(id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15), id.0.wrapping_mul(0xC2B2_AE3D_27D4_EB4F)),
        requires: Features::NONE,
        deadline: None,
    }
}
