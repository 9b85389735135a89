//! The likely cause of a failure, found by rules that are data. If no rule applies, nothing is guessed. Pure.

mod fill;
mod rules;
mod scene;

pub use rules::{RULES, Rule};
pub(crate) use scene::Scene;

use crate::event::LikelyCause;

/// The likely cause according to the first rule that applies to `scene`.
pub(crate) fn likely(scene: &Scene<'_>) -> Option<LikelyCause> {
    RULES.iter().find_map(|rule| rule.apply(scene))
}

impl Rule {
    fn apply(&self, scene: &Scene<'_>) -> Option<LikelyCause> {
        if !self.symptoms.contains(&scene.symptom()) {
            return None;
        }
        let holds = |line: &&String| {
            self.is_said_by(line) && self.facts.iter().all(|fact| scene.holds(*fact, line))
        };
        let lines = scene.lines(self.looks_at);
        let line = lines.iter().find(holds)?;
        Some(LikelyCause {
            rule: self.name.to_owned(),
            message: scene.fill(self.sentence, line),
            line: line.clone(),
            fix: scene.fill(self.fix, line),
        })
    }

    /// Whether `line` contains a word of each group.
    fn is_said_by(&self, line: &str) -> bool {
        let line = line.to_lowercase();
        let has = |words: &&[&str]| words.iter().any(|word| line.contains(word));
        self.words.iter().all(has)
    }
}
