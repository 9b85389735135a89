//! Checks that the documentation matches the code. Parts that are generated from the code are compared with it, or
//! rewritten if `UPDATE_DOCS` is set (`make docs`). Hand-written parts are checked for facts that could become
//! outdated.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use e2e_matrix::cli::reference;
use e2e_matrix::event::Symptom;
use e2e_matrix::matrix::{self, Counter, Phase, PhaseSettings};
use e2e_matrix::suite::causes::RULES;
use mockapi::Endpoint;
use plexd_agent::fault::Fault;

use crate::support::Scratch;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    let path = repository().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares `file` with the text that is generated from the code, or writes the text if `UPDATE_DOCS` is set.
fn generated(file: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(repository().join(file), text).unwrap();
    }
    assert_eq!(read(file), text, "{file} is out of date: run `make docs`");
}

/// Like [`generated`], for the part of `file` between the markers of `name`.
fn generated_part(file: &str, name: &str, part: &str) {
    let text = read(file);
    let (start, end) = (
        format!("<!-- generated: {name} -->\n"),
        format!("<!-- end: {name} -->"),
    );
    let (head, rest) = text
        .split_once(&start)
        .unwrap_or_else(|| panic!("{file} does not contain {start}"));
    let (_, tail) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{file} does not contain {end}"));
    generated(file, &format!("{head}{start}{part}{end}{tail}"));
}

#[test]
fn the_command_line() {
    generated("docs/cli.md", &reference::command_line());
}

#[test]
fn the_exit_codes() {
    generated("docs/exit-codes.md", &reference::exit_codes());
}

#[test]
fn the_schema_of_the_record() {
    generated("docs/schema/events.json", &reference::events_schema());
}

#[test]
fn the_schema_of_the_matrix_file() {
    let file = "docs/schema/matrix.schema.json";
    generated(file, &reference::matrix_schema());
    let first = format!("#:schema ./{file}");
    assert_eq!(read("matrix.toml").lines().next(), Some(&*first));
}

#[test]
fn the_keys_of_the_matrix_file() {
    let (file, tables) = ("docs/matrix.md", matrix::reference::tables());
    for (name, table) in &tables {
        generated_part(file, name, table);
    }
    let page = read(file);
    let marked = page
        .lines()
        .filter_map(|line| line.strip_prefix("<!-- generated: ")?.strip_suffix(" -->"));
    let names = tables.iter().map(|(name, _)| *name);
    assert_eq!(marked.collect::<Vec<_>>(), names.collect::<Vec<_>>());
}

#[test]
fn every_event_with_its_fields() {
    let schema: serde_json::Value = serde_json::from_str(&reference::events_schema()).unwrap();
    let mut table = "| Event | Meaning and fields |\n|---|---|\n".to_owned();
    for event in schema["$defs"]["Event"]["oneOf"].as_array().unwrap() {
        let name = event["properties"]["type"]["const"].as_str().unwrap();
        let meaning = one_line(&event["description"]);
        let fields: String = event["properties"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(field, _)| *field != "type")
            .fold(String::new(), |mut fields, (field, about)| {
                write!(fields, "<br>`{field}`: {}", one_line(&about["description"])).unwrap();
                fields
            });
        writeln!(table, "| `{name}` | {meaning}{fields} |").unwrap();
    }
    generated_part("docs/reports.md", "events", &table);
}

/// A description in one line, for a table.
fn one_line(description: &serde_json::Value) -> String {
    let text = description.as_str().unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_failure_classes() {
    let mut table = "| Symptom | Class | Fails fast | Meaning |\n|---|---|---|---|\n".to_owned();
    for symptom in Symptom::ALL {
        let at_once = if symptom.fails_at_once() { "yes" } else { "no" };
        let (name, class, meaning) = (symptom.name(), symptom.class(), symptom.meaning());
        writeln!(table, "| `{name}` | {class} | {at_once} | {meaning} |").unwrap();
    }
    generated_part("docs/phases.md", "symptoms", &table);
}

#[test]
fn the_likely_causes() {
    let mut table = "| Rule | Symptoms | Searches | Condition on the manifests | Likely cause |\n|---|---|---|---|---|\n".to_owned();
    for rule in RULES {
        let symptoms: Vec<String> = rule
            .symptoms
            .iter()
            .map(|symptom| format!("`{symptom}`"))
            .collect();
        let facts: Vec<String> = rule.facts.iter().map(|fact| fact.meaning()).collect();
        let (name, symptoms, source, facts) = (
            rule.name,
            symptoms.join(", "),
            rule.source.name(),
            facts.join(", "),
        );
        writeln!(
            table,
            "| `{name}` | {symptoms} | {source} | {facts} | {} |",
            rule.sentence
        )
        .unwrap();
    }
    generated_part("docs/reports.md", "causes", &table);
}

#[test]
fn the_agents_faults() {
    let mut table =
        "| Fault | What the agent does | The phase that fails |\n|---|---|---|\n".to_owned();
    for fault in Fault::ALL {
        let phase = fault
            .phase()
            .map_or("none: the cell passes".to_owned(), |phase| {
                format!("`{phase}`")
            });
        writeln!(table, "| `{fault}` | {} | {phase} |", fault.meaning()).unwrap();
    }
    generated_part("docs/agent-and-mock.md", "faults", &table);
}

#[test]
fn every_phase_has_its_row_with_its_deadline() {
    let page = read("docs/phases.md");
    let settings = PhaseSettings::default();
    for (index, phase) in Phase::ALL.into_iter().enumerate() {
        let start = format!("| {} | [`{phase}`](#{phase}) |", index + 1);
        let row = page.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/phases.md has no row `{start}`"));
        let deadline = format!("`timeout`: {}s", settings[phase].timeout.as_secs());
        assert!(
            row.contains(&deadline),
            "{row}
does not contain {deadline}"
        );
    }
    let mock = format!("`mock-timeout`: {}s", settings.mock_timeout.as_secs());
    assert!(page.contains(&mock), "docs/phases.md lacks {mock}");
}

#[test]
fn every_endpoint_of_the_mock_is_listed_with_its_counter() {
    let page = read("docs/agent-and-mock.md");
    for endpoint in Endpoint::ALL {
        let counter = endpoint
            .counter()
            .map_or("–".to_owned(), |counter| format!("`{}`", counter.name()));
        let end = format!("| `{endpoint}` | {counter} |");
        assert!(
            page.lines().any(|line| line.ends_with(&end)),
            "docs/agent-and-mock.md has no row that ends in {end}"
        );
    }
    for counter in Counter::ALL {
        assert!(
            page.contains(counter.name()),
            "docs/agent-and-mock.md lacks {counter}"
        );
    }
}

/// The paths of all pages, relative to the repository.
fn pages() -> Vec<PathBuf> {
    let in_folder = |folder: &str| {
        let entries = fs::read_dir(repository().join(folder)).unwrap();
        let names = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
        names
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .collect::<Vec<_>>()
    };
    let mut pages = [in_folder(""), in_folder("docs")].concat();
    pages.sort();
    pages
}

/// The targets of the links in a page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

/// The anchors of a page's headings, as GitHub generates them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_between_pages_has_a_target() {
    let mut checked = 0;
    for page in pages() {
        let text = read(page.to_str().unwrap());
        for target in links(&text).filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(
                repository().join(&path).exists(),
                "{}: the target of the link {target} does not exist",
                page.display()
            );
            let exists = || anchors(&read(path.to_str().unwrap())).contains(anchor);
            assert!(
                anchor.is_empty() || exists(),
                "{}: the link {target} names a heading that does not exist",
                page.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} links");
}

#[test]
fn each_page_is_part_of_the_site() {
    let summary = read("SUMMARY.md");
    let listed: BTreeSet<_> = links(&summary).map(PathBuf::from).collect();
    let unlisted: Vec<_> = pages()
        .into_iter()
        .filter(|page| page != Path::new("SUMMARY.md") && !listed.contains(page))
        .collect();
    assert_eq!(unlisted, [] as [PathBuf; 0], "not in SUMMARY.md");
}

/// Commands that are run as they are. For all others, `--help` is added, so that only the arguments are parsed.
const RUN: [&str; 3] = ["list", "explain", "completions"];

#[test]
fn the_commands_of_readme_and_tutorial_work() {
    let scratch = Scratch::new();
    let matrix = "[matrix]\nkubernetes = [\"1.34\", \"1.36\"]\nnodes = [1, 3]\nconfig = [\"default\", \"fast\"]\n[config.fast]\n";
    fs::write(scratch.path().join("matrix.toml"), matrix).unwrap();
    let mut checked = 0;
    for page in ["README.md", "docs/tutorial.md"] {
        let text = read(page);
        let lines = text.lines().map(|line| line.trim_start_matches("$ "));
        for line in lines.filter(|line| line.starts_with("e2e-matrix ")) {
            let command = line.split(['#', '>']).next().unwrap_or_default();
            // Skip sentences that start with the program's name.
            let Some(words) = shlex::split(command)
                .filter(|_| !line.ends_with(['.', ',']) && !line.starts_with("e2e-matrix is"))
            else {
                continue;
            };
            let mut arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            if !arguments.first().is_some_and(|first| RUN.contains(first)) {
                arguments.push("--help");
            }
            let output = scratch.command(&arguments).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{page}: {line}: {stderr}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} commands");
}

#[test]
fn every_make_target_in_the_docs_exists() {
    let makefile = read("Makefile");
    let mut checked = 0;
    for page in pages() {
        let text = read(page.to_str().unwrap());
        for rest in text
            .split("`make ")
            .skip(1)
            .chain(text.split("\nmake ").skip(1))
        {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            let target = &rest[..end.unwrap_or(rest.len())];
            let exists = makefile
                .lines()
                .any(|line| line.starts_with(&format!("{target}:")));
            assert!(exists, "{}: `make {target}` does not exist", page.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} targets");
}
