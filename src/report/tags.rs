//! Which tags a request's spend counts under: those of its team, of its key and its own, each once. Knows no amounts.

use super::totals::row;
use crate::gateway::id::{KeyId, Registry, TeamId};

/// The tags that commands and traffic have brought so far, numbered in the order in which they first appear.
#[derive(Debug, Clone, Default)]
pub struct Tags {
    names: Registry,
    of_team: Vec<Vec<u32>>,
    keys: Vec<Key>,
    /// By the number of the list.
    of_request: Vec<Vec<u32>>,
    is_used: bool,
}

#[derive(Debug, Clone, Default)]
struct Key {
    team: Option<TeamId>,
    own: Vec<u32>,
    /// Its team's, then its own.
    all: Vec<u32>,
}

impl Tags {
    /// The names; a tag's number is an index.
    pub fn names(&self) -> &[String] {
        self.names.names()
    }

    /// Whether anything has a tag.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// A team has these tags from now on.
    pub fn put_team(&mut self, team: TeamId, tags: &[String]) {
        let tags = self.numbers(tags);
        *row(&mut self.of_team, team.index()) = tags;
        for key in 0..self.keys.len() {
            if self.keys[key].team == Some(team) {
                self.resolve(key);
            }
        }
    }

    /// A key has these tags of its own from now on, beside those of its team.
    pub fn put_key(&mut self, key: KeyId, team: Option<TeamId>, tags: &[String]) {
        let own = self.numbers(tags);
        *row(&mut self.keys, key.index()) = Key { team, own, all: Vec::new() };
        self.resolve(key.index());
    }

    /// Requests may bring the list of this number, which holds these tags.
    pub fn put_list(&mut self, list: u32, tags: &[&str]) {
        let tags = self.numbers(tags);
        *row(&mut self.of_request, list as usize) = tags;
    }

    /// The numbers of the tags that a request counts under, which came with a key and maybe with a list of its own: the team's first, then the
    /// key's, then its own.
    pub fn of(&self, key: KeyId, list: Option<u32>) -> impl Iterator<Item = usize> {
        let of_key = self.keys.get(key.index()).map_or(&[][..], |key| &key.all);
        let own = list.and_then(|list| self.of_request.get(list as usize)).map_or(&[][..], Vec::as_slice);
        of_key.iter().chain(own.iter().filter(|tag| !of_key.contains(tag))).map(|tag| *tag as usize)
    }

    /// The numbers of these names, each once.
    fn numbers(&mut self, tags: &[impl AsRef<str>]) -> Vec<u32> {
        self.is_used |= !tags.is_empty();
        let mut numbers = Vec::with_capacity(tags.len());
        for tag in tags {
            let number = self.names.intern(tag.as_ref());
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }

    fn resolve(&mut self, key: usize) {
        let Key { team, own, all } = &mut self.keys[key];
        let of_team = team.and_then(|team| self.of_team.get(team.index())).map_or(&[][..], Vec::as_slice);
        *all = of_team.iter().chain(own.iter().filter(|tag| !of_team.contains(tag))).copied().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_team_key_and_request_counts_once() {
        let mut tags = Tags::default();
        let texts = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let (team, key) = (TeamId(0), KeyId(3));
        tags.put_key(key, Some(team), &[]);
        assert!(!tags.is_used());
        tags.put_team(team, &texts(&["centre=1", "web"]));
        tags.put_key(key, Some(team), &texts(&["web", "intern"]));
        tags.put_list(0, &["intern", "beta", "beta", "centre=1"]);
        let named = |tags: &Tags, key, list| tags.of(key, list).map(|tag| tags.names()[tag].clone()).collect::<Vec<_>>().join(" ");
        assert_eq!(named(&tags, key, Some(0)), "centre=1 web intern beta");
        assert_eq!(named(&tags, key, None), "centre=1 web intern");
        assert_eq!(named(&tags, KeyId(0), None), "", "a key that nobody made");
        tags.put_team(team, &texts(&["centre=2"]));
        assert_eq!(named(&tags, key, None), "centre=2 web intern", "its keys follow");
        tags.put_key(key, None, &[]);
        assert_eq!(named(&tags, key, Some(0)), "intern beta centre=1");
        assert!(tags.is_used());
    }
}
