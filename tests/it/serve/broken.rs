//! Panics: one in a handler fails its own request, one in the core ends everything and starts it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gwsim::gateway::journal::Fact;
use gwsim::serve::observe::{Context, Observer};

use super::desk::{Desk, config};
use super::upstream::{self, Upstream};

/// Breaks the core when it is told to: an observer runs under the core's lock.
struct Breaks(Arc<AtomicBool>);

impl Observer for Breaks {
    fn observe(&mut self, _: &Context<'_>, fact: &Fact) {
        assert!(!(self.0.load(Ordering::SeqCst) && matches!(fact, Fact::Called(_))), "planted");
    }
}

#[tokio::test]
async fn a_panic_in_the_core_starts_the_process_again() {
    let upstream = Upstream::start(|_, _| upstream::completion("hello")).await;
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let (breaks, restarts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let desk = Desk::start_with(&config(&upstream.address, ""), |start| {
        let counted = restarts.clone();
        start.observers = vec![Box::new(Breaks(breaks.clone()))];
        start.journal = Some(journal.clone());
        start.broken = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
    })
    .await;
    assert_eq!(desk.chat("hi").await.status, 200);
    assert_eq!(restarts.load(Ordering::SeqCst), 0);
    breaks.store(true, Ordering::SeqCst);
    assert_eq!(desk.chat("hi").await.status, 500);
    // In life, the process is another one now. Here, nothing is decided any more, and whoever asks starts it again.
    assert_eq!(desk.chat("hi").await.status, 500);
    assert!(restarts.load(Ordering::SeqCst) >= 1);
    assert_eq!(upstream.seen().len(), 1, "no call leaves a gateway that is broken");
    let written: u64 = std::fs::read_dir(&journal).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(written > 0, "what was decided before is written");
}
