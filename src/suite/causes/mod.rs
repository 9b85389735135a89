//! The likely cause of a failure, according to a table of rules. If no rule applies, no cause is guessed. All functions
//! are pure.

mod fill;
mod path;
mod rules;
mod scene;

pub use rules::{RULES, Rule};
pub(crate) use scene::Scene;

use crate::event::LikelyCause;
use path::path_near;
use scene::Match;

/// The likely cause according to the first rule that applies to `scene`.
pub(crate) fn likely(scene: &Scene<'_>) -> Option<LikelyCause> {
    RULES.iter().find_map(|rule| rule.apply(scene))
}

impl Rule {
    fn apply(&self, scene: &Scene<'_>) -> Option<LikelyCause> {
        if !self.symptoms.contains(&scene.failure.symptom) {
            return None;
        }
        let lines = scene.lines(self.source);
        let mut matches = lines.iter().filter_map(|line| self.find_in(scene, line));
        let found =
            matches.find(|found| self.facts.iter().all(|fact| scene.holds(*fact, found)))?;
        Some(LikelyCause {
            rule: self.name.to_owned(),
            message: scene.fill(self.sentence, &found),
            line: found.line.to_owned(),
            fix: scene.fill(self.fix, &found),
        })
    }

    /// The match in `line`, if the line contains a word of each group.
    fn find_in<'l>(&self, scene: &Scene<'l>, line: &'l str) -> Option<Match<'l>> {
        let lower = line.to_ascii_lowercase();
        let find = |words: &&[&str]| {
            let mut ranges = words
                .iter()
                .filter_map(|word| Some((lower.find(word)?, word.len())));
            ranges.next().map(|(start, length)| start..start + length)
        };
        let words: Vec<_> = self.words.iter().map(find).collect::<Option<_>>()?;
        let path = words.first().and_then(|words| path_near(line, words));
        let path = path.map(|path| scene.as_in_container(path));
        Some(Match { line, path })
    }
}
