//! Logs of common command-line libraries and runtimes, and arbitrary text.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::output::{gap_mark, gap_size};
use super::ranking::{Rank, rank};
use super::*;

fn log(processes: &[&str]) -> Log {
    let processes = processes.iter().map(|text| ProcessOutput::of(text));
    Log::new(source(), processes.collect())
}

fn source() -> LogSource {
    LogSource {
        writer: Writer::Agent,
        node: "node".to_owned(),
    }
}

/// How each library rejects arguments: the line with the reason, and the complete output.
const REJECTIONS: [(&str, &str); 8] = [
    (
        "Error: plexd up: api: config: BaseURL is required",
        "time=2026-01-02T03:04:05Z level=INFO msg=starting\nError: plexd up: api: config: BaseURL is required\nUsage:\n  plexd up [flags]\n\n\
         Flags:\n      --config string   path of the configuration (required)\n  -h, --help            help for up\n\nGlobal Flags:\n  \
         -v, --verbose   say more\n\nUse \"plexd [command] --help\" for more information about a command.\n",
    ),
    (
        "flag provided but not defined: -confg (invalid)",
        "flag provided but not defined: -confg (invalid)\nUsage of plexd:\n  -config string\n    \tpath of the configuration, required\n  -invalid\n    \tx\n",
    ),
    (
        "error: the following required arguments were not provided:",
        "error: the following required arguments were not provided:\n  --config <CONFIG>\n\nUsage: plexd up --config <CONFIG>\n\nFor more information, try '--help'.\n",
    ),
    (
        "plexd: error: the following arguments are required: --config",
        "usage: plexd [-h] --config CONFIG\n             [--invalid INVALID]\nplexd: error: the following arguments are required: --config\n",
    ),
    (
        "Error: Missing option '--config'.",
        "Usage: plexd up [OPTIONS]\nTry 'plexd up --help' for help.\n\nError: Missing option '--config'.\n",
    ),
    (
        "Missing required option: '--config=<config>'",
        "Missing required option: '--config=<config>'\nUsage: plexd up [-hV] --config=<config>\nRuns the agent until it is told to end.\n  \
         -c, --config=<config>   the configuration, required\n  -h, --help              Show this help message and exit.\n",
    ),
    (
        "org.apache.commons.cli.MissingOptionException: Missing required option: c",
        "org.apache.commons.cli.MissingOptionException: Missing required option: c\nusage: plexd [-c <arg>] [-h]\n -c,--config <arg>   required\n -h,--help           help\n",
    ),
    (
        "error: unexpected argument '--confg' found",
        "error: unexpected argument '--confg' found\n\nUSAGE:\n    plexd up [OPTIONS]\n\nOPTIONS:\n    --config <CONFIG>    [required]\n",
    ),
];

#[test]
fn rejected_arguments_are_quoted_without_the_usage_text() {
    for (line, text) in REJECTIONS {
        let log = log(&[text]);
        assert_eq!(reason(&log).as_deref(), Some(line), "{text}");
        let quoted = excerpt(&log, 50).join("\n");
        assert!(quoted.contains(line), "{quoted}");
        for usage in [
            "sage:",
            "--help",
            "Flags",
            "OPTIONS",
            "config string",
            "Show this",
            "Usage of",
            "Runs the agent",
        ] {
            assert!(!quoted.contains(usage), "{usage}: {quoted}");
        }
    }
}

#[test]
fn text_that_only_begins_like_a_usage_text_is_quoted() {
    let log = log(&["Usage: 45% of the memory\nError: too much\n"]);
    assert_eq!(
        excerpt(&log, 9),
        ["Usage: 45% of the memory", "Error: too much"]
    );
}

/// What each runtime prints when it crashes: the reason, and the lines that are quoted.
const ENDS: [(&str, &str, &[&str]); 5] = [
    (
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "INFO starting\npanic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation]\n\n\
         goroutine 1 [running]:\nmain.run(...)\n\t/src/main.go:14\nmain.main()\n\t/src/main.go:5 +0x1d\nexit status 2\n",
        &[
            "goroutine 1 [running]:",
            "main.run(...)",
            "\t/src/main.go:14",
        ],
    ),
    (
        "thread 'main' panicked at src/main.rs:4:5: no token",
        "thread 'main' panicked at src/main.rs:4:5:\nno token\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
        &["thread 'main' panicked at src/main.rs:4:5:", "no token"],
    ),
    (
        "thread 'main' panicked at 'no token', src/main.rs:4:5",
        "thread 'main' panicked at 'no token', src/main.rs:4:5\n",
        &[],
    ),
    (
        "KeyError: 'PLEXD_BOOTSTRAP_TOKEN'",
        "INFO:plexd:starting\nTraceback (most recent call last):\n  File \"/plexd.py\", line 9, in <module>\n    main()\n  File \"/plexd.py\", line 3, in error\n    \
         os.environ['PLEXD_BOOTSTRAP_TOKEN']\nKeyError: 'PLEXD_BOOTSTRAP_TOKEN'\n",
        &[
            "Traceback (most recent call last):",
            "  File \"/plexd.py\", line 3, in error",
        ],
    ),
    (
        "Caused by: java.net.ConnectException: Connection refused",
        "Exception in thread \"main\" java.lang.IllegalStateException: failed to start\n\tat io.plexd.Main.run(Main.java:20)\n\tat io.plexd.ErrorHandler.main(Main.java:9)\n\
         Caused by: java.net.ConnectException: Connection refused\n\tat java.base/sun.nio.ch.Net.connect(Net.java)\n\t... 2 more\n",
        &[
            "Exception in thread \"main\" java.lang.IllegalStateException: failed to start",
            "\tat java.base/sun.nio.ch.Net.connect(Net.java)",
        ],
    ),
];

#[test]
fn panics_and_exceptions_are_quoted_with_the_first_lines_of_their_stack() {
    for (line, text, with) in ENDS {
        let filler = "level=info msg=tick\n".repeat(60);
        let log = log(&[&format!("{filler}{text}{filler}")]);
        assert_eq!(reason(&log).as_deref(), Some(line), "{text}");
        let quoted = excerpt(&log, 30);
        for line in with {
            assert!(
                quoted.iter().any(|quoted| quoted == line),
                "{line}: {quoted:?}"
            );
        }
    }
}

#[test]
fn levels_and_words_determine_the_rank_of_a_line() {
    let ranks: [(Option<Rank>, &[&str]); 5] = [
        (
            Some(Rank::Fatal),
            &[
                "time=2026-01-02T03:04:05Z level=fatal msg=bye",
                "F1128 14:48:22.123456       1 main.go:10] cannot go on",
                "CRITICAL:root:no token",
                "{\"level\":60,\"msg\":\"bye\"}",
                "fatal: no such thing",
            ],
        ),
        (
            Some(Rank::Error),
            &[
                "{\"time\":\"2026-01-02T03:04:05Z\",\"level\":\"ERROR\",\"msg\":\"push\"}",
                "2026-01-02T03:04:05.123456Z ERROR plexd::loops: push failed",
                "ERRO[0000] push failed",
                "E1128 14:48:22.123456       1 main.go:10] \"push failed\" err=\"x\"",
                "2026-01-02T03:04:05Z\terror\tmain.go:10\tpush failed",
                "2026/01/02 03:04:05 [error] 1#1: push failed",
                "03:04:05.123 [main] ERROR io.plexd.Main - push failed",
                "SEVERE: push failed",
                "{\"level\":50,\"msg\":\"push\"}",
                "plexd: error: push failed",
            ],
        ),
        (
            Some(Rank::Word),
            &[
                "2026/01/02 03:04:05 open /etc/plexd/config.yaml: permission denied",
                "dial tcp 10.0.0.1:8080: connect: connection refused",
                "WARN token is required",
                "a bearer token is required",
                "the address is invalid",
                "caught ValueError while reading",
                "connect ECONNREFUSED 127.0.0.1:8080",
                "retrying err=\"no such host\"",
            ],
        ),
        (
            Some(Rank::Weak),
            &[
                "level=info msg=retrying error=\"connection refused\"",
                "INFO connection refused, next try in 1s",
            ],
        ),
        (
            None,
            &[
                "errors=0",
                "error=<nil>",
                "{\"msg\":\"done\",\"error\":null}",
                "{\"msg\":\"done\",\"error\":\"\"}",
                "done, no errors",
                "0 errors, 0 warnings",
                "level=info msg=\"pushed\" error_count=0",
                "level=info msg=\"pushed\" error_count=3",
                "INFO error handling is on",
                "restarting as required",
                "authentication is not required",
                "err=nil",
                "error=",
                "finished: error: none",
                "terrors and panics_total 3",
                "\tat io.plexd.ErrorHandler.run(ErrorHandler.java:9)",
            ],
        ),
    ];
    for (expected, lines) in ranks {
        for line in lines {
            let seen = if line.starts_with('\t') {
                reason(&log(&[line])).map(|_| Rank::Word)
            } else {
                rank(line)
            };
            assert_eq!(seen, expected, "{line}");
        }
    }
}

#[test]
fn colors_do_not_hide_a_level() {
    let log = log(&[
        "\u{1B}[2m2026-01-02T03:04:05Z\u{1B}[0m \u{1B}[31mERROR\u{1B}[0m \u{1B}[2mmain\u{1B}[0m: push failed\n",
    ]);
    assert_eq!(
        reason(&log).as_deref(),
        Some("2026-01-02T03:04:05Z ERROR main: push failed")
    );
}

#[test]
fn the_start_of_each_process_is_quoted_and_gaps_are_counted() {
    let tick = "level=info msg=tick\n".repeat(40);
    let process = |number: u32| format!("this is start {number}\n{tick}");
    let log = log(&[&process(1), &process(2), &process(3)]);
    let quoted = excerpt(&log, 12);
    assert_eq!(quoted.len(), 12, "{quoted:?}");
    for number in 1..=3 {
        assert!(
            quoted.contains(&format!("this is start {number}")),
            "{quoted:?}"
        );
    }
    assert_eq!(quoted[2], gap_mark(39), "{quoted:?}");
    assert_eq!(whole(&quoted), 123);
}

#[test]
fn shortening_an_excerpt_adds_up_the_omitted_lines() {
    let text = format!(
        "start\n{}Error: why\n{}",
        "tick\n".repeat(200),
        "tock\n".repeat(200)
    );
    let quoted = excerpt(&log(&[&text]), 50);
    let short = shortened(&quoted, 5);
    assert!(short.contains(&"Error: why".to_owned()), "{short:?}");
    assert_eq!((short.len(), whole(&short)), (5, 402), "{short:?}");
    assert_eq!(shortened(&quoted, 50), quoted);
}

#[test]
fn a_line_like_a_mark_for_more_lines_than_a_log_can_have_is_quoted() {
    let huge = format!("… {} lines left out", usize::MAX);
    let lines = ["start", "tick", huge.as_str(), "tock", "end"].map(str::to_owned);
    let short = shortened(&lines, 4);
    assert_eq!(short, ["… 2 lines left out", huge.as_str(), "tock", "end"]);
}

/// How many lines `quoted` represents.
fn whole(quoted: &[String]) -> usize {
    quoted.iter().map(|line| gap_size(line).unwrap_or(1)).sum()
}

#[test]
fn only_whole_lines_at_the_start_and_end_of_a_long_log_are_kept() {
    let line = "x".repeat(999);
    let mut collector = Collector::default();
    for number in 0..3000 {
        collector.feed(format!("{number} {line}").as_bytes());
        collector.feed(b"\r\n");
    }
    collector.feed("y".repeat(70_000).as_bytes());
    let written = collector.finish();
    let text = written.text();
    assert!(text.len() < 1_100_000, "{}", text.len());
    assert!(text.starts_with(&format!("0 {line}\n1 ")));
    assert!(text.ends_with(&format!(
        "2999 {line}\n(a line of 70000 bytes is left out)\n"
    )));
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(whole(&lines), 3001);
}

#[test]
fn the_last_line_of_a_process_is_not_part_of_a_usage_text() {
    let log = log(&["starting\nfailed to read it\nUsage of plexd:\n  -config string\n    \tx\n\n"]);
    assert_eq!(reason(&log), None);
    assert_eq!(last_line(&log).as_deref(), Some("failed to read it"));
}

#[test]
fn the_reason_why_a_log_is_unreadable_is_not_a_line_of_it() {
    let log = Log::unreadable(source(), "connection refused");
    let line = "(failed to read the log: connection refused)";
    assert_eq!(excerpt(&log, 50), [line]);
    assert_eq!(log.text(), format!("{line}\n"));
    assert!(!log.is_read());
    assert_eq!((reason(&log), last_line(&log)), (None, None));
}

fn any_line() -> impl Strategy<Value = String> {
    let known = select(vec![
        "Usage:",
        "Usage: plexd [flags]",
        "Flags:",
        "  -c, --config string",
        "Error: it",
        "panic: it",
        "goroutine 1 [running]:",
        "thread 'main' panicked at src/main.rs:4:5:",
        "Traceback (most recent call last):",
        "Caused by: it",
        "\tat it",
        "",
        "… 3 lines left out",
        "error=<nil>",
        "\u{1B}[31merror\u{1B}[0m",
        "\u{1B}[",
        "tick",
    ]);
    prop_oneof![
        known.prop_map(str::to_owned),
        any::<String>().prop_map(|text| text.replace(['\n', '\r'], " "))
    ]
}

proptest! {
    #[test]
    fn any_log_is_quoted_within_the_budget_and_only_with_its_own_lines(
        processes in vec(vec(any_line(), 0..40), 0..5),
        budget in 0_usize..30,
        less in 0_usize..10,
    ) {
        let texts: Vec<String> = processes.iter().map(|lines| lines.join("\n")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let log = log(&texts);
        let quoted = excerpt(&log, budget);
        let short = shortened(&quoted, less);
        prop_assert!(quoted.len() <= budget && short.len() <= less);
        let own: Vec<&String> = processes.iter().flatten().collect();
        for line in quoted.iter().chain(&short) {
            prop_assert!(own.contains(&line) || gap_size(line).is_some(), "{line:?}");
        }
        if budget > 2 && own.iter().all(|line| gap_size(line).is_none()) {
            let lines: usize = log.processes.iter().map(|process| process.lines().count()).sum();
            prop_assert_eq!(whole(&quoted), lines);
        }
        for line in [reason(&log), last_line(&log)].into_iter().flatten() {
            prop_assert!(!line.is_empty());
        }
    }
}
