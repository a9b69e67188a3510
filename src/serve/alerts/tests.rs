//! What is told to whom, and how often.

use std::time::{Duration, Instant};

use super::deliver::signature;
use super::{Incidents, Subject};
use crate::gateway::id::{AccountId, DeploymentId, ModelId};

#[test]
fn an_incident_is_told_once_within_its_time() {
    let mut incidents = Incidents::default();
    let (start, hour) = (Instant::now(), Duration::from_secs(3600));
    let cooling = Subject::Cooling(DeploymentId(1));
    assert!(incidents.is_new(cooling, start, hour));
    for second in 1..1000 {
        assert!(!incidents.is_new(cooling, start + Duration::from_secs(second), hour), "one page, not a thousand");
    }
    assert!(incidents.is_new(Subject::Cooling(DeploymentId(2)), start, hour), "another deployment is another incident");
    assert!(incidents.is_new(cooling, start + hour, hour));
}

#[test]
fn the_levels_of_a_budget_are_incidents_of_their_own_and_shares_are_not() {
    let mut incidents = Incidents::default();
    let (now, hour) = (Instant::now(), Duration::from_secs(3600));
    assert!(incidents.is_new(Subject::BudgetLevel(AccountId(0), 800), now, hour));
    assert!(incidents.is_new(Subject::BudgetLevel(AccountId(0), 1000), now, hour));
    assert!(incidents.is_new(Subject::FallbackShare(ModelId(0), 51), now, hour));
    assert!(!incidents.is_new(Subject::FallbackShare(ModelId(0), 52), now, hour));
}

/// Computed with `printf '%s' '1700000000.{}' | openssl dgst -sha256 -hmac secret`.
#[test]
fn a_signature_is_the_hmac_of_time_and_body() {
    assert_eq!(signature("secret", 1_700_000_000, "{}"), "sha256=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
}
