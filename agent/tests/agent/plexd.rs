//! The real binary, started in a clean environment.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::stage::{self, DEADLINE, NODE, TOKEN};

/// An agent that has not been started.
pub(crate) struct Plexd {
    command: Command,
    log: PathBuf,
}

/// A running agent. Dropping it kills the process.
pub(crate) struct Running {
    child: Child,
    /// `host:port` of its health endpoints, as announced.
    pub(crate) health: String,
}

impl Plexd {
    /// An agent with this configuration on [`NODE`], whose stderr is appended to `log`.
    pub(crate) fn new(configuration: &Path, log: PathBuf) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexd"));
        command.args(["up", "--config"]).arg(configuration);
        command.env_clear();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let plexd = Self { command, log };
        plexd
            .env("MY_NODE_NAME", NODE)
            .env("PLEXD_BOOTSTRAP_TOKEN", TOKEN)
            .env("PLEXD_HEALTH_ADDR", "127.0.0.1:0")
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn fault(self, name: &str) -> Self {
        self.env("PLEXD_FAULT", name)
    }

    /// Starts the agent, and waits until it listens.
    pub(crate) async fn start(mut self) -> Running {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the log file can be opened");
        let mut child = self.command.stderr(log).spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line())
            .await
            .expect("a line is printed in time");
        let line = line
            .expect("stdout is readable")
            .expect("a line is printed before the end");
        let health = line
            .strip_prefix("PLEXD_HEALTH_ADDR=")
            .expect("the line has the health address")
            .to_owned();
        Running { child, health }
    }

    /// Runs the agent until it exits.
    pub(crate) async fn output(mut self) -> Output {
        let output = self.command.stderr(Stdio::piped()).output();
        tokio::time::timeout(DEADLINE, output)
            .await
            .expect("the process ends in time")
            .expect("the binary starts")
    }
}

impl Running {
    /// Sends SIGTERM, and waits until the process has exited.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().expect("the process has not ended");
        let id = i32::try_from(id)
            .ok()
            .and_then(Pid::from_raw)
            .expect("the id is a process id");
        kill_process(id, Signal::TERM).expect("the process is ours");
        self.ended().await
    }

    /// Waits until the process has exited.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("the process ends in time")
            .expect("the process is our child")
    }

    /// The status of a health endpoint.
    pub(crate) async fn health(&self, path: &str) -> u16 {
        let url = format!("http://{}{path}", self.health);
        stage::client()
            .get(url)
            .send()
            .await
            .expect("the agent answers")
            .status()
            .as_u16()
    }
}
