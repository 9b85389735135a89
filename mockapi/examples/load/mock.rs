//! The mock under load, in a separate process.

use std::process::Stdio;

use procfs::process::Process;
use reqwest::Client;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::{Failure, as_f64};

/// A running mock.
pub(crate) struct Mock {
    child: Child,
    pub(crate) base: String,
}

impl Mock {
    /// Starts this program again as the mock, and waits until it prints its addresses.
    pub(crate) async fn spawn() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["mock", "--addr", "127.0.0.1:0", "--tls-addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the mock has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = lines.next_line().await?.ok_or("the mock exited at once")?;
        // Both lines must be read, because a mock that can't print its addresses exits.
        lines.next_line().await?.ok_or("the mock exited at once")?;
        let addr = line
            .strip_prefix("MOCKAPI_ADDR=")
            .ok_or("the mock did not print its address")?;
        Ok(Self {
            base: format!("http://{addr}"),
            child,
        })
    }

    /// The CPU time that the mock has used in user and system mode, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        let id = self.child.id().ok_or("the mock has exited")?;
        let stat = Process::new(id.cast_signed())?.stat()?;
        Ok(as_f64(stat.utime + stat.stime) / as_f64(procfs::ticks_per_second()))
    }

    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.child.kill().await?;
        Ok(())
    }
}

/// Follows the counter stream until the mock exits. Returns the number of events and of bytes.
pub(crate) async fn read_stream(url: String) -> Result<(usize, u64), Failure> {
    let mut response = Client::new().get(url).send().await?;
    let (mut events, mut bytes) = (0, 0);
    // When the mock is killed, the stream breaks off. This is not an error here.
    while let Ok(Some(chunk)) = response.chunk().await {
        events += chunk.windows(2).filter(|pair| pair == b"\n\n").count();
        bytes += chunk.len() as u64;
    }
    Ok((events, bytes))
}
