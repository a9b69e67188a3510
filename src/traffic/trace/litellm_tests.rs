//! LiteLLM's logs as Postgres exports them, as its API answers them, and as its loggers write them.

use super::tests::read_text;
use super::*;

/// An export with `\copy (select ...) to ... csv header`: quoted names, jsonb as text, no zone.
const CSV: &str = r##"request_id,call_type,api_key,spend,total_tokens,prompt_tokens,completion_tokens,"startTime","endTime","completionStartTime",model,model_id,model_group,custom_llm_provider,api_base,user,metadata,cache_hit,cache_key,request_tags,team_id,end_user,session_id,status
r1,acompletion,88dc28,0.00012,1210,1200,10,2026-11-20 14:00:00.123,2026-11-20 14:00:02.123,2026-11-20 14:00:00.623,gpt-4o-mini-2024-07-18,d1,gpt-4o-mini,openai,https://api.openai.com,u,"{""user_api_key_alias"": ""web"", ""user_api_key_team_alias"": ""shop"", ""usage_object"": {""prompt_tokens_details"": {""cached_tokens"": 1024}, ""completion_tokens_details"": {""reasoning_tokens"": 4}}, ""attempted_retries"": 1, ""attempted_fallbacks"": 0}",False,0a1b,"[""app:web"", ""User-Agent: x (y; z)""]",t1,ann,s1,success
r2,acompletion,88dc28,0,0,0,0,2026-11-20 14:00:01+00,2026-11-20 14:00:01.5+00,2026-11-20 14:00:01.5+00,gpt-4o,,gpt-4o,openai,https://eu.example,u,"{""error_information"": {""error_code"": ""429"", ""error_class"": ""RateLimitError""}}",None,Cache OFF,[],t1,,,failure
r3,acompletion,88dc28,0.5,30,20,10,2026-11-20 15:00:02+01:00,2026-11-20 14:00:03,2026-11-20 14:00:03,claude-3-5-sonnet,d3,claude,anthropic,,u,"{""attempted_fallbacks"": 1, ""original_model_group"": ""gpt-4o"", ""client_disconnected"": true}","","",[],,,,success
r4_cache_hit1,acompletion,88dc28,0,1210,1200,10,2026-11-20 14:00:04,2026-11-20 14:00:04.01,2026-11-20 14:00:04.01,gpt-4o-mini,,gpt-4o-mini,openai,,u,{},True,0a1b,[],,,,success
"##;

fn names(batch: &Batch, id: Option<NameId>, kind: fn(&FirstSeen) -> &Vec<String>) -> String {
    id.map_or_else(String::new, |id| kind(&batch.first_seen)[id.index()].clone())
}

fn model(batch: &Batch, row: usize) -> String {
    names(batch, batch.rows[row].model, |seen| &seen.models)
}

fn deployment(batch: &Batch, row: usize) -> String {
    names(batch, batch.recorded(&batch.rows[row]).unwrap().deployment, |seen| &seen.deployments)
}

fn export() -> Batch {
    read_text(CSV, Options::default()).unwrap()
}

#[test]
fn an_export_says_who_asked_for_what_and_who_answered() {
    let batch = export();
    let row = &batch.rows[0];
    assert_eq!(row.at, Time(1_795_183_200_123_000_000), "14:00:00.123 is UTC without a zone");
    assert_eq!((row.input_tokens, row.output_tokens, row.stream), (1200, Some(10), Some(true)));
    assert_eq!(names(&batch, row.key, |seen| &seen.keys), "web", "the alias, by which configurations know a key");
    assert_eq!(names(&batch, row.team, |seen| &seen.teams), "shop");
    assert_eq!(names(&batch, row.session, |seen| &seen.sessions), "s1");
    let tags: Vec<_> = batch.tags(row).iter().map(|tag| batch.first_seen.tags[tag.index()].as_str()).collect();
    assert_eq!(tags, ["app:web", "User-Agent: x (y, z)"]);
    assert_eq!((model(&batch, 0).as_str(), deployment(&batch, 0).as_str()), ("gpt-4o-mini", "gpt-4o-mini-2024-07-18#d1"));
    let recorded = batch.recorded(row).unwrap();
    assert_eq!((recorded.ttft, recorded.duration), (Some(Span::from_millis(500)), Some(Span::from_millis(2000))));
    assert_eq!((recorded.cached_tokens, recorded.reasoning_tokens, recorded.status), (Some(1024), Some(4), Some(200)));
    assert_eq!((recorded.attempts, recorded.fallbacks, recorded.cache_hit), (Some(2), Some(0), Some(false)));
    assert_eq!(recorded.cost.unwrap().0, 120_000_000);
    assert_eq!(batch.first_seen.keys, ["web", "88dc28"], "a name is only taken where it counts");
}

#[test]
fn a_failure_has_its_status_and_no_answer() {
    let batch = export();
    let row = &batch.rows[1];
    let recorded = batch.recorded(row).unwrap();
    assert_eq!((recorded.status, row.output_tokens, row.stream), (Some(429), None, None), "0 tokens are no answer, no first token is no stream");
    assert_eq!(recorded.duration, Some(Span::from_millis(500)));
    assert!(row.fingerprint.is_unique(), "Cache OFF is no identity");
    assert_eq!(deployment(&batch, 1), "gpt-4o@https://eu.example");
}

#[test]
fn a_fallback_was_asked_for_as_what_it_fell_back_from() {
    let batch = export();
    let row = &batch.rows[2];
    assert_eq!((model(&batch, 2).as_str(), deployment(&batch, 2).as_str()), ("gpt-4o", "claude-3-5-sonnet#d3"));
    assert_eq!(row.left_after, Some(LeftAfter::Waited(Span::from_secs(1))), "the client left after as long as the request took");
    assert_eq!((row.stream, batch.recorded(row).unwrap().attempts), (Some(false), Some(2)));
}

#[test]
fn a_cached_answer_has_no_deployment_and_the_identity_of_the_first() {
    let batch = export();
    let recorded = batch.recorded(&batch.rows[3]).unwrap();
    assert_eq!((recorded.cache_hit, recorded.deployment), (Some(true), None));
    assert_eq!(batch.rows[3].fingerprint, batch.rows[0].fingerprint);
}

#[test]
fn lower_case_names_and_the_api_say_the_same() {
    let lower = CSV.replace("\"startTime\",\"endTime\",\"completionStartTime\"", "starttime,endtime,completionstarttime");
    let lower = read_text(lower, Options::default()).unwrap();
    assert_eq!(lower, export());
    let object = r#"{"request_id":"r1","api_key":"88dc28","spend":0.00012,"prompt_tokens":1200,"completion_tokens":10,"startTime":"2026-11-20T14:00:00.123Z","endTime":"2026-11-20T14:00:02.123000+00:00","completionStartTime":"2026-11-20T14:00:00.623Z","model":"m","model_group":"gpt-4o-mini","metadata":META,"cache_hit":"False","cache_key":"0a1b","request_tags":["a"],"messages":{},"response":{"x":[1]},"session_id":null,"status":"success"}"#;
    let meta = r#"{"user_api_key_alias":"web","attempted_retries":1,"unheard_of":{"a":[1,"\""]}}"#;
    let as_text = serde_json::to_string(meta).unwrap();
    let [object, text] = [meta, &as_text].map(|meta| read_text(object.replace("META", meta), Options::default()).unwrap());
    assert_eq!(object, text, "jsonb as an object and as a text");
    assert_eq!((object.first_seen.keys.as_slice(), object.rows[0].at), (&["web".to_owned()][..], lower.rows[0].at));
}

#[test]
fn a_loggers_payload_has_a_row_for_each_attempt() {
    let line = |id: &str, start: &str, status: &str, more: &str| {
        format!(
            r#"{{"id":"{id}","trace_id":"T","litellm_call_id":"c","call_type":"acompletion","stream":true,"response_cost":0.0,"status":"{status}","prompt_tokens":20,"completion_tokens":0,"total_tokens":20,"startTime":{start},"endTime":1763647201.5,"completionStartTime":1763647201.5,"model":"m","model_group":"gpt-4o","metadata":{{"user_api_key_hash":"h","user_api_key_team_id":"t"}},"model_parameters":{{"max_tokens":64,"stream":true}},"cache_hit":null,"request_tags":[]{more}}}
"#
        )
    };
    let text = line("a", "1763647200.123456", "failure", r#","error_information":{"error_code":"","error_class":"Timeout"}"#)
        + &line("b", "1763647200.5", "success", r#","error_information":null"#);
    let batch = read_text(text, Options::default()).unwrap();
    let recorded: Vec<_> = batch.rows.iter().map(|row| batch.recorded(row).unwrap()).collect();
    assert_eq!(batch.rows[0].at, Time(1_763_647_200_123_456_000));
    assert_eq!((recorded[0].status, recorded[1].status), (Some(408), Some(200)), "a time-out has no code of its own");
    assert!(recorded[0].request.is_some() && recorded[0].request == recorded[1].request, "both are attempts of one request");
    assert_eq!((batch.rows[0].max_tokens, batch.rows[0].stream), (Some(64), Some(true)));
    assert_eq!((batch.first_seen.keys.as_slice(), batch.first_seen.teams.as_slice()), (&["h".to_owned()][..], &["t".to_owned()][..]));
}

#[test]
fn what_litellm_does_not_write_is_refused_where_it_stands() {
    let of = |from: &str, to: &str| read_text(CSV.replacen(from, to, 1), Options::default()).unwrap_err();
    let error = of("failure\n", "maybe\n");
    assert_eq!((error.line(), error.what()), (Some(3), "`status` is neither success nor failure: `maybe`"));
    let error = of("2026-11-20 14:00:01.5+00,", "2026-11-20 13:00:00+00,");
    assert_eq!((error.line(), error.what()), (Some(3), "the request ends before it starts"));
    let error = of("\"{\"\"error_information\"\":", "\"{\"\"error_information\"\" ");
    assert!(error.what().starts_with("`metadata` is not what LiteLLM writes: "), "{error}");
    let (line, marked) = error.excerpt().unwrap();
    assert!(line[marked].starts_with("{\"\"error"), "{error}");
    let error = of("call_type", "cal_type");
    assert_eq!((error.what(), error.hint().starts_with("did you mean `call_type`?")), ("unknown column `cal_type`", true));
}

#[test]
fn a_log_that_is_converted_reads_back_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.csv");
    std::fs::write(&input, CSV).unwrap();
    for end in ["csv", "jsonl", "parquet"] {
        let output = dir.path().join(format!("out.{end}"));
        convert(&input, &output, Options::default()).unwrap();
        let mut after = super::tests::read(Trace::open(&output, Options::default()).unwrap()).unwrap();
        let mut before = export();
        before.rows.iter_mut().chain(&mut after.rows).for_each(|row| row.line = 0);
        assert_eq!(after, before, "{end}");
    }
}
