//! Which deployment of a group is called: the candidates, what holds them back, and the strategies. `router` decides whether there is a call at all.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::slice;

use super::Gateway;
use super::budget::{ACCOUNTS_MAX, Budget, Want};
use super::directory::Path;
use super::draw::{self, Purpose};
use super::failure::FailureClass;
use super::id::{AccountId, DeploymentId, ModelId};
use super::journal::{Fact, Journal, Skip};
use super::limits::{Ask, Room};
use super::money::Money;
use super::plan::{Model, OnShort, Pick, Plan, Strategy};
use super::request::Request;
use super::router::Progress;
use super::time::Time;

/// The most deployments in one group: candidates are the bits of a word.
pub const DEPLOYMENTS_MAX: usize = 64;

/// What a request needs to know of itself to be routed.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// The request.
    pub request: &'a Request,
    /// The accounts, limits and policies of its key.
    pub path: &'a Path,
    /// When its client gives up.
    pub deadline: Time,
}

/// The accounts that one call is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounts {
    ids: [AccountId; ACCOUNTS_MAX],
    len: usize,
}

/// A deployment picked, and what its call is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// The group.
    pub model: ModelId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The max_tokens to send.
    pub max_tokens: u32,
    /// What to hold.
    pub want: Want,
    /// Accounts with `on_short = "shrink"` hold what they have left, whatever the call may cost.
    pub shrink: bool,
    /// Where to hold it.
    pub accounts: Accounts,
}

/// Why no deployment of a group can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// All are cooling or open.
    Unhealthy,
    /// The gateway's own limits on them are used up, or the blind pick met one that is.
    Saturated,
    /// Each has had its attempts for this request.
    Exhausted,
    /// The input is too long for all.
    TooLong,
    /// The worst case of each is above what `max_price_ratio` allows.
    PriceRatio,
    /// The worst case of none fits this account.
    Short(AccountId),
    /// None offers all that the request requires.
    CannotExpress,
    /// One is held back by a bound on the input that counting may lower: nothing is decided before that.
    Uncounted,
}

/// Why a call can't be paid, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// Its worst case does not fit this account.
    Account(AccountId),
    /// It does not fit, and may once the input has been counted.
    Uncounted,
}

/// Picks a deployment of the group that `progress` is in.
#[inline]
pub fn pick<J: Journal>(
    plan: &Plan,
    gateway: &Gateway,
    needs: &Needs<'_>,
    progress: &Progress,
    now: Time,
    journal: &mut J,
) -> Result<Picked, Blocked> {
    let model = plan.model(progress.group);
    let mut open = candidates(plan, gateway, needs, progress, now)?;
    // Told once nothing is left to be counted: what is asked again is not told twice.
    let mut short = Vec::new();
    let picked = loop {
        let preferred = open & !progress.avoided(model);
        let from = if preferred != 0 { preferred } else { open };
        let Some(index) = choose(plan, gateway, needs, progress, model, from, short.len() as u32, now) else {
            break Err(short.last().map_or(Blocked::Saturated, |(_, account)| Blocked::Short(*account)));
        };
        let deployment = model.deployments[index];
        if model.pick == Pick::Blind && !has_room(plan, gateway, needs, progress.group, deployment, now) {
            break Err(Blocked::Saturated);
        }
        match afford(plan, gateway, needs, progress.group, deployment, now) {
            Ok(picked) => break Ok(picked),
            Err(Short::Uncounted) => return Err(Blocked::Uncounted),
            Err(Short::Account(account)) => {
                short.push((deployment, account));
                open &= !(1 << index);
            }
        }
    };
    for (deployment, account) in short {
        let skip = Fact::Skipped { model: progress.group, deployment: Some(deployment), reason: Skip::Budget(account) };
        journal.record(now, Some(needs.request.id), || skip);
    }
    picked
}

/// The same deployment again, for a transport retry: only money can stand in its way.
pub fn again(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, group: ModelId, id: DeploymentId, now: Time) -> Result<Picked, Short> {
    afford(plan, gateway, needs, group, id, now)
}

/// The output tokens that a call of `request` to this deployment may ask for.
#[inline]
pub fn max_tokens(plan: &Plan, path: &Path, request: &Request, group: ModelId, deployment: DeploymentId) -> u32 {
    max_tokens_under(plan, path.overrides.max_tokens_cap, request, group, deployment)
}

/// The same for whoever sends the request: by its own wish and its model's policy, whatever its key may have.
pub fn max_tokens_of_anyone(plan: &Plan, request: &Request, group: ModelId, deployment: DeploymentId) -> u32 {
    max_tokens_under(plan, None, request, group, deployment)
}

#[inline]
fn max_tokens_under(plan: &Plan, own_cap: Option<u32>, request: &Request, group: ModelId, deployment: DeploymentId) -> u32 {
    let model = plan.model(group);
    let most = plan.deployment(deployment).output_tokens_max;
    let cap = own_cap.or(model.max_tokens.cap).unwrap_or(u32::MAX);
    request.max_tokens.map(core::num::NonZeroU32::get).or(model.max_tokens.default).unwrap_or(most).min(cap).min(most)
}

/// What the request costs at most at the model asked for, at the rates of `now`.
fn worst_case_asked(plan: &Plan, path: &Path, request: &Request, now: Time) -> Money {
    let asked = plan.model(request.model);
    let Some(deployment) = asked.deployments.first() else { return Money::ZERO };
    let output = u64::from(max_tokens(plan, path, request, request.model, *deployment)) * u64::from(request.choices);
    asked.reference.at(now).worst_case(request.input_tokens_max_on(plan.deployment(*deployment)), output)
}

/// What a request asks of the limits that it counts on, with `output` tokens at most.
#[inline]
pub fn ask(request: &Request, output: u32) -> Ask {
    Ask { input: u64::from(request.input_tokens), output: u64::from(output) * u64::from(request.choices) }
}

impl Accounts {
    fn of(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, group: ModelId, deployment: DeploymentId) -> Self {
        let mut accounts = Self { ids: [AccountId(0); ACCOUNTS_MAX], len: 0 };
        debug_assert!(group.index() < plan.models.len());
        accounts.extend(&needs.path.accounts);
        accounts.extend(gateway.models[group.index()].scope.accounts());
        accounts.extend(gateway.deployments[deployment.index()].accounts());
        if let Some(end_user) = needs.request.end_user {
            accounts.extend(gateway.directory.end_user_accounts(end_user));
        }
        if let Some(tag) = needs.request.tag {
            for account in gateway.directory.tag_accounts(tag) {
                // A tag may come with the request and with its key: it is charged once.
                if !accounts.as_slice().contains(account) {
                    accounts.extend(slice::from_ref(account));
                }
            }
        }
        accounts
    }

    /// Adds the accounts of an owner, which no other owner has.
    #[inline]
    fn extend(&mut self, ids: &[AccountId]) {
        for id in ids {
            self.ids[self.len] = *id;
            self.len += 1;
        }
    }

    /// The accounts as a slice.
    #[inline]
    pub fn as_slice(&self) -> &[AccountId] {
        &self.ids[..self.len]
    }
}

/// The deployments of a priority level that are in use, as bits by their place in the group. A weight of zero is never picked, not even
/// when nothing else is left, unless the whole level has no weight.
#[inline]
pub fn on_level(plan: &Plan, model: &Model, level: u32) -> u64 {
    let (mut all, mut weighted) = (0, 0);
    for (i, id) in model.deployments.iter().enumerate() {
        let deployment = plan.deployment(*id);
        if !deployment.retired && deployment.order == level {
            all |= 1 << i;
            weighted |= u64::from(deployment.weight > 0) << i;
        }
    }
    if model.strategy == Strategy::WeightedShuffle && weighted != 0 { weighted } else { all }
}

/// Those of some deployments of a group, as bits by their place in it, that a request can be sent to: they offer all that it requires.
#[inline]
pub fn expressing(plan: &Plan, model: &Model, some: u64, request: &Request) -> u64 {
    if request.requires.is_empty() {
        return some;
    }
    let offers = |id: DeploymentId| plan.deployment(id).offers.have(request.requires);
    model.deployments.iter().enumerate().fold(some, |bits, (i, id)| if offers(*id) { bits } else { bits & !(1 << i) })
}

/// Journals the deployments of a priority level that the request cannot be sent to, once: at the first look at the level.
#[inline]
pub(super) fn tell_of_others<J: Journal>(plan: &Plan, needs: &Needs<'_>, progress: &Progress, now: Time, journal: &mut J) {
    if progress.attempts > 0 || needs.request.requires.is_empty() {
        return;
    }
    let model = plan.model(progress.group);
    let level = on_level(plan, model, progress.level);
    let others = level & !expressing(plan, model, level, needs.request);
    for (i, id) in model.deployments.iter().enumerate() {
        if others & (1 << i) != 0 {
            let skip = Fact::Skipped { model: progress.group, deployment: Some(*id), reason: Skip::CannotExpress };
            journal.record(now, Some(needs.request.id), || skip);
        }
    }
}

/// The deployments that may be called now, as bits by their place in the group; or the last hurdle that any of them got to.
#[inline]
fn candidates(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, progress: &Progress, now: Time) -> Result<u64, Blocked> {
    let model = plan.model(progress.group);
    let ratio = if progress.group == needs.request.model { None } else { price_ratio(plan, needs) };
    let ceiling = ratio.map(|ratio| ceiling(plan, needs, ratio, now));
    let hurdles: [(Blocked, &dyn Fn(DeploymentId) -> bool); 5] = [
        (Blocked::Exhausted, &|id| progress.attempts_on(id) < model.attempts.per_deployment),
        (Blocked::TooLong, &|id| needs.request.input_tokens <= plan.deployment(id).input_tokens_max),
        (Blocked::Unhealthy, &|id| gateway.health.may_call(model, id, now)),
        (Blocked::PriceRatio, &|id| is_within(ceiling, worst_case(plan, needs, progress.group, id, now))),
        (Blocked::Saturated, &|id| model.pick == Pick::Blind || has_room(plan, gateway, needs, progress.group, id, now)),
    ];
    let (mut open, mut furthest) = (0, 0);
    let level = on_level(plan, model, progress.level);
    let mut left = expressing(plan, model, level, needs.request);
    if left == 0 && level != 0 {
        return Err(Blocked::CannotExpress);
    }
    while left != 0 {
        let place = left.trailing_zeros();
        left &= left - 1;
        let id = model.deployments[place as usize];
        match hurdles.iter().position(|(_, passes)| !passes(id)) {
            None => open |= 1 << place,
            Some(hurdle) => {
                let is_dear = hurdles[hurdle].0 == Blocked::PriceRatio;
                if is_dear && needs.request.countable && is_cheaper_counted(plan, needs, progress.group, id, now) {
                    return Err(Blocked::Uncounted);
                }
                furthest = furthest.max(hurdle);
            }
        }
    }
    if open == 0 { Err(hurdles[furthest].0) } else { Ok(open) }
}

fn price_ratio(plan: &Plan, needs: &Needs<'_>) -> Option<u32> {
    needs.path.overrides.price_ratio_max_per_mille.or(plan.model(needs.request.model).fallbacks.price_ratio_max_per_mille)
}

#[inline]
fn worst_case(plan: &Plan, needs: &Needs<'_>, group: ModelId, id: DeploymentId, now: Time) -> Money {
    let output = u64::from(max_tokens(plan, needs.path, needs.request, group, id)) * u64::from(needs.request.choices);
    let deployment = plan.deployment(id);
    deployment.rates.at(now).worst_case(needs.request.input_tokens_max_on(deployment), output)
}

/// The most that a call may cost at a price ratio, in thousandths.
fn ceiling(plan: &Plan, needs: &Needs<'_>, ratio_per_mille: u32, now: Time) -> i128 {
    worst_case_asked(plan, needs.path, needs.request, now).0 * i128::from(ratio_per_mille)
}

/// Whether a worst case is within a ceiling, if there is one.
#[inline]
fn is_within(ceiling: Option<i128>, worst_case: Money) -> bool {
    ceiling.is_none_or(|ceiling| worst_case.0 * 1000 <= ceiling)
}

/// Whether a deployment that is too dear by the bound on the input may be within `max_price_ratio` once that is counted: if it were with nothing.
fn is_cheaper_counted(plan: &Plan, needs: &Needs<'_>, group: ModelId, id: DeploymentId, now: Time) -> bool {
    let counted = Request { input_tokens_counted: 0, ..*needs.request };
    let needs = Needs { request: &counted, ..*needs };
    let ceiling = price_ratio(plan, &needs).map(|ratio| ceiling(plan, &needs, ratio, now));
    plan.deployment(id).countable && is_within(ceiling, worst_case(plan, &needs, group, id, now))
}

fn has_room(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, group: ModelId, id: DeploymentId, now: Time) -> bool {
    let scope = &gateway.deployments[id.index()];
    if scope.limits().is_empty() {
        return true;
    }
    let limits = scope.list();
    let ask = ask(needs.request, max_tokens(plan, needs.path, needs.request, group, id));
    gateway.limits.fit(limits, now, ask) == Room::Fits
}

/// Finds what the call would hold, lowering its max_tokens or the hold where the accounts want that; or the account that has no room.
#[inline]
fn afford(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, group: ModelId, id: DeploymentId, now: Time) -> Result<Picked, Short> {
    let (request, deployment) = (needs.request, plan.deployment(id));
    let rates = deployment.rates.at(now);
    let input = request.input_tokens_max_on(deployment);
    let max_tokens = max_tokens(plan, needs.path, request, group, id);
    let accounts = Accounts::of(plan, gateway, needs, group, id);
    let want_of = |input: u32, max_tokens: u32| {
        let choices = u64::from(request.choices);
        let worst_case = rates.worst_case(input, u64::from(max_tokens) * choices);
        let mut estimates = None;
        for (number, quantile) in gateway.budget.estimating(accounts.as_slice()) {
            if let Some(output) = gateway.models[group.index()].outputs.quantile(quantile) {
                let estimate = rates.worst_case(input, u64::from(output.min(max_tokens)) * choices);
                estimates.get_or_insert_with(|| Box::new([worst_case; ACCOUNTS_MAX]))[number] = estimate;
            }
        }
        Want { worst_case, estimates }
    };
    let want_for = |max_tokens: u32| want_of(input, max_tokens);
    let mut picked = Picked { model: group, deployment: id, max_tokens, want: want_for(max_tokens), shrink: false, accounts };
    let fits = gateway.budget.short(accounts.as_slice(), now, &picked.want).is_none();
    if request.countable && deployment.countable {
        let is_refused = !fits || gateway.budget.observed_short(accounts.as_slice(), now, &picked.want).is_some();
        if is_refused && counting_helps(&gateway.budget, accounts.as_slice(), now, fits, &want_of(0, max_tokens)) {
            return Err(Short::Uncounted);
        }
    }
    if fits {
        return Ok(picked);
    }
    if let (room, OnShort::Clamp { min }) = gateway.budget.remainder(accounts.as_slice(), now, &picked.want)? {
        // The dearest output rate is the difference that one more token makes.
        let input_only = rates.worst_case(input, 0);
        let per_token = rates.worst_case(input, u64::from(request.choices)) - input_only;
        let fits = if per_token > Money::ZERO { ((room - input_only).0 / per_token.0).max(0) } else { i128::from(max_tokens) };
        picked.max_tokens = u32::try_from(fits).unwrap_or(u32::MAX).min(max_tokens);
        picked.want = want_for(picked.max_tokens);
        match gateway.budget.remainder(accounts.as_slice(), now, &picked.want)? {
            (_, OnShort::Shrink) if picked.max_tokens >= min.max(1) => {}
            _ => return gateway.budget.short(accounts.as_slice(), now, &want_for(max_tokens)).map_or(Ok(picked), |id| Err(id.into())),
        }
    }
    picked.shrink = true;
    Ok(picked)
}

/// Whether a lower bound on the input may let a call through, or let it ask for more: never where `least`, what the call costs without any input,
/// does not fit either. `fits` says that only accounts that observe would have refused it.
fn counting_helps(budget: &Budget, accounts: &[AccountId], now: Time, fits: bool, least: &Want) -> bool {
    if fits {
        return budget.observed_short(accounts, now, least).is_none();
    }
    budget.short(accounts, now, least).is_none() || matches!(budget.remainder(accounts, now, least), Ok((_, OnShort::Clamp { .. })))
}

/// The place in the group of the deployment that the strategy wants, among `open`; `round` choices of the same pick were made before and could not
/// be paid.
#[inline]
#[allow(clippy::too_many_arguments, reason = "a choice depends on all of these, and a struct for one call site hides that")]
fn choose(plan: &Plan, gateway: &Gateway, needs: &Needs<'_>, progress: &Progress, model: &Model, open: u64, round: u32, now: Time) -> Option<usize> {
    if open & open.wrapping_sub(1) == 0 {
        return (open != 0).then_some(open.trailing_zeros() as usize);
    }
    let places = || model.deployments.iter().copied().enumerate().filter(|(i, _)| open & (1 << i) != 0);
    // Each choice has a draw of its own, or whoever drew the first would all have the same second one.
    let bits = || draw::bits(gateway.seed, needs.request.id.0, Purpose::Pick, progress.picks() | round << 16);
    match model.strategy {
        Strategy::WeightedShuffle => {
            let total: u64 = places().map(|(_, id)| u64::from(plan.deployment(id).weight)).sum();
            let weight = |id: DeploymentId| if total == 0 { 1 } else { u64::from(plan.deployment(id).weight) };
            let mut at = draw::below(bits(), if total == 0 { u64::from(open.count_ones()) } else { total });
            places().find_map(|(i, id)| {
                let weight = weight(id);
                if at < weight {
                    return Some(i);
                }
                at -= weight;
                None
            })
        }
        Strategy::Ordered => places().find(|(_, id)| progress.attempts_on(*id) == 0).or_else(|| places().next()).map(|(i, _)| i),
        Strategy::LeastBusy => places().min_by_key(|(i, id)| (gateway.health.in_flight(*id), *i)).map(|(i, _)| i),
        Strategy::LowestCost => places().min_by_key(|(i, id)| (worst_case(plan, needs, progress.group, *id, now), *i)).map(|(i, _)| i),
        Strategy::LowestUsage => places().min_by_key(|(i, id)| (gateway.health.tokens_this_minute(*id, now), *i)).map(|(i, _)| i),
        Strategy::LowestLatency { buffer_per_mille } => {
            let best = places().map(|(_, id)| gateway.health.pace(id)).min()?;
            let good_enough = best.saturating_add(best / 1000 * u64::from(buffer_per_mille));
            let good = || places().filter(|(_, id)| gateway.health.pace(*id) <= good_enough);
            let nth = draw::below(bits(), good().count() as u64);
            good().nth(usize::try_from(nth).expect("fewer than 64")).map(|(i, _)| i)
        }
    }
}

impl From<AccountId> for Short {
    fn from(account: AccountId) -> Self {
        Self::Account(account)
    }
}

impl Blocked {
    /// What the journal says of a group passed over for this; deployments without money, and those that cannot express
    /// the request, were named one by one.
    pub const fn skip(self) -> Option<Skip> {
        match self {
            Self::Unhealthy => Some(Skip::Unhealthy),
            Self::TooLong => Some(Skip::TooLong),
            Self::PriceRatio => Some(Skip::PriceRatio),
            Self::Saturated | Self::Exhausted | Self::Short(_) | Self::CannotExpress | Self::Uncounted => None,
        }
    }

    /// The failure class that this stands for, where the request goes on to fallbacks with it.
    pub const fn class(self) -> Option<FailureClass> {
        match self {
            Self::Unhealthy => Some(FailureClass::NoDeployment),
            Self::Saturated => Some(FailureClass::Saturated),
            Self::TooLong => Some(FailureClass::ContextWindow),
            Self::Exhausted | Self::PriceRatio | Self::Short(_) | Self::CannotExpress | Self::Uncounted => None,
        }
    }
}
