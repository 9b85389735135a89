//! Starts pods. If this machine permits namespaces, each pod is isolated from the host in its own sandbox.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::pod_config::PodConfig;
use crate::deadline::RunClock;
use crate::error::chain;
use crate::machine::marked::MARK;
use crate::machine::probe;
use crate::machine::process::Group;
use crate::machine::sandbox::Sandbox;

/// The timeout for starting a test sandbox.
const TEST_LIMIT: Duration = Duration::from_secs(20);
/// The environment variable with the folder that the reference agent uses as the root of all its paths.
const ROOT: &str = "PLEXD_ROOT";

/// How pods are started on this machine.
pub(super) struct Launcher {
    runner: PathBuf,
    /// Limits how many processes of all cells start at once, because each starting process keeps a processor busy.
    pub(super) starts: Semaphore,
    /// Why pods can't be isolated.
    refusal: Option<String>,
}

impl Launcher {
    /// Detects whether pods can be isolated, by starting `runner` in a sandbox.
    pub(super) async fn detect(runner: &Path) -> Self {
        let deadline = RunClock::new().deadline(TEST_LIMIT);
        let refusal = match deadline.run(test(runner)).await {
            Ok(tested) => tested.err(),
            Err(timed_out) => Some(timed_out.to_string()),
        };
        Self {
            runner: runner.to_owned(),
            starts: Semaphore::new(probe::cpus() * 2),
            refusal,
        }
    }

    /// Why pods can't be isolated, and how to change that; `None` if they are isolated.
    pub(super) fn refusal(&self) -> Option<String> {
        let reason = self.refusal.as_ref()?;
        Some(format!(
            "this machine doesn't permit the namespaces that isolate local pods ({reason}); {}",
            remedy()
        ))
    }

    /// The command that starts a pod's process, which writes its output to `log`. `mark` in the environment identifies
    /// the pod's processes.
    pub(super) fn command(&self, pod: &PodConfig, log: File, mark: &str) -> io::Result<Command> {
        let sandbox = &pod.sandbox;
        let mut command = if self.refusal.is_none() {
            fs::create_dir_all(&sandbox.root)?;
            let mut command = sandboxed(&self.runner);
            command.env_clear().env("HOME", "/");
            command
        } else {
            sandbox.link()?;
            let mut command = Command::new(&sandbox.program);
            command
                .args(&sandbox.arguments)
                .current_dir(&sandbox.root)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .env_clear()
                .env("HOME", &sandbox.root)
                .env(ROOT, &sandbox.root);
            command
        };
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&pod.environment)
            .env(MARK, mark)
            .stderr(log);
        Ok(command)
    }
}

/// The runner as the parent process of a sandbox.
fn sandboxed(runner: &Path) -> Command {
    let mut command = Command::new(runner);
    command
        .arg("pod")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// If `child` is the parent process of a sandbox, sends it the description of the sandbox. Returns when the program is
/// running, or with the reason why it can't run.
pub(super) async fn enter(child: &mut Child, sandbox: &Sandbox) -> Result<(), String> {
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Ok(());
    };
    let sent = async {
        let text = serde_json::to_vec(sandbox)?;
        stdin.write_all(&text).await
    };
    let sent = sent.await;
    drop(stdin);
    let mut reason = String::new();
    let reading = stdout.read_to_string(&mut reason).await;
    match reading.and(sent) {
        _ if !reason.is_empty() => Err(reason.trim_end().to_owned()),
        Ok(()) => Ok(()),
        Err(error) => Err(chain(&error)),
    }
}

async fn test(runner: &Path) -> Result<(), String> {
    let root = tempfile::tempdir().map_err(|error| chain(&error))?;
    let sandbox = Sandbox {
        host_name: "e2e-matrix".to_owned(),
        root: root.path().to_owned(),
        program: runner.to_owned(),
        arguments: vec!["--version".to_owned()],
        folder: "/".into(),
        ..Sandbox::default()
    };
    let mut command = sandboxed(runner);
    command.stderr(Stdio::null());
    let mut group = Group::spawn(&mut command).map_err(|error| chain(&error))?;
    enter(group.child(), &sandbox).await?;
    let status = group.wait().await.map_err(|error| chain(&error))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the runner failed in a sandbox: {status}"))
    }
}

/// How to permit namespaces, depending on which setting forbids them.
fn remedy() -> String {
    const SETTINGS: [(&str, &str, &str); 3] = [
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "10000"),
    ];
    let forbids = |(name, forbidding, _): &&(&str, &str, &str)| {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::read_to_string(path).is_ok_and(|value| value.trim() == *forbidding)
    };
    match SETTINGS.iter().find(forbids) {
        Some((name, _, permitting)) => {
            format!("to permit them, run `sudo sysctl --write {name}={permitting}`")
        }
        None => "to permit them in a container, start it with `--security-opt seccomp=unconfined \
                 --security-opt apparmor=unconfined --security-opt systempaths=unconfined`; elsewhere, run as root"
            .to_owned(),
    }
}
