//! What reading and passing on a request and its answer costs: `cargo bench --bench wire`. Prints the best of several rounds, in microseconds.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use gwsim::wire::{Dialect, Endpoint, Inbound, Relay, Target};

const ROUNDS: u32 = 20;
const TIMES: u32 = 2_000;

fn main() {
    let text = "Sum up the second half of the report in two sentences. ";
    for kilobytes in [1, 10, 100] {
        let body = request(&text.repeat(kilobytes * 1000 / text.len()));
        report(&format!("read a chat request of {} bytes", body.len()), || drop(black_box(Inbound::read(Endpoint::ChatCompletions, body.clone()))));
        let inbound = Inbound::read(Endpoint::ChatCompletions, body.clone()).expect("it is well-formed");
        let target =
            Target { dialect: Dialect::OpenAi, model: "gpt-4o-2024-08-06", max_tokens: 300, output_tokens_max: 16_384, stream_options: true };
        report(&format!("write what is sent on of {} bytes", body.len()), || drop(black_box(inbound.outbound(&target))));
    }
    let inbound = Inbound::read(Endpoint::ChatCompletions, request(text)).expect("it is well-formed");
    let chunk = Bytes::from(event("\"content\":\" word\"").repeat(100));
    report("relay 100 events in one chunk", || {
        let mut relay = Relay::new(&inbound, Dialect::OpenAi);
        relay.push(chunk.clone());
        black_box(relay.take());
    });
    let event = Bytes::from(event("\"content\":\" word\""));
    report("relay 100 events in 100 chunks", || {
        let mut relay = Relay::new(&inbound, Dialect::OpenAi);
        for _ in 0..100 {
            relay.push(event.clone());
            black_box(relay.take());
        }
    });
}

fn request(text: &str) -> Bytes {
    let system = "You answer in plain words.";
    format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{text}"}}],"temperature":0.2,"stream":true,"user":"ann"}}"#
    )
    .into()
}

fn event(delta: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1763850000,\"model\":\"gpt-4o-2024-08-06\",\"system_fingerprint\":\"fp_1\",\
         \"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}\n\n"
    )
}

fn report(what: &str, mut run: impl FnMut()) {
    let round = |run: &mut dyn FnMut()| {
        let began = Instant::now();
        (0..TIMES).for_each(|_| run());
        began.elapsed().as_nanos() / u128::from(TIMES)
    };
    let best = (0..ROUNDS).map(|_| round(&mut run)).min().expect("there are rounds");
    println!("{what:<44} {:>9}.{:03} us", best / 1000, best % 1000);
}
