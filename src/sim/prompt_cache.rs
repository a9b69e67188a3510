//! A provider's prompt cache: which leading blocks of a prompt were used lately. Knows no rates and no limits on its size; what is older than its
//! lifetime is forgotten, so memory follows the traffic of one lifetime.

use std::collections::VecDeque;

use super::world::{CacheWrite, PromptCache, Visible};
use crate::gateway::id::Map;
use crate::gateway::rate_card::Usage;
use crate::gateway::time::Time;
use crate::price::tokens::Ratio;

/// The state of one deployment's prompt cache.
#[derive(Debug)]
pub struct Blocks {
    rules: PromptCache,
    used: Map<u64, Use>,
    by_age: VecDeque<(Time, u64)>,
}

/// When a block was last used: the latest use that others see, and one that they will see.
#[derive(Debug, Clone, Copy)]
struct Use {
    seen: Option<Time>,
    coming: Time,
}

impl Use {
    fn last(&self, now: Time) -> Option<Time> {
        if self.coming <= now { Some(self.coming) } else { self.seen }
    }
}

impl Blocks {
    /// An empty cache.
    pub fn new(rules: PromptCache) -> Self {
        Self { rules, used: Map::default(), by_age: VecDeque::new() }
    }

    /// The input of a call as the provider will bill it, the output left at zero: what is read from the cache and what is written to it.
    ///
    /// A prompt's leading blocks count as long as each was used at most the lifetime ago; `ratio` makes tokens here of the tokens in them.
    pub fn usage(&self, now: Time, blocks: &[u64], block_size: u32, ratio: Ratio, input: u32) -> Usage {
        let PromptCache { ttl, tokens_min, step, write, .. } = self.rules;
        let is_fresh = |id: &&u64| self.used.get(*id).and_then(|used| used.last(now)).is_some_and(|last| now.since(last) <= ttl);
        let leading = blocks.iter().take_while(is_fresh).count() as u64;
        let cached = ratio.of_many(leading * u64::from(block_size)).min(input);
        let cached = cached - cached % step;
        let cache_read = if cached < tokens_min { 0 } else { cached };
        let written = if input < tokens_min { 0 } else { input - cache_read };
        let (cache_write, cache_write_1h) = match write {
            CacheWrite::Plain => (0, 0),
            CacheWrite::Short => (written, 0),
            CacheWrite::Hour => (0, written),
        };
        Usage { cache_read, cache_write, cache_write_1h, ..Usage::plain(input, 0) }
    }

    /// Uses all blocks of a call made at `now` whose first token comes at `first_token_at`: their lifetime starts anew.
    pub fn touch(&mut self, now: Time, first_token_at: Time, blocks: &[u64]) {
        self.forget(now);
        let at = match self.rules.visible {
            Visible::Arrival => now,
            Visible::FirstToken => first_token_at,
        };
        if at == Time::MAX {
            return;
        }
        for id in blocks {
            let used = self.used.entry(*id).or_insert(Use { seen: None, coming: at });
            if used.coming <= now {
                *used = Use { seen: Some(used.coming), coming: at };
            } else if at < used.coming {
                used.coming = at;
            }
            self.by_age.push_back((at, *id));
        }
    }

    fn forget(&mut self, now: Time) {
        while let Some((at, id)) = self.by_age.front().copied() {
            if at + self.rules.ttl >= now {
                return;
            }
            self.by_age.pop_front();
            if self.used.get(&id).is_some_and(|used| used.coming + self.rules.ttl < now) {
                self.used.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::time::Span;

    fn at(seconds: u64) -> Time {
        Time(seconds * Span::SECOND.0)
    }

    #[test]
    fn the_lifetime_is_inclusive_and_starts_anew_with_every_use() {
        let mut cache = Blocks::new(PromptCache::openai(Span::from_secs(10)));
        let read = |cache: &Blocks, seconds| cache.usage(at(seconds), &[1, 2, 3], 1000, Ratio::ONE, 2500).cache_read;
        assert_eq!(read(&cache, 0), 0);
        cache.touch(at(0), at(0), &[1, 2, 3]);
        assert_eq!((read(&cache, 0), read(&cache, 10), read(&cache, 11)), (2432, 2432, 0), "2,500 in steps of 128");
        cache.touch(at(9), at(9), &[1, 2]);
        assert_eq!(read(&cache, 11), 1920, "the third block has gone");
        cache.touch(at(100), at(100), &[7]);
        assert_eq!(cache.used.len(), 1, "what is too old to be read is not kept");
    }

    #[test]
    fn anthropic_bills_what_is_not_read_as_written() {
        let mut cache = Blocks::new(PromptCache::anthropic(Span::MINUTE));
        let parts = |cache: &Blocks, input| {
            let usage = cache.usage(at(0), &[1, 2], 1000, Ratio::ONE, input);
            (usage.cache_read, usage.cache_write)
        };
        assert_eq!((parts(&cache, 1023), parts(&cache, 1024)), ((0, 0), (0, 1024)));
        cache.touch(at(0), at(0), &[1]);
        assert_eq!(parts(&cache, 2000), (0, 2000), "1,000 cached tokens are too few");
        cache.touch(at(0), at(0), &[2]);
        assert_eq!(parts(&cache, 2001), (2000, 1));
    }

    #[test]
    fn blocks_may_be_readable_only_from_the_first_token_on() {
        let mut cache = Blocks::new(PromptCache::openai(Span::from_secs(10)).visible_at_first_token());
        let read = |cache: &Blocks, seconds| cache.usage(at(seconds), &[1, 2], 1024, Ratio::ONE, 2048).cache_read;
        cache.touch(at(0), at(3), &[1, 2]);
        assert_eq!((read(&cache, 2), read(&cache, 3)), (0, 2048));
        cache.touch(at(12), at(15), &[1, 2]);
        assert_eq!((read(&cache, 13), read(&cache, 14), read(&cache, 15)), (2048, 0, 2048), "the old use counts until the new one is seen");
    }
}
