//! The spend of a live gateway: told every fact as it is recorded, kept in the journal's checkpoints, and read by the control plane.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Day, Names, Spend, Spent, Sums};
use crate::gateway::Gateway;
use crate::gateway::id::{EndUserId, ModelId, RequestId};
use crate::gateway::journal::Fact;
use crate::gateway::time::Time;
use crate::journal::{Fold, Section};
use crate::serve::observe::{Context, Observer};

/// The name of its bytes in a checkpoint.
const SECTION: &str = "spend";
/// How they are spelt: raised with every change of what [`Spend`] keeps, and of what it keeps that of.
const VERSION: u32 = 1;

/// The spend of a live gateway.
#[derive(Debug, Clone, Default)]
pub struct SpendBook(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    spend: Spend,
    is_anew: bool,
}

impl SpendBook {
    /// A book that goes on where another one ended.
    pub fn following(spend: Spend) -> Self {
        Self(Arc::new(Mutex::new(Entries { spend, is_anew: false })))
    }

    /// Whether it goes on with a journal whose checkpoint did not say what was spent by whom: that is told from there on.
    pub fn is_anew(&self) -> bool {
        self.lock().is_anew
    }

    /// In all.
    pub fn total(&self) -> Sums {
        self.lock().spend.kept.total
    }

    /// By a key.
    pub fn of_key(&self, name: &str) -> Sums {
        let Entries { spend, .. } = &*self.lock();
        spend.names.keys.find(name).and_then(|key| spend.kept.keys.get(key as usize)).copied().unwrap_or_default()
    }

    /// By the keys of a team, while they were in it.
    pub fn of_team(&self, name: &str) -> Sums {
        let Entries { spend, .. } = &*self.lock();
        spend.names.teams.find(name).and_then(|team| spend.kept.teams.get(team as usize)).copied().unwrap_or_default()
    }

    /// Through a model, called for itself or as a fallback.
    pub fn of_model(&self, model: ModelId) -> Sums {
        self.lock().spend.kept.models.get(model.index()).copied().unwrap_or_default()
    }

    /// By an end user; those beyond the bound count as nobody.
    pub fn of_end_user(&self, end_user: EndUserId) -> Sums {
        self.lock().spend.kept.end_users.get(end_user.index()).copied().unwrap_or_default()
    }

    /// For a tag; those beyond the bound count as nobody.
    pub fn of_tag(&self, tag: &str) -> Sums {
        let Entries { spend, .. } = &*self.lock();
        spend.tags.get(tag).and_then(|tag| spend.kept.tags.get(*tag)).map(|(_, sums)| *sums).unwrap_or_default()
    }

    /// Day by day, by the number of the day since 1970.
    pub fn days(&self) -> Vec<(u64, Arc<Day>)> {
        self.lock().spend.kept.days.iter().map(|(day, sums)| (*day, sums.clone())).collect()
    }

    /// The requests of late that `wanted` picks, newest first, at most so many.
    pub fn recent(&self, most: usize, wanted: impl Fn(&Spent) -> bool) -> Vec<Spent> {
        // Copied, so that nobody who records waits for whoever reads.
        let recent = self.lock().spend.kept.recent.clone();
        recent.iter().rev().map(|(_, spent)| spent).filter(|spent| wanted(spent)).take(most).cloned().collect()
    }

    /// The names of keys, by number.
    pub fn key_names(&self) -> Vec<String> {
        self.lock().spend.names.keys.names().to_vec()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for SpendBook {
    fn observe(&mut self, context: &Context<'_>, fact: &Fact) {
        self.take(context.now, context.request.map(|request| request.id), fact);
    }

    fn section(&self) -> Option<Section> {
        Some(Fold::section(self))
    }
}

impl Fold for SpendBook {
    fn name(&self) -> &'static str {
        SECTION
    }

    fn begin(&mut self, gateway: &Gateway, section: Option<&[u8]>) {
        let spend = section.and_then(|bytes| {
            let (version, bytes) = postcard::take_from_bytes::<u32>(bytes).ok()?;
            let (kept, rest) = if version == VERSION { postcard::take_from_bytes(bytes).ok()? } else { return None };
            rest.is_empty().then(|| Spend::kept_with(kept, Names::of(gateway.directory())))
        });
        let mut entries = self.lock();
        entries.is_anew = spend.is_none();
        entries.spend = spend.unwrap_or_else(|| Spend::following(gateway));
    }

    fn take(&mut self, at: Time, request: Option<RequestId>, fact: &Fact) {
        // Most facts are about decisions, and cost nothing here.
        if !matches!(fact, Fact::Decided(_) | Fact::Ticked | Fact::Queued { .. } | Fact::Skipped { .. }) {
            self.lock().spend.take(at, request, fact);
        }
    }

    fn section(&self) -> Section {
        let kept = self.lock().spend.kept.clone();
        Section::new(SECTION, move || {
            let version = postcard::to_stdvec(&VERSION).expect("a number can be spelt");
            postcard::to_extend(&kept, version).expect("what was spent can be spelt")
        })
    }
}
