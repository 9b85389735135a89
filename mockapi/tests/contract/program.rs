//! The mock as a program: the lines that it prints, its exit on SIGTERM, and addresses that it can't listen on.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::client;

/// How long a mock may take to exit.
const GRACE: Duration = Duration::from_secs(5);

fn program(addr: &str, tls_addr: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mockapi"));
    command
        .args(["--addr", addr, "--tls-addr", tls_addr])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>, key: &str) -> String {
    let line = lines
        .next_line()
        .await
        .unwrap()
        .expect("there is another line");
    line.strip_prefix(key)
        .and_then(|rest| rest.strip_prefix('='))
        .expect(&line)
        .to_owned()
}

fn terminate(child: &Child) {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
}

#[tokio::test]
async fn it_prints_its_addresses_and_ends_gracefully() {
    let mut child = program("127.0.0.1:0", ":0").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = line(&mut lines, "MOCKAPI_ADDR").await;
    let tls_addr = line(&mut lines, "MOCKAPI_TLS_ADDR").await;
    let (_, tls_port) = tls_addr.rsplit_once(':').unwrap();
    let client = client();
    let ready = client
        .get(format!("http://{addr}/readyz"))
        .send()
        .await
        .unwrap();
    assert!(ready.status().is_success());
    let local = client
        .post(format!("https://127.0.0.1:{tls_port}/local/logs"))
        .send()
        .await
        .unwrap();
    assert_eq!(local.status(), reqwest::StatusCode::UNAUTHORIZED);

    // Open streams and idle connections must not delay the exit.
    let mut stream = client
        .get(format!("http://{addr}/test/assertions/stream"))
        .send()
        .await
        .unwrap();
    let start = Instant::now();
    terminate(&child);
    while stream.chunk().await.unwrap().is_some() {}
    assert!(child.wait().await.unwrap().success());
    assert!(start.elapsed() < GRACE, "{:?}", start.elapsed());
    assert_eq!(
        lines.next_line().await.unwrap(),
        None,
        "stdout must have no other lines"
    );
}

#[tokio::test]
async fn a_call_in_flight_is_answered_before_the_end() {
    let mut child = program("127.0.0.1:0", "127.0.0.1:0").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let addr = line(&mut lines, "MOCKAPI_ADDR").await;
    let client = client();
    let faults = r#"{"endpoints": {"ping": {"delay": "500ms"}, "drift": {"delay": "1h"}}}"#;
    client
        .post(format!("http://{addr}/test/faults"))
        .body(faults)
        .send()
        .await
        .unwrap();
    let ping = tokio::spawn(client.get(format!("http://{addr}/v1/ping")).send());
    let never = tokio::spawn(
        client
            .post(format!("http://{addr}/v1/nodes/a/drift"))
            .send(),
    );
    for _ in 0..2 {
        while !log
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .contains("applying a fault")
        {}
    }
    let start = Instant::now();
    terminate(&child);
    assert!(ping.await.unwrap().unwrap().status().is_success());
    assert!(never.await.unwrap().is_err());
    assert!(child.wait().await.unwrap().success());
    assert!(start.elapsed() < GRACE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_address_in_use_is_an_error_with_a_reason() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (addr, tls_addr) in [(addr.as_str(), ":0"), ("127.0.0.1:0", "nonsense")] {
        let output = program(addr, tls_addr).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(log.contains("failed to listen on"), "{log}");
    }
}
