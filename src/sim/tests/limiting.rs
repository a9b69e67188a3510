//! Providers' rate limiters against what can be counted by hand.

use super::*;
use crate::sim::world::{Basis, Counted, DAY, Pace, ProviderLimit};
use crate::traffic::local_clock::LocalClock;

fn limited(limiter: Limiter) -> Upstream {
    upstream(DeploymentWorld { limiter: Some(limiter), ..DeploymentWorld::ledger("a") })
}

fn is_admitted(upstream: &mut Upstream, at: Time, max_tokens: u32) -> bool {
    upstream.call(at, ONLY, 0, max_tokens, &small(0)).ending == Ending::Whole
}

fn requests(amount: u64, period: Span, refill: Refill) -> ProviderLimit {
    ProviderLimit { counts: Counted::Requests, amount, period, refill }
}

fn only(limit: ProviderLimit) -> Limiter {
    Limiter { limits: vec![limit], ..Limiter::ledger(1, 1, Refill::Bucket) }
}

/// A bucket that is emptied faster than it fills never overflows again. From its first refusal on it has always admitted as many calls as the
/// tokens that ever were in it are worth, rounded down.
#[test]
fn a_bucket_admits_of_a_constant_source_what_ran_into_it() {
    for (amount, gap_ms) in [(60, 100), (1_000, 7), (500, 90), (600, 80)] {
        let mut upstream = limited(only(requests(amount, Span::MINUTE, Refill::Bucket)));
        let (mut admitted, mut refused) = (0_u64, 0_u64);
        for call in 0..3_000 {
            let at = call * gap_ms;
            if is_admitted(&mut upstream, Time(at * 1_000_000), 16) {
                admitted += 1
            } else {
                refused += 1
            }
            if refused > 0 {
                assert_eq!(admitted, amount + amount * at / 60_000, "{amount} a minute, one every {gap_ms} ms, after {at} ms");
            }
        }
        assert!(refused > 0, "{amount} a minute, one every {gap_ms} ms");
    }
}

#[test]
fn sixty_a_minute_enforced_as_one_a_second_refuse_the_second_in_a_second() {
    let mut whole = limited(only(requests(60, Span::MINUTE, Refill::Bucket)));
    let mut within = limited(Limiter { requests_within: Some(Span::SECOND), ..only(requests(60, Span::MINUTE, Refill::Bucket)) });
    let admitted = |upstream: &mut Upstream, times: [u64; 5]| times.map(|millis| is_admitted(upstream, Time(millis * 1_000_000), 16));
    assert_eq!(admitted(&mut whole, [0, 500, 999, 1_000, 1_999]), [true; 5]);
    assert_eq!(admitted(&mut within, [0, 500, 999, 1_000, 1_999]), [true, false, false, true, false]);
    let five_hundred = requests(500, Span::MINUTE, Refill::Bucket).within(Span::SECOND);
    assert_eq!((five_hundred.amount, five_hundred.period), (8, Span::from_millis(960)), "the same rate, 8 at once");
    let slow = requests(30, Span::MINUTE, Refill::Bucket).within(Span::SECOND);
    assert_eq!((slow.amount, slow.period), (1, Span::from_secs(2)));
}

#[test]
fn a_day_of_gemini_begins_at_midnight_pacific() {
    let days_by = |clock: LocalClock| limited(Limiter { day_starts: Some(clock), ..only(requests(2, DAY, Refill::Bucket)) });
    let at = |upstream: &mut Upstream, hours: u64| is_admitted(upstream, Time(Span::from_secs(hours * 3600).0), 16);
    // 8 March 2026, a day of 23 hours: summer time begins at 10:00 UTC.
    let day = 20_520 * 24;
    let mut pacific = days_by(LocalClock::of_zone("America/Los_Angeles").unwrap());
    assert_eq!([7, 7, 7].map(|hour| at(&mut pacific, day + hour)), [true, true, false]);
    assert_eq!([8, 20, 30].map(|hour| at(&mut pacific, day + hour)), [true, true, false], "from 08:00 UTC to 07:00 UTC");
    assert_eq!([31, 32, 54].map(|hour| at(&mut pacific, day + hour)), [true, true, false]);
    // By a clock that knows no summer the day is an hour longer.
    let mut fixed = days_by(LocalClock::behind_utc(Span::from_secs(8 * 3600)));
    assert_eq!([8, 20, 31, 32].map(|hour| at(&mut fixed, day + hour)), [true, true, false, true]);
}

/// 20 output tokens at 10 a second, where 100 fit in a minute.
fn output_limited(corrected_at_end: bool) -> Upstream {
    let limit = ProviderLimit { counts: Counted::OutputTokens, ..requests(100, Span::from_secs(6_000), Refill::Bucket) };
    let limiter = Limiter { basis: Basis::MaxTokens { unstated: 16 }, corrected_at_end, ..only(limit) };
    upstream(DeploymentWorld { pace: Pace::tokens_per_second(Span::SECOND, 10), limiter: Some(limiter), ..DeploymentWorld::ledger("a") })
}

#[test]
fn output_counted_by_max_tokens_is_put_right_when_the_call_ends() {
    let mut estimated = output_limited(false);
    let mut corrected = output_limited(true);
    let mut both = |millis: u64, max_tokens| {
        let at = Time(millis * 1_000_000);
        (is_admitted(&mut estimated, at, max_tokens), is_admitted(&mut corrected, at, max_tokens))
    };
    assert_eq!(both(0, 90), (true, true));
    assert_eq!(both(2_899, 50), (false, false), "it ends at 1 s + 19 x 100 ms");
    assert_eq!(both(2_900, 70), (false, true), "90 were counted, 20 were made");
    assert_eq!(both(6_000, 61), (false, false), "the second made 20 as well, and 60 are left");
    assert_eq!(both(6_000, 60), (false, true));
}

#[test]
fn a_call_beyond_the_limit_never_fits_and_is_not_told_to_come_back() {
    let limiter = Limiter { retry_after: RetryAfter::UntilItFits, ..Limiter::openai(500, 1_000) };
    let mut upstream = limited(limiter);
    for hour in 0..24 {
        let fate = upstream.call(Time(Span::from_secs(hour * 3600).0), ONLY, 0, 901, &small(0));
        assert_eq!(fate.ending.failure().map(|failure| (failure.status, failure.retry_after)), Some((429, None)));
    }
}

#[test]
fn input_read_from_the_prompt_cache_does_not_count_but_written_input_does() {
    let limit = ProviderLimit { counts: Counted::InputTokens, ..requests(5_000, Span::from_secs(60_000), Refill::Bucket) };
    let cache = PromptCache::anthropic(Span::from_secs(300));
    let mut upstream = upstream(DeploymentWorld { limiter: Some(only(limit)), prompt_cache: Some(cache), ..DeploymentWorld::ledger("a") });
    let mut call = |first_block: u64| {
        let blocks = [first_block, first_block + 1];
        let prompt = Prompt { input_tokens: 2_048, blocks: &blocks, block_size: 1_024, ..small(0) };
        upstream.call(Time(0), ONLY, 0, 16, &prompt).ending == Ending::Whole
    };
    assert_eq!([call(10), call(20)], [true, true], "4,096 of 5,000, all of it written");
    assert_eq!([call(10), call(20), call(10)], [true; 3], "read, and free");
    assert!(!call(30), "2,048 more are too many");
}
