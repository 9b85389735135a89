//! Container engines that can't be reached: each says what is in the way, at which address, and what to do, and is exit 3.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::{Scratch, through};

const MATRIX: &str = "[matrix]\nkubernetes = [\"1.36\"]\n";
/// A user without rights.
const NOBODY: u32 = 65_534;

/// What a run on kind with this `DOCKER_HOST` says.
fn run(place: &Scratch, host: &str) -> String {
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    told(place.process(&["--provider", "kind"]), host)
}

fn told(mut command: Command, host: &str) -> String {
    let output = command.env("DOCKER_HOST", host).output().unwrap();
    let streams = [output.stderr, output.stdout].concat();
    let told = String::from_utf8_lossy(&streams).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("(infrastructure: engine-gone)"), "{told}");
    told
}

/// `command` as another user.
fn as_nobody(command: &Command) -> Command {
    let user = NOBODY.to_string();
    let other = ["--reuid", &user, "--regid", &user, "--clear-groups"];
    through("/usr/bin/setpriv", &other, command)
}

#[track_caller]
fn says(said: &str, texts: &[&str]) {
    // The lines are wrapped.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

fn address(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[test]
fn a_socket_that_the_user_may_not_use() {
    let place = Scratch::new();
    fs::write(place.path().join("matrix.toml"), MATRIX).unwrap();
    let socket = place.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o000)).unwrap();
    let mut command = place.process(&["--provider", "kind"]);
    if rustix::process::geteuid().is_root() {
        // Nothing is denied to root.
        for folder in ["", "home", "tmp", "state"] {
            chown(place.path().join(folder), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command = as_nobody(&command);
    }
    let said = told(command, &address(&socket));
    let path = socket.display().to_string();
    says(
        &said,
        &[
            "permission to use the container engine's socket",
            &path,
            "Permission denied (os error 13)",
            "usermod -aG docker",
            "DOCKER_HOST",
        ],
    );
    let repeats = |line: &str| line.matches("os error 13").count() > 1;
    assert!(!said.lines().any(repeats), "{said}");
}

#[test]
fn a_socket_that_does_not_exist() {
    let place = Scratch::new();
    let socket = place.path().join("none.sock");
    let said = run(&place, &address(&socket));
    let path = socket.display().to_string();
    says(
        &said,
        &[&path, "does not exist", "start Docker", "DOCKER_HOST"],
    );
}

#[test]
fn a_file_that_is_not_a_socket_and_a_socket_without_a_listener() {
    let place = Scratch::new();
    let (file, socket) = (place.path().join("file"), place.path().join("dead.sock"));
    fs::write(&file, "").unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    for path in [file, socket] {
        let said = run(&place, &address(&path));
        let path = path.display().to_string();
        let refused = "Connection refused (os error 111)";
        says(
            &said,
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
    let place = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = run(&place, &address);
    let refused = "Connection refused (os error 111)";
    says(
        &said,
        &["no container engine listens on", &address, refused],
    );
}

#[test]
fn an_invalid_address() {
    let place = Scratch::new();
    for host in ["nonsense", "ssh://user@host", "tcp://", "tcp://a b:1"] {
        let said = run(&place, host);
        let quoted = format!("DOCKER_HOST is `{host}`");
        says(&said, &[&quoted, "unix:///path/to/docker.sock"]);
    }
}
