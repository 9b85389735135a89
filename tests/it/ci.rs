//! Checks the scripts in `.ci`, the workflows, and the versions that they pin.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use regex::Regex;

use crate::support::Scratch;

/// A filterset in `.ci/run`: a test that matches `wanted` runs, unless it matches `unwanted`.
struct Selection {
    wanted: Regex,
    unwanted: Option<Regex>,
}

impl Selection {
    fn of(filterset: &str) -> Self {
        let mut parts = filterset.split(" - ").map(pattern);
        Self {
            wanted: parts.next().unwrap(),
            unwanted: parts.next(),
        }
    }

    fn contains(&self, name: &str) -> bool {
        let is_unwanted = self.unwanted.as_ref().is_some_and(|it| it.is_match(name));
        self.wanted.is_match(name) && !is_unwanted
    }
}

/// The names that `test(/pattern/)` or `test(=name)` matches.
fn pattern(term: &str) -> Regex {
    let inner = term
        .strip_prefix("test(")
        .and_then(|it| it.strip_suffix(')'));
    let inner = inner.unwrap_or_else(|| panic!("this test does not support the term {term}"));
    let exact = inner.strip_prefix('=').map(|name| format!("^{name}$"));
    Regex::new(&exact.unwrap_or_else(|| inner.trim_matches('/').to_owned())).unwrap()
}

#[test]
fn every_ignored_test_runs_in_ci() {
    let script = include_str!("../../.ci/run");
    let filtersets = script.split("-E '").skip(1);
    let selections: Vec<Selection> = filtersets
        .map(|rest| Selection::of(rest.split_once('\'').unwrap().0))
        .collect();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--list", "--ignored", "--format", "terse"]);
    let listed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let ignored = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    let ignored: Vec<&str> = ignored.collect();
    assert!(
        ignored.contains(&"kind::faults::every_fault_fails_exactly_its_phase_on_prepared_clusters")
    );
    let runs = |name: &&&str| selections.iter().any(|selection| selection.contains(name));
    let forgotten: Vec<_> = ignored.iter().filter(|name| !runs(name)).collect();
    assert_eq!(forgotten, [] as [&&str; 0]);
}

/// Runs `install-nextest`, which expects a release with the content `published`. A server on this machine sends an
/// archive with the content `sent` instead; if `sent` is `None`, the server can't be reached. Returns the installed
/// binary, if any, and the arguments with which the script called cargo.
fn install_nextest(published: &str, sent: Option<&str>) -> (Option<String>, String) {
    let scratch = Scratch::new();
    let file = |name: &str| scratch.path().join(name);
    let archive_of = |content: &str| {
        write_program(&file("cargo-nextest"), content);
        let mut tar = Command::new("tar");
        // With a fixed time, the same content always gives the same archive.
        tar.args(["--create", "--gzip", "--mtime=@0", "cargo-nextest"]);
        tar.current_dir(scratch.path()).output().unwrap().stdout
    };
    fs::write(file("published"), archive_of(published)).unwrap();
    let checksum = Command::new("sha256sum").arg(file("published")).output();
    let checksum = String::from_utf8(checksum.unwrap().stdout).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = sent.map(archive_of).map(|archive| {
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]).unwrap();
            let head = format!(
                "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n",
                archive.len()
            );
            client
                .write_all(&[head.as_bytes(), &archive].concat())
                .unwrap();
        })
    });

    let script = include_str!("../../.ci/install-nextest");
    let script = script.replace("https://github.com", &format!("http://{address}"));
    let script = Regex::new("[0-9a-f]{64}")
        .unwrap()
        .replace_all(&script, &checksum[..64]);
    write_program(&file("install-nextest"), &script);
    write_program(&file("cargo"), "#!/bin/sh\necho \"$@\" >called\n");
    let mut install = Command::new(file("install-nextest"));
    install.env_clear().env("HOME", scratch.path());
    install
        .env("CARGO", file("cargo"))
        .env("PATH", env::var_os("PATH").unwrap());
    assert!(
        install
            .current_dir(scratch.path())
            .status()
            .unwrap()
            .success()
    );
    if let Some(server) = server {
        server.join().unwrap();
    }
    let installed = fs::read_to_string(file(".cargo/bin/cargo-nextest"));
    (
        installed.ok(),
        fs::read_to_string(file("called")).unwrap_or_default(),
    )
}

fn write_program(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_published_nextest_with_the_right_checksum_is_installed() {
    let published = "#!/bin/sh\necho published\n";
    let installed = install_nextest(published, Some(published));
    assert_eq!(installed, (Some(published.to_owned()), String::new()));
}

#[test]
fn nextest_is_compiled_if_the_published_one_is_tampered_missing_or_broken() {
    let (published, broken) = ("#!/bin/sh\necho published\n", "#!/bin/sh\nexit 1\n");
    let tampered = "#!/bin/sh\necho tampered\n";
    for (published, sent) in [
        (published, Some(tampered)),
        (published, None),
        (broken, Some(broken)),
    ] {
        let (installed, called) = install_nextest(published, sent);
        assert_eq!(installed, None, "{sent:?}");
        assert!(
            called.starts_with("install --locked cargo-nextest@"),
            "{sent:?}: {called}"
        );
    }
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_action_is_pinned_by_digest_with_its_version() {
    let pinned = Regex::new("^[A-Za-z0-9/-]+@[0-9a-f]{40} # v[0-9.]+$").unwrap();
    let mut checked = 0;
    for file in [
        ".github/workflows/ci.yml",
        ".github/workflows/nightly.yml",
        ".github/workflows/release.yml",
        "docs/ci.md",
        "docs/tutorial.md",
    ] {
        for action in read(file)
            .lines()
            .filter_map(|line| Some(line.split_once("uses: ")?.1))
        {
            assert!(pinned.is_match(action), "{file}: {action}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} actions");
}

#[test]
fn images_are_built_with_the_pinned_toolchain_and_the_oldest_one_is_tested() {
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let version = toolchain["toolchain"]["channel"].as_str().unwrap();
    for program in ["agent", "mock-api"] {
        let file = format!("deploy/docker/{program}.Dockerfile");
        let image = format!("\nARG RUST_IMAGE=rust:{version}-bookworm\n");
        assert!(
            read(&file).contains(&image),
            "{file} does not contain {image}"
        );
    }
    let oldest = format!("RUSTUP_TOOLCHAIN: \"{}\"\n", env!("CARGO_PKG_RUST_VERSION"));
    assert!(
        read(".github/workflows/ci.yml").contains(&oldest),
        "{oldest}"
    );
}

#[test]
fn cargo_binstall_finds_the_archives_of_a_release() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let binstall = &manifest["package"]["metadata"]["binstall"];
    let filled = |key: &str| {
        let template = binstall[key].as_str().unwrap();
        let template = template.replace("v{ version }", "${{ github.ref_name }}");
        let template = template.replace("{ target }", "${{ matrix.target }}");
        template.replace("{ name }", "e2e-matrix")
    };
    let workflow = read(".github/workflows/release.yml");
    let archive = workflow.split_once("ARCHIVE: ").unwrap().1;
    let archive = archive.lines().next().unwrap();
    let address =
        format!("{{ repo }}/releases/download/${{{{ github.ref_name }}}}/{archive}.tar.gz");
    assert_eq!(filled("pkg-url"), address);
    assert_eq!(filled("bin-dir"), format!("{archive}/{{ bin }}"));
}
