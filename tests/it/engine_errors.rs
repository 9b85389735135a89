//! Container engines that can't be reached: each error states the problem, the address, and what to do. The exit code
//! is 3.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::{Scratch, through};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\n";
/// A user without privileges.
const NOBODY: u32 = 65_534;

/// The output of a run on kind with this `DOCKER_HOST`.
fn run(scratch: &Scratch, host: &str) -> String {
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    fails_without_engine(scratch.process(&["--provider", "kind"]), host)
}

fn fails_without_engine(mut command: Command, host: &str) -> String {
    let finished = command.env("DOCKER_HOST", host).output().unwrap();
    let streams = [finished.stderr, finished.stdout].concat();
    let output = String::from_utf8_lossy(&streams).into_owned();
    assert_eq!(finished.status.code(), Some(3), "{output}");
    assert!(output.contains("(infrastructure: engine-gone)"), "{output}");
    output
}

/// `command`, run as the user [`NOBODY`].
fn as_nobody(command: &Command) -> Command {
    let user = NOBODY.to_string();
    let other = ["--reuid", &user, "--regid", &user, "--clear-groups"];
    through("/usr/bin/setpriv", &other, command)
}

#[track_caller]
fn assert_contains(output: &str, texts: &[&str]) {
    // The output wraps lines, so it is compared without line breaks.
    let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in texts {
        assert!(output.contains(text), "{text:?} is not in: {output}");
    }
}

fn address(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[test]
fn a_socket_that_the_user_may_not_use() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("matrix.toml"), MATRIX).unwrap();
    let socket = scratch.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o000)).unwrap();
    let mut command = scratch.process(&["--provider", "kind"]);
    if rustix::process::geteuid().is_root() {
        // Permissions don't restrict root, so the command runs as another user.
        for folder in ["", "home", "tmp", "state"] {
            chown(scratch.path().join(folder), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command = as_nobody(&command);
    }
    let output = fails_without_engine(command, &address(&socket));
    let path = socket.display().to_string();
    assert_contains(
        &output,
        &[
            "permission to use the container engine's socket",
            &path,
            "Permission denied (os error 13)",
            "usermod -aG docker",
            "DOCKER_HOST",
        ],
    );
    let repeats = |line: &str| line.matches("os error 13").count() > 1;
    assert!(!output.lines().any(repeats), "{output}");
}

#[test]
fn a_socket_that_does_not_exist() {
    let scratch = Scratch::new();
    let socket = scratch.path().join("none.sock");
    let output = run(&scratch, &address(&socket));
    let path = socket.display().to_string();
    assert_contains(
        &output,
        &[&path, "does not exist", "start Docker", "DOCKER_HOST"],
    );
}

#[test]
fn a_file_that_is_not_a_socket_and_a_socket_without_a_listener() {
    let scratch = Scratch::new();
    let (file, socket) = (
        scratch.path().join("file"),
        scratch.path().join("dead.sock"),
    );
    fs::write(&file, "").unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    for path in [file, socket] {
        let output = run(&scratch, &address(&path));
        let path = path.display().to_string();
        let refused = "Connection refused (os error 111)";
        assert_contains(
            &output,
            &[
                "no container engine listens on",
                &path,
                refused,
                "start Docker",
            ],
        );
    }
}

#[test]
fn a_closed_tcp_port() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&scratch, &address);
    let refused = "Connection refused (os error 111)";
    assert_contains(
        &output,
        &["no container engine listens on", &address, refused],
    );
}

#[test]
fn an_invalid_address() {
    let scratch = Scratch::new();
    for host in ["nonsense", "ssh://user@host", "tcp://", "tcp://a b:1"] {
        let output = run(&scratch, host);
        let quoted = format!("DOCKER_HOST is `{host}`");
        assert_contains(&output, &[&quoted, "unix:///path/to/docker.sock"]);
    }
}
