//! The entries of `docs/troubleshooting.md`, which `explain` prints.

use super::reference;
use crate::event::Symptom;

/// The page, with one section per symptom.
const PAGE: &str = include_str!("../../docs/troubleshooting.md");

/// The entry for `symptom` as plain text: its meaning, its usual causes, and what to do.
pub(super) fn entry(symptom: Symptom) -> String {
    let class = symptom.class();
    let section = reference::without_targets(section(symptom).trim());
    // Emphasis is only for the page.
    format!("{symptom} ({class})\n\n{}\n", section.replace("**", ""))
}

/// The text below the heading of `symptom`, up to the next heading.
fn section(symptom: Symptom) -> &'static str {
    let heading = format!("\n### {symptom}\n");
    let after = PAGE.split_once(&heading).map_or("", |(_, after)| after);
    let end = after.find("\n##").unwrap_or(after.len());
    &after[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FailureClass;

    #[test]
    fn each_symptom_has_an_entry_that_starts_with_its_meaning_and_lists_what_to_do() {
        for symptom in Symptom::ALL {
            let section = section(*symptom);
            let meaning = symptom.meaning().trim_end_matches('.');
            assert!(section.trim().starts_with(meaning), "{symptom}: {section}");
            assert!(section.contains("\n- "), "{symptom}");
        }
    }

    #[test]
    fn each_entry_is_below_the_heading_of_its_class() {
        let headings = [
            ("## The agent failed", FailureClass::Product),
            (
                "## The configuration can't work",
                FailureClass::Configuration,
            ),
            ("## The infrastructure failed", FailureClass::Infrastructure),
        ];
        for symptom in Symptom::ALL {
            let before = PAGE.split_once(&format!("\n### {symptom}\n")).unwrap().0;
            let heading = before.lines().rfind(|line| line.starts_with("## "));
            let class = headings.iter().find(|(text, _)| Some(*text) == heading);
            assert_eq!(
                class.map(|(_, class)| *class),
                Some(symptom.class()),
                "{symptom}"
            );
        }
    }

    #[test]
    fn entries_are_plain_text() {
        let text = entry(Symptom::ImagePullFailed);
        assert!(
            text.starts_with("image-pull-failed (infrastructure)\n\nAn image can't be pulled.")
        );
        assert!(!text.contains("**") && !text.contains("]("), "{text}");
    }
}
