//! Errors and their causes.

use std::error::Error;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// The causes of `error`, nearest first.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// `error` and its causes in one line, down to the root cause. Many libraries repeat the cause in the error above it;
/// here, each text appears once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for error in std::iter::once(error).chain(causes(error)) {
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            // The `Display` texts of this error and of its cause repeat the message, and add the whole status in its
            // `Debug` form.
            add(&mut line, &response(status));
            break;
        }
        add(&mut line, &own_text(error));
    }
    line
}

/// Appends `text` to `line` unless `line` already contains it.
fn add(line: &mut String, text: &str) {
    if !line.contains(text) {
        let separator = if line.is_empty() { "" } else { ": " };
        line.push_str(separator);
        line.push_str(text);
    }
}

/// The message of an API server's response.
fn response(status: &kube::core::Status) -> String {
    match status.message.as_str() {
        "" => format!("HTTP {} {}", status.code, status.reason),
        message => message.to_owned(),
    }
}

/// The text of `error` without the text of its cause, which many errors append. If the open-file limit is exhausted,
/// the text says how to raise it.
fn own_text(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    // This checks the text instead of the type, because a transparent error hides the type.
    if text.ends_with(&format!("(os error {})", Errno::MFILE.raw_os_error())) {
        let advice = match getrlimit(Resource::Nofile).current {
            Some(limit) => format!("the open-file limit is {limit}; raise it with `ulimit -n`"),
            None => "the machine's open-file limit is exhausted; raise `fs.file-max`".to_owned(),
        };
        return format!("{text}: {advice}");
    }
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    match text.strip_suffix(&cause) {
        Some(own) if !cause.is_empty() => own.trim_end_matches([' ', ':']).to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Nested {
        #[error("outer")]
        Silent(#[source] Box<Nested>),
        #[error("outer: {0}")]
        Repeating(#[source] Box<Nested>),
        #[error("outer ({0}), so it ended")]
        Amid(#[source] Box<Nested>),
        #[error(transparent)]
        Transparent(#[from] std::io::Error),
        #[error("root")]
        Root,
    }

    #[test]
    fn each_cause_appears_once_whether_or_not_the_error_above_repeats_it() {
        let root = || Box::new(Nested::Root);
        let chained = [
            Nested::Silent(root()),
            Nested::Repeating(root()),
            Nested::Amid(root()),
            Nested::Repeating(Box::new(Nested::Silent(root()))),
            Nested::Transparent(std::io::Error::other("disk")),
        ]
        .map(|error| chain(&error));
        let expected = [
            "outer: root",
            "outer: root",
            "outer (root), so it ended",
            "outer: root",
            "disk",
        ];
        assert_eq!(chained, expected);
    }

    #[test]
    fn the_error_for_an_exhausted_open_file_limit_names_the_limit() {
        let error = std::io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        let limit = getrlimit(Resource::Nofile).current.unwrap();
        let text = chain(&Nested::Transparent(error));
        let expected = format!("the open-file limit is {limit}; raise it with `ulimit -n`");
        assert!(text.ends_with(&expected), "{text}");
    }

    #[test]
    fn an_api_servers_response_is_reduced_to_its_message() {
        let status = kube::core::Status::failure("no such thing", "NotFound").with_code(404);
        let error = kube::Error::Api(Box::new(status));
        assert_eq!(chain(&error), "no such thing");
        let listing = kube::runtime::watcher::Error::InitialListFailed(error);
        assert_eq!(
            chain(&listing),
            "failed to perform initial object list: no such thing"
        );
    }
}
