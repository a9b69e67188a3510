//! The cache beside a plain list.

use proptest::prelude::*;

use super::*;
use crate::gateway::id::DeploymentId;
use crate::gateway::rate_card::Usage;

impl Cache {
    /// The keys of all answers, in order.
    pub(in crate::gateway) fn keys(&self) -> Vec<CacheKey> {
        let mut keys: Vec<CacheKey> =
            Stored::from(self.clone()).entries.iter().filter(|(entry, _)| !entry.gone).map(|(entry, _)| entry.key).collect();
        keys.sort_unstable();
        keys
    }
}

/// The same rules over a plain list, oldest first.
#[derive(Default)]
struct Reference {
    entries: Vec<(CacheKey, Hit, bool, Time)>,
    dropped: Vec<CacheKey>,
}

impl Reference {
    fn bytes(&self) -> u64 {
        self.entries.iter().map(|(_, hit, ..)| bytes_of(*hit)).sum()
    }

    fn get(&mut self, key: CacheKey, now: Time) -> Option<Hit> {
        let at = self.entries.iter().position(|entry| entry.0 == key)?;
        if now > self.entries[at].3 {
            self.dropped.push(self.entries.remove(at).0);
            return None;
        }
        self.entries[at].2 = true;
        Some(self.entries[at].1)
    }

    fn put(&mut self, key: CacheKey, now: Time, hit: Hit, bytes_max: u64) {
        self.entries.retain(|entry| entry.0 != key);
        while self.entries.first().is_some_and(|entry| now > entry.3) {
            self.dropped.push(self.entries.remove(0).0);
        }
        while self.bytes() + bytes_of(hit) > bytes_max {
            let (key, hit, used, expires) = self.entries.remove(0);
            if used {
                self.entries.push((key, hit, false, expires));
            } else {
                self.dropped.push(key);
            }
        }
        self.entries.push((key, hit, false, now + TTL));
    }

    fn forget(&mut self, key: CacheKey) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.0 != key);
        self.entries.len() < before
    }
}

const TTL: Span = Span(20);

fn answer(output: u32) -> Hit {
    Hit { usage: Usage::plain(1, output), deployment: DeploymentId(0) }
}

proptest! {
    #[test]
    fn it_agrees_with_a_list(steps in prop::collection::vec((0_u64..20, 0_u32..9, 0_u32..400, 0_u64..4), 0..300)) {
        const BYTES_MAX: u64 = 6_000;
        let (mut cache, mut reference, mut now) = (Cache::new(BYTES_MAX), Reference::default(), Time(0));
        cache.watch(true);
        for (number, what, output, passed) in steps {
            now = now + Span(passed);
            let key = CacheKey(Fingerprint(u64::MAX, number));
            match what {
                0..4 => {
                    cache.put(key, now, TTL, answer(output));
                    reference.put(key, now, answer(output), BYTES_MAX);
                }
                4..8 => prop_assert_eq!(cache.get(key, now, None), reference.get(key, now)),
                _ => prop_assert_eq!(cache.forget(key), reference.forget(key)),
            }
            prop_assert!(cache.take_dropped().eq(reference.dropped.drain(..)), "what goes is told");
            prop_assert_eq!((cache.len(), cache.bytes()), (reference.entries.len(), reference.bytes()));
            // What goes through bytes goes on the same.
            let bytes = serde_json::to_vec(&cache).expect("a cache can be written");
            cache = serde_json::from_slice(&bytes).expect("and read");
            cache.watch(true);
        }
    }
}

proptest! {
    /// Where buckets are full, and what is put out of them is gone before its time.
    #[test]
    fn a_copy_goes_on_as_the_cache_does(
        steps in prop::collection::vec((0_usize..60, 0_u32..9, 0_u32..400, 0_u64..3), 0..400),
        at in any::<prop::sample::Index>(),
        bytes_max in prop::sample::select(vec![20_000, u64::MAX]),
    ) {
        // All in two of the sixteen buckets.
        let keys: Vec<CacheKey> =
            (0..).map(|number| CacheKey(Fingerprint(u64::MAX, number))).filter(|key| hash(*key) % 16 < 2).take(60).collect();
        let mut caches = vec![Cache::new(bytes_max)];
        let copied = at.index(steps.len() + 1);
        let mut now = Time(0);
        for (number, (key, what, output, passed)) in steps.into_iter().enumerate() {
            if number == copied {
                let mut thawed = caches[0].frozen();
                thawed.thaw();
                caches.push(thawed);
                let bytes = serde_json::to_vec(&caches[0].frozen()).expect("a cache can be written");
                caches.push(serde_json::from_slice(&bytes).expect("and read"));
            }
            now = now + Span(passed);
            let key = keys[key];
            let said: Vec<_> = caches.iter_mut().map(|cache| match what {
                0..6 => { cache.put(key, now, Span(TTL.0 * 10), answer(output)); None }
                6..8 => cache.get(key, now, None),
                _ => cache.forget(key).then(|| answer(0)),
            }).collect();
            prop_assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
            prop_assert!(caches.iter().all(|cache| (cache.keys(), cache.bytes()) == (caches[0].keys(), caches[0].bytes())));
        }
    }
}

#[test]
fn hardly_any_answer_goes_before_its_time() {
    const ANSWERS: u64 = 100_000;
    let mut cache = Cache::new(u64::MAX);
    let key = |number: u64| CacheKey(Fingerprint(u64::MAX, number));
    for number in 0..ANSWERS {
        cache.put(key(number), Time(0), TTL, answer(1));
    }
    let found = (0..ANSWERS).filter(|number| cache.get(key(*number), Time(0), None).is_some()).count() as u64;
    assert_eq!(cache.len() as u64, found);
    assert!(found > ANSWERS - ANSWERS / 1000, "{found} of {ANSWERS}");
}
