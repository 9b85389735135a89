//! Checks that the rooms (top-level modules) of `src/` import exactly what ARCHITECTURE.md declares, and only rooms
//! below them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room in the order of the document, with the rooms that it imports.
type Rooms = Vec<(String, BTreeSet<String>)>;

#[test]
fn rooms_import_what_the_document_declares() {
    let declared = declared(&read(&root().join("ARCHITECTURE.md")));
    let names: BTreeSet<&str> = declared.iter().map(|(room, _)| &**room).collect();
    let modules = read(&root().join("src/lib.rs"));
    let modules: BTreeSet<&str> = modules.lines().filter_map(module).collect();
    assert_eq!(names, modules, "ARCHITECTURE.md must list every room once");
    let found = imports(&root().join("src"));
    let nothing = BTreeSet::new();
    for (room, declared) in &declared {
        let found = found.get(room).unwrap_or(&nothing);
        let extra: Vec<_> = found.difference(declared).collect();
        let unused: Vec<_> = declared.difference(found).collect();
        assert!(
            extra.is_empty() && unused.is_empty(),
            "src/{room} imports {extra:?}, which ARCHITECTURE.md does not declare, and no longer imports {unused:?}, which it declares"
        );
    }
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let declared = declared(&read(&root().join("ARCHITECTURE.md")));
    for (index, (room, imports)) in declared.iter().enumerate() {
        let below: BTreeSet<&str> = declared[index + 1..].iter().map(|(r, _)| &**r).collect();
        let up: Vec<_> = imports.iter().filter(|i| !below.contains(&***i)).collect();
        assert!(
            up.is_empty(),
            "{room} imports {up:?}, which are not below it"
        );
    }
}

/// Crates for Kubernetes and Docker, each with the rooms that may use it.
const CLIENTS: [(&str, &[&str]); 3] = [
    ("kube", &["cluster", "error", "manifest"]),
    ("k8s_openapi", &["cluster", "manifest"]),
    ("bollard", &["cluster"]),
];

#[test]
fn only_the_rooms_of_providers_and_manifests_know_kubernetes_and_docker() {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    for (client, rooms) in CLIENTS {
        let path = format!("{client}::");
        let uses = |file: &&PathBuf| {
            let text = read(file);
            let words = text.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
            words.into_iter().any(|word| word.starts_with(&path))
        };
        let found: BTreeSet<String> = files
            .iter()
            .filter(uses)
            .map(|file| modules_of(file.strip_prefix(&src).unwrap()).remove(0))
            .collect();
        assert_eq!(
            found,
            rooms.iter().map(ToString::to_string).collect(),
            "{client}"
        );
    }
}

#[test]
fn every_form_of_import_is_found() {
    let text = "use crate::event::Event;\n/// See [`crate::cli`].\nuse crate::{record::{Sink, model::Fault}, runner};\n\
                fn x() { crate::secret::hide() }\npub(crate) fn y() {}\n#[cfg(test)]\nmod tests { use crate::report; }\n";
    let expected = ["event", "record", "runner", "secret"];
    assert_eq!(rooms_in(text), expected.map(str::to_owned).into());
    assert!(leaves_its_room("use super::super::event::Event;", 2));
    assert!(!leaves_its_room("use super::super::event::Event;", 3));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn module(line: &str) -> Option<&str> {
    line.strip_prefix("pub mod ")?.strip_suffix(';')
}

/// The lines `room → room, room` of the document. A room that imports no other has a dash.
fn declared(document: &str) -> Rooms {
    let lines = document.lines().filter_map(|line| {
        let (room, imports) = line.split_once(" → ")?;
        let room = room.trim();
        let is_room = !room.is_empty() && room.bytes().all(|byte| byte.is_ascii_lowercase());
        is_room.then(|| {
            let imports = imports
                .split(',')
                .map(str::trim)
                .filter(|name| *name != "–");
            (room.to_owned(), imports.map(str::to_owned).collect())
        })
    });
    lines.collect()
}

/// The rooms that each room below `src` imports outside of its tests.
fn imports(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    collect(src, &mut files);
    let tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    files.retain(|file| !tests.iter().any(|test| file.starts_with(test)));
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let modules = modules_of(file.strip_prefix(src).unwrap());
        let Some(room) = modules
            .first()
            .filter(|room| *room != "lib" && *room != "main")
        else {
            continue;
        };
        let text = read(&file);
        assert!(
            !leaves_its_room(code(&text), modules.len()),
            "{}: import other rooms through `crate::`, not through `super::`",
            file.display()
        );
        let found = rooms.entry(room.clone()).or_default();
        found.extend(rooms_in(&text).into_iter().filter(|found| found != room));
    }
    rooms
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The path of a module: `report/html/mod.rs` is `report`, `html`.
fn modules_of(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

/// The files and folders of the modules in `file` that are compiled only for tests.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = read(file);
    let folder = if file.ends_with("mod.rs") || file.ends_with("lib.rs") {
        file.parent().unwrap().to_owned()
    } else {
        file.with_extension("")
    };
    let after = text.split("#[cfg(test)]").skip(1);
    let names = after.filter_map(|rest| {
        let (_, name) = rest.trim_start().lines().next()?.split_once("mod ")?;
        name.strip_suffix(';')
    });
    let paths = names.flat_map(|name| [folder.join(name), folder.join(format!("{name}.rs"))]);
    paths.collect()
}

/// The part of `text` before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// The names that follow `crate::` in the code of `text`.
fn rooms_in(text: &str) -> BTreeSet<String> {
    let lines = code(text).lines();
    let lines: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = lines.join("\n");
    let after = code.split("crate::").skip(1);
    after.flat_map(first_names).collect()
}

/// The first name of `path`, or the first names of all paths if `path` begins with a group in braces.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut depth = 0_i32;
    let mut names = vec![name(group.trim_start())];
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(group[index + 1..].trim_start())),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn name(path: &str) -> String {
    let is_name = |character: &char| character.is_ascii_alphanumeric() || *character == '_';
    path.chars().take_while(is_name).collect()
}

/// Whether a path in `code` reaches the crate's root from a module `depth` levels below it.
fn leaves_its_room(code: &str, depth: usize) -> bool {
    code.contains(&"super::".repeat(depth))
}
