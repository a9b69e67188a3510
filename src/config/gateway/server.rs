//! `[server]`: how `gwsim serve` listens, who may administer it, and where it keeps what must survive. Decides nothing about requests.

use crate::gateway::time::Span;

use super::super::problem;
use super::super::read::{Item, Section};
use super::providers::{self, Secret};

/// How the gateway serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Address and port.
    pub listen: String,
    /// What administrators send as their key; without one, the administrative routes answer 403.
    pub master_key: Option<Secret>,
    /// The SQLite file of keys and teams made while serving, relative to the working directory; `None` keeps them in memory only.
    pub store: Option<String>,
    /// The folder of the journal; `None` keeps none, and spend starts at zero with every start.
    pub journal: Option<String>,
    /// How many bytes of it are read at a start, at most: a checkpoint follows every so many.
    pub journal_segment: u64,
    /// How long it is kept; `None` keeps all of it.
    pub journal_retention: Option<Span>,
    /// What a crash may take from the journal.
    pub durability: Durability,
    /// The largest request body that is read, in bytes.
    pub body_max: u64,
    /// How long a client may take for the body of a request.
    pub body_timeout: Span,
    /// The largest answer that the response cache keeps, in bytes.
    pub cached_body_max: u64,
    /// How long a shutdown waits for requests in flight.
    pub drain: Span,
    /// A file of certificates, in PEM, of authorities that are trusted to vouch for providers beside those that browsers trust; `None` for no
    /// other. Read at the start.
    pub ca_file: Option<String>,
    /// How long connecting to a provider may take.
    pub connect: Span,
    /// How often a stream that is silent gets a comment, so that nothing between here and the client takes it for dead.
    pub keep_alive: Span,
    /// The status that a refusal by a budget has.
    pub budget_status: u16,
    /// Whether `cache_control` marks are put on long stable prefixes of requests to Anthropic.
    pub prompt_cache_marks: bool,
}

/// What a crash may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing while the machine stays up: every call is written before it leaves.
    Process,
    /// A second at most when the machine loses power.
    Power,
    /// Nothing ever: every call is on the disk before it leaves.
    Strict,
}

const DURABILITIES: [(&str, Durability); 3] = [("process", Durability::Process), ("power", Durability::Power), ("strict", Durability::Strict)];

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4000".into(),
            master_key: None,
            store: None,
            journal: None,
            journal_segment: 16 << 20,
            journal_retention: None,
            durability: Durability::Process,
            body_max: 32 << 20,
            body_timeout: Span::from_secs(120),
            cached_body_max: 1 << 20,
            drain: Span::from_secs(30),
            ca_file: None,
            connect: Span::from_secs(5),
            keep_alive: Span::from_secs(15),
            budget_status: 429,
            prompt_cache_marks: false,
        }
    }
}

/// Reads `[server]`.
pub fn read(section: &Section<'_>) -> Server {
    let mut server = Server::default();
    section.put("listen", listen, &mut server.listen);
    section.put_some("master_key", providers::secret, &mut server.master_key);
    section.put_some("store", path, &mut server.store);
    section.put_some("journal", path, &mut server.journal);
    section.put("journal_segment", segment, &mut server.journal_segment);
    section.put_some("journal_retention", Item::span_above_zero, &mut server.journal_retention);
    section.put("durability", |item| item.choice(&DURABILITIES), &mut server.durability);
    section.put("body_max", Item::bytes, &mut server.body_max);
    section.put("body_timeout", Item::span_above_zero, &mut server.body_timeout);
    section.put("cached_body_max", Item::bytes, &mut server.cached_body_max);
    section.put("drain", Item::span, &mut server.drain);
    section.put_some("ca_file", path, &mut server.ca_file);
    section.put("connect", Item::span_above_zero, &mut server.connect);
    section.put("keep_alive", Item::span_above_zero, &mut server.keep_alive);
    section.put("budget_status", status, &mut server.budget_status);
    section.put("prompt_cache_marks", Item::boolean, &mut server.prompt_cache_marks);
    server
}

fn listen(item: Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return Some(text.into());
    }
    item.report(problem::malformed(item.place(), item.key, "an address and a port", "it is none", "\"127.0.0.1:4000\""));
    None
}

/// A checkpoint is as long as the state, however short the segment: many small ones are no gain.
fn segment(item: Item<'_>) -> Option<u64> {
    const LEAST: u64 = 1 << 20;
    let bytes = item.bytes()?;
    if bytes >= LEAST {
        return Some(bytes);
    }
    item.report(problem::malformed(item.place(), item.key, "at least 1 MiB", "it is less", "\"16 MiB\""));
    None
}

fn status(item: Item<'_>) -> Option<u16> {
    item.count_within(400, 499).and_then(|status| u16::try_from(status).ok())
}

fn path(item: Item<'_>) -> Option<String> {
    item.text().map(Into::into)
}
