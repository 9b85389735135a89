//! The likely cause of a failure, found by rules that are data. If no rule applies, nothing is guessed. Pure.

mod fill;
mod path;
mod rules;
mod scene;

pub use rules::{RULES, Rule};
pub(crate) use scene::Scene;

use crate::event::LikelyCause;
use path::path_near;
use scene::Said;

/// The likely cause according to the first rule that applies to `scene`.
pub(crate) fn likely(scene: &Scene<'_>) -> Option<LikelyCause> {
    RULES.iter().find_map(|rule| rule.apply(scene))
}

impl Rule {
    fn apply(&self, scene: &Scene<'_>) -> Option<LikelyCause> {
        if !self.symptoms.contains(&scene.symptom()) {
            return None;
        }
        let lines = scene.lines(self.looks_at);
        let mut said = lines.iter().filter_map(|line| self.said(scene, line));
        let said = said.find(|said| self.facts.iter().all(|fact| scene.holds(*fact, said)))?;
        Some(LikelyCause {
            rule: self.name.to_owned(),
            message: scene.fill(self.sentence, &said),
            line: said.line.to_owned(),
            fix: scene.fill(self.fix, &said),
        })
    }

    /// `line`, if it contains a word of each group.
    fn said<'l>(&self, scene: &Scene<'l>, line: &'l str) -> Option<Said<'l>> {
        let lower = line.to_ascii_lowercase();
        let find = |words: &&[&str]| {
            let mut found = words
                .iter()
                .filter_map(|word| Some((lower.find(word)?, word.len())));
            found.next().map(|(start, length)| start..start + length)
        };
        let words: Vec<_> = self.words.iter().map(find).collect::<Option<_>>()?;
        let path = words.first().and_then(|words| path_near(line, words));
        let path = path.map(|path| scene.as_in_container(path));
        Some(Said { line, path })
    }
}
