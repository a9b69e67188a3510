//! How far a run has come: requests, rate and time left, on a terminal; nothing anywhere else. Decides nothing about the run.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar on stderr. Without a known length it counts; with one it has an end.
pub struct Progress {
    bar: ProgressBar,
    length: Arc<AtomicU64>,
}

impl Progress {
    /// A bar, hidden unless `shown`. The length may be stored later, from another thread; 0 is not known.
    pub fn new(shown: bool) -> Self {
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} {human_pos} requests, {rate} a second"));
        if shown {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self { bar, length: Arc::default() }
    }

    /// Where to store the length once it is known.
    pub fn length(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.length)
    }

    /// So many requests are done.
    pub fn at(&self, requests: u64) {
        let length = self.length.load(Ordering::Relaxed);
        if length > 0 && self.bar.length().is_none() {
            self.bar.set_length(length);
            self.bar.set_style(style("{wide_bar} {human_pos} of {human_len} requests, {rate} a second, {eta} left"));
        }
        self.bar.set_position(requests);
    }

    /// Clears the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the templates above are valid");
    // Whole requests: what comes after the point says nothing.
    style.with_key("rate", |state: &ProgressState, to: &mut dyn Write| {
        let _ = write!(to, "{}", HumanCount(state.per_sec() as u64));
    })
}
