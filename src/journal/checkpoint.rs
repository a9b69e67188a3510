//! The state of a gateway as a file, from which a journal can be read on. Decides what belongs to it: plans, gateway, requests in
//! flight, and whatever bytes a driver puts beside them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::buffer::Reach;
use super::error::JournalError;
use super::fold::Section;
use super::frame::{self, Found, kind};
use super::segment::{self, Head};
use super::turn::{put, take};
use crate::gateway::id::{RequestId, Slot};
use crate::gateway::in_flight::InFlight;
use crate::gateway::plan::Plan;
use crate::gateway::{Gateway, Snapshot};

/// Bytes of a checkpoint in one frame.
const PIECE_BYTES: usize = 1 << 24;

/// The state after a turn, taken under the gateway's lock: as quickly as it can be copied. It is encoded and written without the lock.
#[derive(Debug)]
pub struct Draft {
    reach: Reach,
    next: RequestId,
    /// Today's plan first, then those that requests in flight were admitted under.
    plans: Vec<Arc<Plan>>,
    snapshot: Snapshot,
    requests: Vec<u8>,
    count: u32,
    sections: Vec<Section>,
}

/// The state after a turn, as it was read.
#[derive(Debug)]
pub struct Checkpoint {
    /// The turn.
    pub reach: Reach,
    /// The next request's identity.
    pub next: RequestId,
    /// The plan of that day.
    pub plan: Arc<Plan>,
    /// The gateway.
    pub gateway: Gateway,
    /// The requests in flight, with the plans that they were admitted under.
    pub requests: Vec<(Slot, InFlight, Arc<Plan>)>,
    /// What a driver has put beside them, by name.
    pub sections: Vec<(String, Vec<u8>)>,
    /// The version of gwsim that wrote it.
    pub gwsim: String,
}

impl Draft {
    /// The state after the turn that `reach` names; `next` is the identity that the next request gets.
    pub fn new<'a>(
        reach: Reach,
        gateway: &Gateway,
        plan: &Arc<Plan>,
        next: RequestId,
        in_flight: impl Iterator<Item = (Slot, &'a InFlight, &'a Arc<Plan>)>,
    ) -> Self {
        let (mut plans, mut requests, mut count) = (vec![Arc::clone(plan)], Vec::new(), 0);
        for (slot, request, plan) in in_flight {
            let number = plans.iter().position(|known| Arc::ptr_eq(known, plan)).unwrap_or_else(|| {
                plans.push(Arc::clone(plan));
                plans.len() - 1
            });
            put(&mut requests, &(slot, number as u64, request));
            count += 1;
        }
        Self { reach, next, plans, snapshot: gateway.snapshot(), requests, count, sections: Vec::new() }
    }

    /// With what a driver keeps beside the gateway.
    #[must_use]
    pub fn with(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// The turn that it is the state after.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.requests.len() + (1 << 16));
        put(&mut bytes, &self.next);
        put(&mut bytes, &(self.plans.len() as u64));
        for plan in &self.plans {
            put(&mut bytes, &**plan);
        }
        put(&mut bytes, &self.count);
        bytes.extend_from_slice(&self.requests);
        put(&mut bytes, &self.snapshot);
        // They come last: who knows of none has read all of it by then.
        for section in &self.sections {
            put(&mut bytes, section.name);
            let section = section.bytes();
            put(&mut bytes, &(section.len() as u64));
            bytes.extend_from_slice(&section);
        }
        bytes
    }
}

impl Checkpoint {
    /// What a driver has put there under a name.
    pub fn section(&self, name: &str) -> Option<&[u8]> {
        self.sections.iter().find(|(known, _)| known == name).map(|(_, bytes)| &bytes[..])
    }
}

/// Writes the checkpoint of a segment. It is there whole, and on the disk, or not at all.
///
/// # Errors
/// If it can't be written.
pub(super) fn write(folder: &Path, number: u32, draft: &Draft) -> io::Result<()> {
    let path = segment::checkpoint_path(folder, number);
    let part = path.with_extension("checkpoint.part");
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(&segment::beginning(number, draft.reach))?;
        let body = draft.encode();
        for piece in body.chunks(PIECE_BYTES) {
            file.write_all(&framed(kind::PIECE, piece))?;
        }
        file.write_all(&framed(kind::END, &(body.len() as u64).to_le_bytes()))?;
        file.sync_all()?;
        fs::rename(&part, &path)
    });
    if written.is_err() {
        // The first error is the one to tell; what is left is no checkpoint by its name.
        let _ = fs::remove_file(&part);
    }
    written?;
    segment::sync_folder(folder)
}

fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 16);
    let start = frame::begin(&mut bytes, kind);
    bytes.extend_from_slice(payload);
    frame::end(&mut bytes, start);
    bytes
}

/// Reads a checkpoint.
///
/// # Errors
/// If it can't be read, or is not whole: it never is in part.
pub(super) fn read(file: &Path) -> Result<Checkpoint, JournalError> {
    let (head, body) = read_body(file)?;
    let spelt = |error: postcard::Error| JournalError::rot(file, 0, format!("the checkpoint can't be read: {error}"));
    let mut rest = &body[..];
    let next = take(&mut rest).map_err(spelt)?;
    let count: u64 = take(&mut rest).map_err(spelt)?;
    let plans: Vec<Arc<Plan>> = (0..count).map(|_| take(&mut rest).map(Arc::new)).collect::<Result<_, _>>().map_err(spelt)?;
    let count: u32 = take(&mut rest).map_err(spelt)?;
    let mut requests = Vec::new();
    for _ in 0..count {
        let (slot, plan, request): (Slot, u64, InFlight) = take(&mut rest).map_err(spelt)?;
        let plan = usize::try_from(plan).ok().and_then(|number| plans.get(number));
        let plan = plan.ok_or_else(|| JournalError::rot(file, 0, "a request of the checkpoint has a plan that it has not"))?;
        requests.push((slot, request, Arc::clone(plan)));
    }
    let snapshot = take(&mut rest).map_err(spelt)?;
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let name: String = take(&mut rest).map_err(spelt)?;
        let length: u64 = take(&mut rest).map_err(spelt)?;
        let section = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (section, after) = section.ok_or_else(|| JournalError::rot(file, 0, format!("the checkpoint ends within `{name}`")))?;
        sections.push((name, section.to_vec()));
        rest = after;
    }
    let plan = plans.first().map(Arc::clone).ok_or_else(|| JournalError::rot(file, 0, "the checkpoint has no plan"))?;
    Ok(Checkpoint { reach: head.after, next, plan, gateway: Gateway::restore(snapshot), requests, sections, gwsim: head.gwsim })
}

fn read_body(file: &Path) -> Result<(Head, Vec<u8>), JournalError> {
    let bytes = segment::load(file)?;
    let (head, mut offset) = segment::read_beginning(file, &bytes)?.ok_or_else(|| JournalError::rot(file, 0, "its beginning is broken"))?;
    let mut body = Vec::with_capacity(bytes.len());
    loop {
        match frame::at(&bytes, offset) {
            Found::Frame(kind::PIECE, piece, end) => {
                body.extend_from_slice(piece);
                offset = end;
            }
            Found::Frame(kind::END, length, _) if length == (body.len() as u64).to_le_bytes() => return Ok((head, body)),
            Found::Frame(..) => return Err(JournalError::rot(file, offset, "its pieces are not those that were written")),
            Found::Broken(why) => return Err(JournalError::rot(file, offset, why)),
            Found::End => return Err(JournalError::rot(file, offset, "its end is missing")),
        }
    }
}
