//! Resources that runs share: caches and lock files.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Collector, GcOutcome};
use crate::cluster::images;
use crate::cluster::kind::USED;
use crate::error::chain;
use crate::machine::{Lock, UNFINISHED, tidy};

impl Collector<'_> {
    /// Deletes shared resources that no run needs. `alive` says whether any run is alive.
    pub(super) async fn common(&mut self, alive: bool) {
        self.cache(alive);
        if self.options.cache {
            self.images(alive).await;
        }
        if !self.options.dry_run {
            self.locks();
        }
    }

    /// Deletes unfinished archives, or all archives if that was requested and no run is alive. Skips archives in use,
    /// and skips all archives while another process creates one.
    fn cache(&mut self, alive: bool) {
        let all = self.options.cache && !alive;
        let extensions: &[&str] = if all {
            &[UNFINISHED, "tar", USED]
        } else {
            &[UNFINISHED]
        };
        let targets = files(&self.state.cache(), extensions);
        if targets.is_empty() {
            return;
        }
        // A process that creates an archive holds this lock.
        let lock = match Lock::try_take(&self.state.lock(images::LOCK)) {
            Ok(Some(lock)) => lock,
            Ok(None) => return,
            Err(error) => {
                self.push(None, "cache of images", GcOutcome::Failed(chain(&error)));
                return;
            }
        };
        for target in targets {
            let outcome = self.remove(|| match images::remove_unused(&target) {
                Ok(true) => Ok(()),
                Ok(false) => Err("a run uses it".to_owned()),
                Err(error) => Err(chain(&error)),
            });
            self.push(None, format!("cache {}", target.display()), outcome);
        }
        drop(lock);
        // Fails unless the folder is empty.
        drop(fs::remove_dir(self.state.cache()));
    }

    async fn images(&mut self, alive: bool) {
        let images = match self.engine.images().await {
            Ok(images) => images,
            Err(failure) => {
                self.push(None, "images", GcOutcome::Failed(failure.message));
                return;
            }
        };
        for name in images {
            let outcome = if alive {
                GcOutcome::LeftAlone("runs are active".to_owned())
            } else if self.options.dry_run {
                GcOutcome::WouldDelete
            } else {
                match self.engine.remove_image(&name).await {
                    Ok(true) => GcOutcome::Deleted,
                    Ok(false) => GcOutcome::LeftAlone("a container uses it".to_owned()),
                    Err(failure) => GcOutcome::Failed(failure.message),
                }
            };
            self.push(None, format!("image {name}"), outcome);
        }
    }

    fn locks(&mut self) {
        if let Err(error) = tidy(self.state) {
            self.push(None, "lock files", GcOutcome::Failed(chain(&error)));
        }
        // Fails if the folder contains runs.
        drop(fs::remove_dir(self.state.runs()));
    }
}

/// The files in `folder` with one of `extensions`.
fn files(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut paths: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let extension = path.extension().and_then(OsStr::to_str);
        extension.is_some_and(|extension| extensions.contains(&extension))
    });
    paths
}
