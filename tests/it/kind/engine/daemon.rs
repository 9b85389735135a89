//! An engine that belongs to one test. The test can stop, kill and restart it, and shrink its disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{START, text, wait};
use crate::kind::kill::docker;
use crate::support::{Scratch, through};

/// A Docker engine in its own namespaces: its network affects no other engine, and its mounts disappear with it.
pub(super) struct Engine {
    folder: tempfile::TempDir,
    shell: Option<Child>,
    /// The size of the engine's own disk in MiB, if it has one.
    disk: Option<u64>,
}

/// Mounts a disk if `SIZE` is set, and then runs the engine.
const ENGINE: &str = r#"ip link set lo up && mkdir -p "$DATA" && { [ -z "$SIZE" ] || mount -t tmpfs -o size="$SIZE" tmpfs "$DATA"; } \
  && exec dockerd --data-root "$DATA" "$@""#;

impl Engine {
    pub(super) fn start() -> Self {
        Self::on(None)
    }

    /// An engine whose disk has this many MiB. The disk disappears with the engine.
    pub(super) fn with_disk(mebibytes: u64) -> Self {
        Self::on(Some(mebibytes))
    }

    fn on(disk: Option<u64>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("engine-")
            .tempdir()
            .unwrap();
        let mut engine = Self {
            folder,
            shell: None,
            disk,
        };
        engine.spawn();
        engine
    }

    fn spawn(&mut self) {
        let folder = self.folder.path();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "sh", "-c", ENGINE, "sh"])
            .env("DATA", self.data())
            .env("SIZE", self.disk.map(size).unwrap_or_default())
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(self.host())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.shell = Some(command.spawn().unwrap());
        wait("the engine responds", START, || {
            self.client(&["info"]).output().unwrap().status.success()
        });
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Shrinks the engine's disk, so that only `mebibytes` MiB are free.
    pub(super) fn shrink_disk(&self, mebibytes: u64) {
        // If the engine writes to the disk in the meantime, the new size is too small, and the disk can't be resized.
        wait("the disk shrinks", START, || {
            let mut df = self.in_mounts(&["df", "--block-size=1M", "--output=used"]);
            let output = df.arg(self.data()).output().unwrap();
            let used = String::from_utf8(output.stdout).unwrap();
            let used: u64 = used.lines().last().unwrap().trim().parse().unwrap();
            self.resize_disk(used + mebibytes)
        });
    }

    /// Restores the original size of the engine's disk.
    pub(super) fn restore_disk(&self) {
        assert!(self.resize_disk(self.disk.unwrap()));
    }

    /// Resizes the engine's disk. Returns `false` if the files on the disk need more space.
    fn resize_disk(&self, mebibytes: u64) -> bool {
        let option = format!("remount,size={}", size(mebibytes));
        let resized = self
            .in_mounts(&["mount", "-o", &option])
            .arg(self.data())
            .status();
        resized.unwrap().success()
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host()).args(arguments);
        command
    }

    /// Runs `docker` on this engine. Returns its output.
    pub(super) fn docker(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Copies the newest 1.34 node image from the machine's engine.
    pub(super) fn load_node_image(&self) {
        let format = "{{.Repository}}:{{.Tag}}";
        let images = docker(&["images", "--format", format, "kindest/node:v1.34.*"]);
        let image = images.lines().next().expect("a node image of 1.34 exists");
        let mut save = Command::new("docker")
            .args(["save", image])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let archive = save.stdout.take().unwrap();
        let load = self
            .client(&["load", "--quiet"])
            .stdin(archive)
            .output()
            .unwrap();
        assert!(load.status.success(), "{}", text(&load));
        assert!(save.wait().unwrap().success());
    }

    /// The runner, in the network and the mounts of this engine.
    pub(super) fn command(&self, scratch: &Scratch, arguments: &[&str]) -> Command {
        let run = scratch.process(arguments);
        let daemon = self.daemon().as_raw_nonzero().to_string();
        // The runner also enters the engine's mounts, because it checks how much space is left on the engine's disk.
        let folder = scratch.path().to_str().unwrap();
        let namespaces = [
            "--target", &daemon, "--net", "--mount", "env", "--chdir", folder,
        ];
        let mut command = through("nsenter", &namespaces, &run);
        command
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("DOCKER_HOST", self.host());
        command
    }

    /// A command that sees the engine's mounts.
    fn in_mounts(&self, command: &[&str]) -> Command {
        let daemon = self.daemon().as_raw_nonzero().to_string();
        let mut entered = Command::new("nsenter");
        entered.args(["--target", &daemon, "--mount"]).args(command);
        entered
    }

    pub(super) fn daemon(&self) -> Pid {
        let text = fs::read_to_string(self.folder.path().join("pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// Reverts the effect of `signal`.
    pub(super) fn recover(&mut self, signal: Signal) {
        if signal == Signal::STOP {
            kill_process(self.daemon(), Signal::CONT).unwrap();
            return;
        }
        self.reap();
        self.spawn();
    }

    /// Cleans up after a dead engine: stops its containerd, and deletes the files that mark the engine as running.
    fn reap(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            shell.wait().unwrap();
        }
        let folder = self.folder.path();
        let containerd = folder.join("exec/containerd/containerd.pid");
        if let Ok(id) = fs::read_to_string(&containerd) {
            let id = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
            // Fails if the process has already exited.
            let _gone = kill_process(id, Signal::TERM);
            wait("containerd ends", START, || {
                !Path::new(&format!("/proc/{}", id.as_raw_nonzero())).exists()
            });
        }
        for file in [folder.join("pid"), folder.join("socket"), containerd] {
            // Fails if the file does not exist.
            drop(fs::remove_file(file));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Ok(id) = fs::read_to_string(self.folder.path().join("pid")) else {
            return;
        };
        let Some(id) = id.trim().parse().ok().and_then(Pid::from_raw) else {
            return;
        };
        // The engine may be in any state. Its containers are deleted first, and then the engine is stopped. Errors are
        // ignored, because the test is over.
        let _gone = kill_process(id, Signal::CONT);
        if let Ok(left) = self.client(&["ps", "--all", "--quiet"]).output() {
            let left = String::from_utf8_lossy(&left.stdout).into_owned();
            for container in left.split_whitespace() {
                drop(
                    self.client(&["rm", "--force", "--volumes", container])
                        .output(),
                );
            }
        }
        let _gone = kill_process(id, Signal::TERM);
        if let Some(mut shell) = self.shell.take() {
            drop(shell.wait());
        }
    }
}

/// A size in the format of `mount`.
fn size(mebibytes: u64) -> String {
    format!("{mebibytes}m")
}
