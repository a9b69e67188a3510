use super::*;
use crate::report::sample;

#[test]
fn a_comment_on_a_pull_request() {
    let mut report = sample::report();
    let mut capped = report.variants[0].clone();
    capped.name = "capped | <b>".into();
    capped.runs[0].totals.bill = Money(3_000_000_000);
    report.variants.push(capped);
    insta::assert_snapshot!(render(&report), @r"
    ### Fallback escalation!

    three.csv, 3 requests in 2 min, recorded  
    TRUST D: not checked against a bill. Compare the variants; don't budget with the dollars.

    | | $ trace | $/hour | change | answered | p95 | other model | retries | 429s |
    |---|--:|--:|--:|--:|--:|--:|--:|--:|
    | as configured | 0.00371 | 0.111 |  | 66.7 % | 2.0 s | 50.0 % | 0 | 1 |
    | capped \| &lt;b&gt; | 0.00300 | 0.090 | -19.1 % | 66.7 % | 2.0 s | 50.0 % | 0 | 1 |

    **capped \| &lt;b&gt; costs 19.1 % less, about $0.0213 an hour of such traffic, at equal success: the models asked for are cheaper here.**

    Could be wrong:
    - luck is not known (one seed; --seeds 10 tells)
    - day to day is not known (trace too short: 2 blocks of 3 s, 20 needed)
    - answer quality is not measured, and other models give 50.0 % of the answers

    <details><summary>Dollars by cause</summary>

    | | base | premium of place | prompt cache | wasted | undelivered | reserved | total |
    |---|--:|--:|--:|--:|--:|--:|--:|
    | as configured | 0.00042 | 0.00329 | 0.00000 | 0.00000 | 0.00000 | 0.00000 | 0.00371 |
    | capped \| &lt;b&gt; | 0.00042 | 0.00329 | 0.00000 | 0.00000 | 0.00000 | 0.00000 | 0.00371 |

    </details>

    <details><summary>What it rests on</summary>

    - capped \| &lt;b&gt;: 95 % of the change, in points: luck unknown (one seed), day to day unknown (trace too short: 2 blocks of 3 s, 20 needed)
    - $/hour: the trace's dollars spread over its 2 min; too short to speak of days.
    - prices: built-in list of 2026-11-22
    - prompt cache visible at arrival \[preset ledger\]
    - trace `three.csv`, SHA-256 `0000000000000000000000000000000000000000000000000000000000000000`

    </details>
    ");
}
