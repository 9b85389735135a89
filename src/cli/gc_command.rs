//! The command that removes what dead runs left, quoted so that users can paste it into a shell.

use std::ffi::OsStr;

use crate::machine::StateFolder;

/// The command for a binary that was called as `program`.
pub(super) fn of(program: &OsStr) -> String {
    let program = quoted(&program.to_string_lossy());
    match StateFolder::of_environment() {
        Some(state) => {
            let folder = quoted(&state.path().to_string_lossy());
            format!("{}={folder} {program} gc", StateFolder::VARIABLE)
        }
        None => format!("{program} gc"),
    }
}

/// `text` quoted as one word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_if_a_shell_would_split_it() {
        assert_eq!(
            quoted("./target/debug/e2e-matrix"),
            "./target/debug/e2e-matrix"
        );
        assert_eq!(quoted("my state"), "'my state'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
