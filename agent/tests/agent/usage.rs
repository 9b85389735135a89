//! User errors: for each, the agent exits with the documented code and one clear line, and registers nothing.

use std::fs;
use std::net::TcpListener;

use crate::plexd::Plexd;
use crate::stage::Stage;
use mockapi::view::Counter;

/// Runs an agent that must not start, and checks the exit code and the error.
async fn assert_rejected(stage: &Stage, plexd: Plexd, code: i32, expected: &str) {
    let output = plexd.output().await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let line = stderr.lines().find(|line| line.starts_with("plexd: "));
    assert!(line.is_some_and(|line| line.contains(expected)), "{stderr}");
    assert_eq!(stage.count(Counter::Registration).await, 0);
}

#[tokio::test]
async fn no_bootstrap_token() {
    let stage = Stage::new().await;
    let plexd = stage.plexd().without("PLEXD_BOOTSTRAP_TOKEN");
    assert_rejected(
        &stage,
        plexd,
        2,
        "no bootstrap token: set PLEXD_BOOTSTRAP_TOKEN",
    )
    .await;
}

#[tokio::test]
async fn a_token_file_that_does_not_exist() {
    let stage = Stage::new().await;
    let path = stage.configuration("1s", "");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("registration: {", "registration: {token_file: /nowhere, ");
    fs::write(&path, text).unwrap();
    let plexd = stage.plexd_with(&path).without("PLEXD_BOOTSTRAP_TOKEN");
    assert_rejected(&stage, plexd, 2, "token_file /nowhere: No such file").await;
}

#[tokio::test]
async fn an_unknown_fault() {
    let stage = Stage::new().await;
    assert_rejected(
        &stage,
        stage.plexd().fault("no-drift,no-coffee"),
        2,
        "unknown fault \"no-coffee\"; the known faults are: crash,",
    )
    .await;
}

#[tokio::test]
async fn a_configuration_that_is_missing_or_wrong() {
    let stage = Stage::new().await;
    let missing = stage.directory.path().join("missing.yaml");
    assert_rejected(
        &stage,
        stage.plexd_with(&missing),
        2,
        "missing.yaml: No such file",
    )
    .await;
    let without_unit = stage.configuration("5", "");
    assert_rejected(
        &stage,
        stage.plexd_with(&without_unit),
        2,
        "config.yaml is not valid",
    )
    .await;
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used() {
    let stage = Stage::new().await;
    fs::write(stage.data_dir(), "a file").unwrap();
    assert_rejected(&stage, stage.plexd(), 1, "data cannot be used").await;
}

#[tokio::test]
async fn a_health_port_that_is_taken() {
    let stage = Stage::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let plexd = stage.plexd().env("PLEXD_HEALTH_ADDR", &address);
    assert_rejected(&stage, plexd, 1, &format!("cannot listen on {address}")).await;
}
