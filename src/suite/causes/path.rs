//! Finds paths in the lines of logs.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// An absolute path between spaces, quotes, brackets or punctuation.
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    let ends = r#"\s"'`‘’()\[\]{},:;="#;
    let pattern = format!("(?:^|[{ends}])(/[^/{ends}][^{ends}]*)");
    Regex::new(&pattern).expect("the pattern is valid")
});

/// The ranges of the absolute paths in `text`.
pub(super) fn paths(text: &str) -> impl Iterator<Item = Range<usize>> {
    let found = PATH.captures_iter(text);
    found.filter_map(|captures| Some(captures.get(1)?.range()))
}

/// The path in `line` that is nearest to `words`, the range of the words that describe a problem. A path at the start
/// of the line is ignored if it belongs to the program that printed the line.
pub(super) fn path_near<'l>(line: &'l str, words: &Range<usize>) -> Option<&'l str> {
    let is_program = |path: &Range<usize>| {
        let between = line.get(path.end..words.start).unwrap_or_default();
        path.start == 0 && between.contains(char::is_alphanumeric)
    };
    let distance = |path: &Range<usize>| {
        let before = words.start.saturating_sub(path.end);
        before.max(path.start.saturating_sub(words.end))
    };
    let named = paths(line).filter(|path| !is_program(path));
    named.min_by_key(distance).map(|path| &line[path])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_path_nearest_to_the_words() {
        for (line, file) in [
            ("open /etc/x: read-only file system", Some("/etc/x")),
            ("/etc/x: read-only file system", Some("/etc/x")),
            (
                "/agent.sh: 3: cannot create /etc/x: read-only file system",
                Some("/etc/x"),
            ),
            (
                "/agent.sh: line 3: /etc/x: read-only file system",
                Some("/etc/x"),
            ),
            ("/agent.sh: 3: cannot create x: read-only file system", None),
            (
                "/bin/mkdir: cannot create directory ‘/etc/x’: read-only file system",
                Some("/etc/x"),
            ),
            (
                "/app/main.py: [Errno 30] read-only file system: '/etc/x'",
                Some("/etc/x"),
            ),
            (
                "EROFS: read-only file system, open '/etc/x'",
                Some("/etc/x"),
            ),
            (
                "level=error error=\"mkdir /etc/x: read-only file system\" at=/src/main.go:12",
                Some("/etc/x"),
            ),
            ("http://mock/x answers: read-only file system", None),
        ] {
            let words = "read-only file system";
            let start = line.find(words).unwrap();
            assert_eq!(
                path_near(line, &(start..start + words.len())),
                file,
                "{line}"
            );
        }
    }
}
