//! `[images.*]`: the images and programs of agent and mock.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reader::{Entry, Table};
use crate::matrix::problem::Problem;
use crate::matrix::{Build, ImageSource, Images, SystemUnderTest};

/// The `[images]` table with defaults.
pub(super) fn read(root: &Table<'_>) -> Images {
    let Some(table) = root.table("images") else {
        return Images::default();
    };
    table.only(&["agent", "mock"]);
    Images {
        agent: system(&table, "agent"),
        mock: system(&table, "mock"),
    }
}

fn system(images: &Table<'_>, key: &str) -> SystemUnderTest {
    let named = images.get(key);
    let Some(table) = named.and_then(|entry| entry.table(format!("`[images.{key}]`"))) else {
        return SystemUnderTest::default();
    };
    table.only(&["image", "build", "binary"]);
    SystemUnderTest {
        image: source(&table, key),
        binary: table.get("binary").and_then(path),
    }
}

fn source(table: &Table<'_>, key: &str) -> ImageSource {
    let (image, build) = (table.get("image"), table.get("build"));
    match (image, build) {
        (Some(image), Some(build)) => table.report.add(
            Problem::at(
                build.key_span,
                "`image` and `build` exclude each other",
                "and this",
            )
            .and_at(image.key_span, "this")
            .with_help("remove one of them: a built image gets its own tag"),
        ),
        (None, None) => table.report.add_missing(
            Problem::at(table.span, format!("`[images.{key}]` names no image"), "").with_help(
                "add `image = \"…\"` or `build = { … }`: clusters would run the reference program \
                 otherwise; or leave the table out",
            ),
        ),
        (Some(_), None) | (None, Some(_)) => {}
    }
    let image = image.and_then(reference).map(ImageSource::Tag);
    let build = build.and_then(self::build).map(ImageSource::Build);
    image.or(build).unwrap_or_default()
}

fn build(entry: Entry<'_>) -> Option<Build> {
    let table = entry.table("`build`".to_owned())?;
    table.only(&["dockerfile", "context", "args"]);
    let context = table
        .get("context")
        .and_then(path)
        .unwrap_or_else(|| ".".into());
    let dockerfile = table.get("dockerfile").and_then(path);
    Some(Build {
        dockerfile: dockerfile.unwrap_or_else(|| context.join("Dockerfile")),
        context,
        args: arguments(&table),
    })
}

fn arguments(build: &Table<'_>) -> BTreeMap<String, String> {
    let table = build
        .get("args")
        .and_then(|entry| entry.table("`args`".to_owned()));
    let entries = table.iter().flat_map(Table::entries);
    entries
        .filter_map(|entry| Some((entry.key.to_owned(), entry.text()?.to_owned())))
        .collect()
}

/// A path, relative to the matrix file.
pub(super) fn path(entry: Entry<'_>) -> Option<PathBuf> {
    entry.plain_text().map(PathBuf::from)
}

/// An image name with a tag or digest, such as `kindest/node:v1.36.3`.
pub(super) fn reference(entry: Entry<'_>) -> Option<String> {
    let text = entry.plain_text()?;
    let characters = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(characters) {
        return Some(text.to_owned());
    }
    entry.problem(
        format!("`{text}` is not an image reference"),
        "",
        "`[registry/]name[:tag][@digest]`, such as `kindest/node:v1.36.3`",
    );
    None
}
