//! A gateway's journal as a trace: what arrived, and what came of it.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use super::{Format, LeftAfter, Options, Recorded, Trace, convert};
use crate::gateway::Gateway;
use crate::gateway::command::{Command, KeySpec, TeamSpec};
use crate::gateway::failure::{Failure, FailureClass};
use crate::gateway::features::Features;
use crate::gateway::id::{EndUserId, KeyId, ModelId, RequestId, Slot, TagId};
use crate::gateway::in_flight::{Event, InFlight};
use crate::gateway::money::Money;
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;
use crate::gateway::request::{Fingerprint, Request};
use crate::gateway::tests::plain_plan;
use crate::gateway::time::{Span, Time};
use crate::journal::{Opened, Settings, take};

const START: Time = Time(1_700_000_000_000_000_000);

/// A live gateway of one deployment, `a` of the group `gpt`: $1 per million input tokens, $4 per million output tokens.
struct Live {
    plan: Arc<Plan>,
    opened: Opened,
}

impl Live {
    fn begin(folder: &Path) -> Self {
        let plan = Arc::new(plain_plan());
        let opened =
            take(folder, &mut ()).unwrap().open(Settings::default(), START, &mut (), || (Gateway::new(&plan, 1), Arc::clone(&plan))).unwrap();
        let mut live = Self { plan, opened };
        let red = KeySpec { team: Some("red".into()), ..KeySpec::default() };
        for command in [Command::PutTeam { name: "red".into(), spec: TeamSpec::default() }, Command::PutKey { name: "intern".into(), spec: red }] {
            let Opened { gateway, buffer, .. } = &mut live.opened;
            gateway.apply(&live.plan, START, command, buffer).unwrap();
            buffer.end_turn();
        }
        live
    }

    fn tell(&mut self, in_flight: &mut InFlight, after_ms: u64, event: Event) {
        let Opened { gateway, buffer, .. } = &mut self.opened;
        in_flight.step(&self.plan, gateway, START + Span::from_millis(after_ms), event, buffer);
        buffer.end_turn();
    }

    fn arrive(&mut self, id: u64, after_ms: u64, key: KeyId) -> InFlight {
        let now = START + Span::from_millis(after_ms);
        let Opened { gateway, buffer, .. } = &mut self.opened;
        let (end_user, tag) = (gateway.end_user(now, "ann", buffer), gateway.tag(now, "web", buffer));
        assert_eq!((end_user, tag), (EndUserId(0), TagId(0)));
        let mut in_flight = InFlight::new();
        let request = Request {
            id: RequestId(id),
            slot: Slot(u32::try_from(id).unwrap()),
            key,
            model: ModelId(0),
            end_user: Some(end_user),
            tag: Some(tag),
            input_tokens: 1000,
            input_tokens_max: 1500,
            max_tokens: NonZeroU32::new(90),
            choices: 1,
            stream: true,
            no_cache: false,
            no_store: false,
            fingerprint: Fingerprint(7, id),
            requires: Features::NONE,
            deadline: None,
        };
        self.tell(&mut in_flight, after_ms, Event::Arrived(request));
        in_flight
    }

    fn end(mut self) {
        self.opened.log.close(|bytes| self.opened.buffer.give(bytes)).unwrap();
    }
}

/// One request of every kind of end.
fn write(folder: &Path) {
    let mut live = Live::begin(folder);
    let mut served = live.arrive(1, 0, KeyId(0));
    let mut failed = live.arrive(2, 100, KeyId(0));
    live.tell(&mut served, 200, Event::Opened { call: 1 });
    let failure = Failure::new(FailureClass::RateLimited);
    live.tell(&mut failed, 300, Event::Failed { call: 1, failure, accepted: false, received: 0, usage: None });
    let mut left = live.arrive(3, 400, KeyId(0));
    live.arrive(4, 450, KeyId(99));
    live.tell(&mut left, 500, Event::Opened { call: 1 });
    live.tell(&mut left, 600, Event::ClientLeft { received: 30, delivered: 25 });
    let usage = Usage { cache_read: 400, ..Usage::plain(1200, 80) };
    live.tell(&mut served, 1000, Event::Finished { call: 1, received: 0, usage: Some(usage) });
    live.arrive(5, 1100, KeyId(0));
    live.end();
}

#[test]
fn a_row_says_what_arrived_and_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let mut trace = Trace::open(folder.path(), Options::default()).unwrap();
    let batch = trace.next_batch().unwrap().unwrap();
    assert!(trace.next_batch().unwrap().is_none());
    assert_eq!((trace.format(), batch.rows.len()), (Format::Journal, 5));
    let names = trace.names();
    let recorded = |row: usize| batch.recorded(&batch.rows[row]).copied().unwrap();
    let ms = |ms| Some(Span::from_millis(ms));

    let served = &batch.rows[0];
    assert_eq!((served.at, served.line, served.fingerprint), (START, 1, Fingerprint(7, 1)));
    assert_eq!((served.input_tokens, served.output_tokens, served.max_tokens), (1200, Some(80), Some(90)), "as the provider has counted");
    assert_eq!(names.models.name(served.model.unwrap().number()), "gpt");
    assert_eq!(names.keys.name(served.key.unwrap().number()), "intern");
    assert_eq!(names.teams.name(served.team.unwrap().number()), "red");
    assert_eq!(names.end_users.name(served.end_user.unwrap().number()), "ann");
    assert_eq!(batch.tags(served).iter().map(|tag| names.tags.name(tag.number())).collect::<Vec<_>>(), ["web"]);
    assert_eq!(names.deployments.name(recorded(0).deployment.unwrap().number()), "a");
    let card = plain_plan().deployments[0].rates.at(START).clone();
    let expected = Recorded {
        status: Some(200),
        ttft: ms(200),
        duration: ms(1000),
        cost: Some(card.cost(Usage { cache_read: 400, ..Usage::plain(1200, 80) })),
        cached_tokens: Some(400),
        cache_write_tokens: Some(0),
        reasoning_tokens: Some(0),
        cache_hit: Some(false),
        attempts: Some(1),
        fallbacks: Some(0),
        deployment: recorded(0).deployment,
        ..Recorded::default()
    };
    assert_eq!(recorded(0), expected);

    assert_eq!((recorded(1).status, recorded(1).duration, recorded(1).cost), (Some(429), ms(200), Some(Money::ZERO)));
    assert_eq!(batch.rows[1].output_tokens, None, "nobody knows what it would have been");
    assert_eq!((batch.rows[2].left_after, recorded(2).status), (Some(LeftAfter::Tokens(25)), None));
    assert_eq!(batch.rows[2].output_tokens, None, "the client has not waited for the rest");
    assert!(recorded(2).cost > Some(Money::ZERO), "what is presumed is in the ledger");
    assert_eq!((recorded(3).status, recorded(3).attempts, batch.rows[3].key), (Some(401), None, None));
    assert_eq!((recorded(4).status, recorded(4).duration), (None, None), "it is in flight");
}

#[test]
fn a_journal_becomes_a_file_with_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("journal"));
    let file = folder.path().join("trace.csv");
    assert_eq!(convert(&folder.path().join("journal"), &file, Options::default()).unwrap().rows, 5);
    let rows = |path: &Path| {
        let mut trace = Trace::open(path, Options::default()).unwrap();
        let batch = trace.next_batch().unwrap().unwrap();
        batch
            .rows
            .iter()
            .map(|row| (row.at, row.fingerprint, row.input_tokens, row.left_after, batch.recorded(row).map(|r| r.cost)))
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&file), rows(&folder.path().join("journal")));
}

#[test]
fn a_broken_journal_is_no_shorter_trace() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let file = folder.path().join("00000000.journal");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = Trace::open(folder.path(), Options::default()).unwrap().next_batch().unwrap_err();
    assert!(error.to_string().contains("00000000.journal, byte "), "{error}");
}
