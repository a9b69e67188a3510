//! How the tokens of a text, counted by one model, carry over to another: ratios as exact fractions, and which of them counts for a call. Knows no
//! tokenizer: ratios are somebody's figures.

use std::collections::BTreeMap;

use crate::gateway::id::{DeploymentId, ModelId};
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Usage;

/// A ratio of token counts, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

impl Ratio {
    /// The same count.
    pub const ONE: Self = Self(MILLION);

    /// A ratio of so many millionths.
    ///
    /// # Panics
    /// If it is zero: nothing carries over to no tokens at all.
    pub const fn per_million(millionths: u32) -> Self {
        assert!(millionths > 0, "a ratio is above zero");
        Self(millionths)
    }

    /// The ratio in millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// So many tokens on the other model: rounded half-up to whole tokens, and never more than fit.
    #[inline]
    pub fn of(self, tokens: u32) -> u32 {
        self.of_many(tokens.into())
    }

    /// As [`Self::of`], for what many tokens in a row come to.
    #[inline]
    pub fn of_many(self, tokens: u64) -> u32 {
        if self == Self::ONE { u32::try_from(tokens).unwrap_or(u32::MAX) } else { scaled(tokens, self.0, MILLION) }
    }

    /// The tokens that so many on the other model were made from, to the nearest whole. Exact for what [`Self::of`] made by a ratio of at least 1.
    #[inline]
    pub fn undo(self, tokens: u32) -> u32 {
        if self == Self::ONE { tokens } else { scaled(tokens.into(), MILLION, self.0) }
    }
}

const MILLION: u32 = 1_000_000;

fn scaled(tokens: u64, by: u32, of: u32) -> u32 {
    // Counts that no prompt has saturate: what does not fit is more than fits.
    let parts = tokens.saturating_mul(by.into()).saturating_add(u64::from(of / 2));
    u32::try_from(parts / u64::from(of)).unwrap_or(u32::MAX)
}

/// What is known of a ratio: that it lies between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatioRange {
    /// The lower end.
    pub low: Ratio,
    /// The upper end, at least the lower one.
    pub high: Ratio,
}

impl RatioRange {
    /// Known exactly.
    pub const fn exactly(ratio: Ratio) -> Self {
        Self { low: ratio, high: ratio }
    }

    /// The ratio at one end of the range, or in its middle: there rounded half-up to the millionth.
    pub const fn at(self, end: End) -> Ratio {
        match end {
            End::Low => self.low,
            // Half of the difference, so that the sum of two large ones need not fit.
            End::Middle => Ratio(self.low.0 + (self.high.0 - self.low.0).div_ceil(2)),
            End::High => self.high,
        }
    }

    /// Whether it is more than one ratio.
    pub fn is_open(self) -> bool {
        self.low != self.high
    }
}

/// Where in their ranges all ratios are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// At the lower ends.
    Low,
    /// In the middle.
    #[default]
    Middle,
    /// At the upper ends.
    High,
}

/// The ratio between the models of two patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRule {
    /// The models whose tokens were recorded: a provider's name of a model, `*` for any text.
    pub from: String,
    /// The models that answer.
    pub to: String,
    /// Input there by input here.
    pub input: RatioRange,
    /// Output there by output here.
    pub output: RatioRange,
}

impl TokenRule {
    /// Whether the rule is about this pair of models.
    pub fn is_about(&self, asked: &str, answered: &str) -> bool {
        matches(&self.from, asked) && matches(&self.to, answered)
    }
}

/// Whether a name is one that a pattern means.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => name.strip_prefix(before).is_some_and(|name| {
            let mut tails = name.char_indices().map(|(start, _)| &name[start..]).chain([""]);
            tails.any(|tail| matches(rest, tail))
        }),
    }
}

/// What the recorded tokens are tokens of, and how they carry over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// The first that is about a pair of models counts. A pair without one has equal counts, and so has a model with itself.
    pub rules: Vec<TokenRule>,
    /// By name of a model group: the provider's model that requests for it were counted by. A group that is not here: its first deployment's.
    pub homes: BTreeMap<String, String>,
    /// By name of a deployment: the provider's model behind it where the traffic was recorded. Rows that name one were counted by its model.
    pub deployments: BTreeMap<String, String>,
    /// Where in their ranges the ratios are taken.
    pub end: End,
}

impl TokenCounts {
    /// The provider's model that requests for a group of `plan` are counted by; `None` if it has no deployment.
    pub fn home<'a>(&'a self, plan: &'a Plan, model: ModelId) -> Option<&'a str> {
        let group = plan.model(model);
        let first = || group.deployments.first().map(|first| &plan.deployment(*first).model);
        self.homes.get(&group.name).or_else(first).map(String::as_str)
    }

    /// From the tokens of one model to those of another.
    pub fn between(&self, asked: &str, answered: &str) -> TokenRatio {
        let rule = self.rules.iter().find(|rule| asked != answered && rule.is_about(asked, answered));
        rule.map_or(TokenRatio::ONE, |rule| TokenRatio { input: rule.input.at(self.end), output: rule.output.at(self.end) })
    }
}

/// Two models, one asked for and another that may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPair {
    /// The provider's model that the recorded tokens are tokens of.
    pub asked: String,
    /// The provider's model that may answer.
    pub answered: String,
    /// The rule for them; without one their counts are taken to be equal.
    pub rule: Option<TokenRule>,
}

/// The ratios of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRatio {
    /// Of input.
    pub input: Ratio,
    /// Of output, reasoning included.
    pub output: Ratio,
}

impl TokenRatio {
    /// Equal counts.
    pub const ONE: Self = Self { input: Ratio::ONE, output: Ratio::ONE };
}

/// Which ratio counts for which call of one plan: every group with every deployment that its requests may be answered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTable {
    pairs: Vec<ModelPair>,
    deployments: usize,
    /// For each group and deployment. Empty if no request can be answered by another model.
    cells: Vec<Cell>,
    /// For each group.
    groups: Vec<Group>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    ratio: TokenRatio,
    pair: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    /// The most that one input token can be, at the upper end of every range.
    input_most: Ratio,
    /// To the deployment that the group's own price is taken from.
    reference: TokenRatio,
}

impl TokenTable {
    /// The table of one plan.
    pub fn new(plan: &Plan, counts: &TokenCounts) -> Self {
        let (mut pairs, mut groups) = (Vec::new(), Vec::new());
        let deployments = plan.deployments.len();
        let mut cells = vec![Cell { ratio: TokenRatio::ONE, pair: None }; plan.models.len() * deployments];
        for (index, (id, group)) in (0..).map(ModelId).zip(&plan.models).enumerate() {
            let first = group.deployments.first().copied();
            let home = counts.home(plan, id);
            let mut most = Ratio::ONE;
            for called in plan.reachable(id).into_iter().flat_map(|group| &plan.model(group).deployments) {
                let answered = plan.deployment(*called).model.as_str();
                let Some(asked) = home.filter(|home| *home != answered) else { continue };
                let pair = pair(&mut pairs, asked, answered, &counts.rules);
                let cell = &mut cells[index * deployments + called.index()];
                cell.pair = Some(u32::try_from(pair).expect("fewer than 2^32 pairs of models"));
                if let Some(rule) = &pairs[pair].rule {
                    cell.ratio = TokenRatio { input: rule.input.at(counts.end), output: rule.output.at(counts.end) };
                    most = most.max(rule.input.high);
                }
            }
            let reference = first.map_or(TokenRatio::ONE, |first| cells[index * deployments + first.index()].ratio);
            groups.push(Group { input_most: most, reference });
        }
        if pairs.is_empty() {
            cells.clear();
        }
        Self { pairs, deployments, cells, groups }
    }

    /// Every two models that a call can go between. Indexed by [`Self::pair`].
    pub fn pairs(&self) -> &[ModelPair] {
        &self.pairs
    }

    /// Whether every call counts its tokens as they were recorded.
    pub fn is_equal(&self) -> bool {
        self.cells.iter().all(|cell| cell.ratio == TokenRatio::ONE) && self.groups.iter().all(|group| group.input_most == Ratio::ONE)
    }

    /// Whether a ratio is not known exactly.
    pub fn is_open(&self) -> bool {
        self.pairs.iter().filter_map(|pair| pair.rule.as_ref()).any(|rule| rule.input.is_open() || rule.output.is_open())
    }

    /// The ratios of a call to `deployment` for a request that asks for `model`.
    #[inline]
    pub fn ratio(&self, model: ModelId, deployment: DeploymentId) -> TokenRatio {
        self.cell(model, deployment).map_or(TokenRatio::ONE, |cell| cell.ratio)
    }

    /// The models that such a call goes between, if they are two.
    #[inline]
    pub fn pair(&self, model: ModelId, deployment: DeploymentId) -> Option<usize> {
        self.cell(model, deployment)?.pair.map(|pair| pair as usize)
    }

    /// An upper bound on what `input` tokens of a request for `model` are anywhere that it may be answered, at the upper end of every range:
    /// a gateway does not know where in its range a ratio is.
    #[inline]
    pub fn input_most(&self, model: ModelId, input: u32) -> u32 {
        self.groups.get(model.index()).map_or(input, |group| group.input_most.of(input))
    }

    /// Usage without prompt cache of such a call, as the deployment counts it whose price the group is compared with.
    #[inline]
    pub fn at_reference(&self, model: ModelId, deployment: DeploymentId, usage: Usage) -> Usage {
        let Some(cell) = self.cell(model, deployment) else { return usage };
        let reference = self.groups[model.index()].reference;
        if cell.ratio == reference {
            return usage;
        }
        let input = reference.input.of(cell.ratio.input.undo(usage.input));
        let output = |tokens: u32| reference.output.of(cell.ratio.output.undo(tokens));
        Usage { reasoning: output(usage.reasoning), ..Usage::plain(input, output(usage.output)) }
    }

    #[inline]
    fn cell(&self, model: ModelId, deployment: DeploymentId) -> Option<&Cell> {
        self.cells.get(model.index() * self.deployments + deployment.index())
    }
}

/// The place of two models among `pairs`, added with its rule if it is not there.
fn pair(pairs: &mut Vec<ModelPair>, asked: &str, answered: &str, rules: &[TokenRule]) -> usize {
    let known = pairs.iter().position(|pair| pair.asked == asked && pair.answered == answered);
    known.unwrap_or_else(|| {
        let rule = rules.iter().find(|rule| rule.is_about(asked, answered)).cloned();
        pairs.push(ModelPair { asked: asked.to_owned(), answered: answered.to_owned(), rule });
        pairs.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_rounded_half_up() {
        let of = |millionths, tokens| Ratio::per_million(millionths).of(tokens);
        assert_eq!([of(1_200_000, 1_000), of(1_500_000, 1), of(1_499_999, 1), of(400_000, 1), of(1_000_000, 7)], [1_200, 2, 1, 0, 7]);
        assert_eq!(of(2_000_000, u32::MAX), u32::MAX);
    }

    #[test]
    fn the_middle_of_a_range_is_half_way() {
        let range = RatioRange { low: Ratio::per_million(1_100_000), high: Ratio::per_million(1_420_000) };
        assert_eq!([End::Low, End::Middle, End::High].map(|end| range.at(end).millionths()), [1_100_000, 1_260_000, 1_420_000]);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("gpt-4o*", "gpt-4o", true),
            ("gpt-4o*", "gpt-4o-mini", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("*sonnet*", "claude-3-5-sonnet-20241022", true),
            ("*", "", true),
            ("claude-*-haiku", "claude-3-haiku", true),
            ("claude-*-haiku", "claude-3-haiku-2", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn what_a_ratio_of_at_least_one_made_can_be_undone(tokens in 0_u32..10_000_000, millionths in 1_000_000_u32..100_000_000) {
            let ratio = Ratio::per_million(millionths);
            prop_assert_eq!(ratio.undo(ratio.of(tokens)), tokens);
        }

        #[test]
        fn a_higher_ratio_never_makes_fewer_tokens(tokens: u32, low in 1_u32..100_000_000, more in 0_u32..1_000_000) {
            prop_assert!(Ratio::per_million(low).of(tokens) <= Ratio::per_million(low + more).of(tokens));
        }
    }
}
