//! Where a run's requests come from and what is done to them on the way, batch by batch. Decides the order of the steps: a trace, of a
//! log without its client retries, or made-up traffic; a window of it, an overlay, then repetitions, speed and scale.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::overlay::{Overlaid, Overlay};
use super::replay::link::{Linked, Links, Retries};
use super::scale::{Reshape, Reshaped, Scale, WHOLE};
use super::synthetic::{Generated, Synthetic};
use super::trace::{Batch, Fault, Options, Trace, TraceError};
use super::weave::{Incoming, Weaver};
use crate::gateway::time::{Span, Time};

/// Requests in time order.
pub trait Source {
    /// The next rows, or `None` at the end.
    ///
    /// # Errors
    /// If the trace behind it is not valid.
    fn next_batch(&mut self) -> Result<Option<Batch>, TraceError>;

    /// The trace behind it, for what is known about the file; none where the traffic is made.
    fn trace(&self) -> Option<&Trace> {
        None
    }

    /// What was made of the client retries in it so far; where it is read several times, in the latest.
    fn links(&self) -> Links {
        Links::default()
    }
}

impl Source for Linked<Trace> {
    fn next_batch(&mut self) -> Result<Option<Batch>, TraceError> {
        self.next().transpose()
    }

    fn trace(&self) -> Option<&Trace> {
        Some(self.inner())
    }

    fn links(&self) -> Links {
        Linked::links(self)
    }
}

/// What requests are taken from.
#[derive(Debug, Clone)]
pub enum Base {
    /// A recorded trace.
    Trace {
        /// The file.
        path: PathBuf,
        /// How it is read.
        options: Options,
        /// What to do about client retries in it, if it is a log.
        retries: Retries,
    },
    /// Traffic that is made as it is read.
    Synthetic(Arc<Synthetic>),
}

/// What is done to the requests of a [`Base`]. The default does nothing, and costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// For all draws; the same for every seed of a run, so that these vary the world and not the traffic.
    pub seed: u64,
    /// The part that is taken.
    pub window: Option<Window>,
    /// What the rows lack, in the order in which it is laid over them.
    pub overlays: Vec<Arc<Overlay>>,
    /// How often it all comes, one after the other; 0 is once.
    pub repeat: u32,
    /// In thousandths; 0 is as recorded.
    pub speed_per_mille: u32,
    /// How much of it.
    pub scale: Scale,
}

/// A part of a trace: the rows from `from` after its first row on, up to `from + lasts`, without the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Since the first row.
    pub from: Span,
    /// How long.
    pub lasts: Span,
}

impl Base {
    /// What messages call it.
    fn file(&self) -> &Path {
        match self {
            Self::Trace { path, .. } => path,
            Self::Synthetic(_) => Path::new("synthetic traffic"),
        }
    }
}

impl Changes {
    /// Whether a log is still what was recorded, in part or with what it lacks filled in, so that a run can be held against it.
    pub fn keep_the_log(&self) -> bool {
        self.reshape().is_none() && !self.overlays.iter().any(|overlay| overlay.replace || overlay.duplicates.is_some())
    }

    fn reshape(&self) -> Option<Reshape> {
        let (repeat, speed_per_mille) = (self.repeat.max(1), if self.speed_per_mille == 0 { 1_000 } else { self.speed_per_mille });
        let is_nothing = repeat == 1 && speed_per_mille == 1_000 && self.scale.per_million == WHOLE;
        (!is_nothing).then_some(Reshape { seed: self.seed, repeat, speed_per_mille, scale: self.scale })
    }
}

/// Opens traffic from its start, in bounded memory (names, and what an overlay remembers, apart).
///
/// # Errors
/// As [`Trace::open`].
pub fn open(base: &Base, changes: &Changes) -> Result<Box<dyn Source>, TraceError> {
    let Some(reshape) = changes.reshape() else { return open_once(base, changes) };
    let (file, base, changes) = (base.file().to_owned(), base.clone(), changes.clone());
    Ok(Box::new(Reshaped::new(reshape, file, Box::new(move || open_once(&base, &changes)))?))
}

/// The traffic before it is reshaped.
fn open_once(base: &Base, changes: &Changes) -> Result<Box<dyn Source>, TraceError> {
    let mut source: Box<dyn Source> = match base {
        Base::Trace { path, options, retries } => Box::new(Linked::new(Trace::open(path, *options)?, *retries)),
        Base::Synthetic(synthetic) => Box::new(Generated::new(Arc::clone(synthetic), changes.seed)),
    };
    if let Some(window) = changes.window {
        let file = base.file().to_owned();
        source = Box::new(Windowed {
            source,
            window,
            file,
            first: None,
            weaver: Weaver::default(),
            incoming: Incoming::unchanged(),
            is_empty: true,
            is_over: false,
        });
    }
    for overlay in &changes.overlays {
        source = Box::new(Overlaid::new(source, Arc::clone(overlay), changes.seed));
    }
    Ok(source)
}

struct Windowed {
    source: Box<dyn Source>,
    window: Window,
    /// For messages.
    file: PathBuf,
    first: Option<Time>,
    weaver: Weaver,
    incoming: Incoming,
    is_empty: bool,
    is_over: bool,
}

impl Source for Windowed {
    fn next_batch(&mut self) -> Result<Option<Batch>, TraceError> {
        while !self.is_over {
            let Some(batch) = self.source.next_batch()? else { break };
            self.incoming.learn(&batch);
            let first = *self.first.get_or_insert_with(|| batch.rows.first().map_or(Time(0), |row| row.at));
            let from = first + self.window.from;
            let to = from + self.window.lasts;
            for row in batch.rows.iter().filter(|row| (from..to).contains(&row.at)) {
                self.weaver.push(&mut self.incoming, 0, &batch, row);
            }
            self.is_over = batch.rows.last().is_some_and(|row| row.at >= to);
            if let Some(rows) = self.weaver.take() {
                self.is_empty = false;
                return Ok(Some(rows));
            }
        }
        self.is_over = true;
        if self.is_empty {
            let hint = "[traffic] window counts from the first request of the traffic: { from = \"10m\", for = \"1h\" }";
            return Err(TraceError::of_file(Fault::Empty, &self.file, "no requests in the window", hint));
        }
        Ok(None)
    }

    fn trace(&self) -> Option<&Trace> {
        self.source.trace()
    }

    fn links(&self) -> Links {
        self.source.links()
    }
}
