//! One dead run: its processes first, so that nothing is made behind our back, then everything else of its ledger.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Collector, GcOutcome, GcRow, temporaries};
use crate::cluster::existing;
use crate::cluster::kind::Claim;
use crate::error::chain;
use crate::machine::marked::Marked;
use crate::machine::{DeadRun, Left, Resource};

/// How long after its last word a dead run's clients may still be at work in the engine.
const FRESH: Duration = Duration::from_secs(30);
/// What was found of a resource, or what became of it.
type Looked = Result<Option<GcOutcome>, String>;

impl Collector<'_> {
    /// Removes what `run` left, and forgets it where all of it is gone.
    pub(super) async fn run(&mut self, run: DeadRun) {
        let mut is_done = true;
        let killed = self.processes(&run, &mut is_done).await;
        let is_settling = killed > 0 || run.age < FRESH;
        let mut gone = Vec::new();
        for left in &run.contents.left {
            if let Some(commands) = self.spared(left) {
                is_done = false;
                let outcome = GcOutcome::Kept(commands);
                self.tell(row(&run, left.resource.to_string(), outcome));
                continue;
            }
            let looked = self.resource(&run, &left.resource, is_settling).await;
            if self.conclude(&run, &left.resource, looked) {
                gone.push(left.resource.clone());
            } else {
                is_done = false;
            }
        }
        for path in temporaries::of(&run) {
            let resource = format!("temporary file {}", path.display());
            let looked = self.remove(|| fs::remove_file(&path).map_err(|error| error.to_string()));
            is_done &= !looked.is_failure();
            self.tell(row(&run, resource, looked));
        }
        if is_done && run.contents.unknown == 0 {
            self.forget(run);
        } else {
            self.remember(&run, &gone);
        }
    }

    /// The commands of what was kept on purpose and stays so.
    fn spared(&self, left: &Left) -> Option<Vec<String>> {
        left.kept.clone().filter(|_| !self.options.kept)
    }

    fn conclude(&mut self, run: &DeadRun, resource: &Resource, looked: Looked) -> bool {
        let outcome = match looked {
            Ok(None) => return true,
            Ok(Some(outcome)) => outcome,
            Err(reason) => GcOutcome::Failed(reason),
        };
        let is_gone = matches!(outcome, GcOutcome::Removed | GcOutcome::LeftAlone(_));
        self.tell(row(run, resource.to_string(), outcome));
        is_gone
    }

    /// Its ledger goes last: until then, whoever comes next knows what there was.
    fn forget(&mut self, run: DeadRun) {
        if self.options.dry_run {
            return;
        }
        let folder = format!("folder {}", run.folder.display());
        let known = row(&run, folder, GcOutcome::Removed);
        if let Err(error) = run.forget() {
            let outcome = GcOutcome::Failed(error.to_string());
            self.tell(GcRow { outcome, ..known });
        }
    }

    /// What is left of it is for the next time; what is `gone` is not told of again.
    fn remember(&mut self, run: &DeadRun, gone: &[Resource]) {
        if run.contents.unknown > 0 {
            let reason = "its ledger has lines that a newer version wrote: use that one".to_owned();
            self.tell(row(run, "ledger".to_owned(), GcOutcome::Failed(reason)));
        }
        if self.options.dry_run {
            return;
        }
        for resource in gone {
            if let Err(error) = run.gone(resource) {
                let outcome = GcOutcome::Failed(chain(&error));
                self.tell(row(run, "ledger".to_owned(), outcome));
            }
        }
    }

    /// Ends the run's processes, but for those that were kept. Returns how many there were.
    async fn processes(&mut self, run: &DeadRun, is_done: &mut bool) -> usize {
        let mut count = 0;
        for marked in self.marks(run) {
            let found = marked.find();
            if found.is_empty() {
                continue;
            }
            count += found.len();
            let outcome = if self.options.dry_run {
                GcOutcome::WouldRemove
            } else {
                let (_, left) = marked.kill(&self.deadline).await;
                outcome(left.is_empty(), || format!("still there: {left:?}"))
            };
            *is_done &= !outcome.is_failure();
            let resource = match found.len() {
                1 => "1 process".to_owned(),
                several => format!("{several} processes"),
            };
            self.tell(row(run, resource, outcome));
        }
        count
    }

    /// All of the run's, unless it kept some of them.
    fn marks(&self, run: &DeadRun) -> Vec<Marked> {
        let lefts = || run.contents.left.iter();
        let is_kept = |left: &Left| {
            self.spared(left).is_some() && matches!(left.resource, Resource::Processes { .. })
        };
        if !lefts().any(is_kept) {
            return vec![Marked::Run(run.token.clone())];
        }
        let unwanted = lefts().filter(|left| self.spared(left).is_none());
        unwanted
            .filter_map(|left| match &left.resource {
                Resource::Processes { mark } => Some(Marked::Cell(mark.clone())),
                Resource::KindCluster { .. }
                | Resource::Container { .. }
                | Resource::Volume { .. }
                | Resource::Folder { .. }
                | Resource::Port { .. }
                | Resource::Network { .. }
                | Resource::Namespace { .. }
                | Resource::ClusterObject { .. } => None,
            })
            .collect()
    }

    async fn resource(&self, run: &DeadRun, resource: &Resource, is_settling: bool) -> Looked {
        match resource {
            Resource::KindCluster { .. } => self.cluster(run, resource, is_settling).await,
            Resource::Container { id } => self.container(id).await,
            Resource::Volume { name } => self.volume(name).await,
            Resource::Folder { path } => self.folder(run, path),
            Resource::Namespace { .. } | Resource::ClusterObject { .. } => {
                self.elsewhere(run, resource).await
            }
            // It is not one run's alone: it is looked at when all runs were.
            Resource::Network { .. } => self.engine.needed().map(|_| None),
            // They were looked for by the run's mark; and a port is free when its process is gone.
            Resource::Processes { .. } | Resource::Port { .. } => Ok(None),
        }
    }

    async fn cluster(&self, run: &DeadRun, resource: &Resource, is_settling: bool) -> Looked {
        let Some(claim) = Claim::of(resource, &run.contents.left, self.options.kept) else {
            return Ok(None);
        };
        let engine = self.engine.needed()?;
        let found = engine.cluster(&claim).await;
        let found = found.map_err(|failure| failure.message)?;
        if found.own == 0 && found.foreign > 0 {
            let reason = "it was not made by that run; `kind delete cluster` removes it";
            return Ok(Some(GcOutcome::LeftAlone(reason.to_owned())));
        }
        if self.options.dry_run {
            return Ok((found.own > 0).then_some(GcOutcome::WouldRemove));
        }
        if found.own == 0 && !is_settling {
            return Ok(None);
        }
        let removing = engine.remove_cluster(&claim, is_settling, &self.deadline);
        let removed = self.deadline.run(removing).await;
        let evidence = removed
            .map_err(|timed_out| format!("its removal {timed_out}"))?
            .map_err(|failure| failure.message)?;
        let left: Vec<_> = evidence.into_iter().filter(|row| !row.holds).collect();
        let seen = || {
            let seen = left
                .iter()
                .map(|row| format!("{}: {}", row.subject, row.seen));
            seen.collect::<Vec<_>>().join("; ")
        };
        Ok(Some(outcome(left.is_empty(), seen)))
    }

    /// One that its cluster's removal did not take along.
    async fn container(&self, id: &str) -> Looked {
        let engine = self.engine.needed()?;
        let said = |failure: crate::event::Failure| failure.message;
        if !engine.has_container(id).await.map_err(said)? {
            return Ok(None);
        }
        if self.options.dry_run {
            return Ok(Some(GcOutcome::WouldRemove));
        }
        engine.remove_container(id).await.map_err(said)?;
        let is_there = engine.has_container(id).await.map_err(said)?;
        Ok(Some(outcome(!is_there, || "it is still there".to_owned())))
    }

    async fn volume(&self, name: &str) -> Looked {
        let engine = self.engine.needed()?;
        let said = |failure: crate::event::Failure| failure.message;
        if !engine.has_volume(name).await.map_err(said)? {
            return Ok(None);
        }
        if self.options.dry_run {
            return Ok(Some(GcOutcome::WouldRemove));
        }
        let is_gone = engine.remove_volume(name).await.map_err(said)?;
        Ok(Some(outcome(is_gone, || "a container uses it".to_owned())))
    }

    /// Something in a cluster that others use: only what carries the run's label there.
    async fn elsewhere(&self, run: &DeadRun, resource: &Resource) -> Looked {
        let said = |failure: crate::event::Failure| failure.message;
        let looking = existing::is_there(resource, &run.token, &self.deadline);
        if !looking.await.map_err(said)? {
            return Ok(None);
        }
        if self.options.dry_run {
            return Ok(Some(GcOutcome::WouldRemove));
        }
        let removing = existing::remove(resource, &run.token, &self.deadline);
        let cleared = removing.await.map_err(said)?;
        for warning in cleared.warnings {
            tracing::warn!(run = run.token, "{warning}");
        }
        Ok(Some(GcOutcome::Removed))
    }

    /// Folders of a run are below its own: whatever else a ledger says is not believed.
    fn folder(&self, run: &DeadRun, path: &Path) -> Looked {
        if !path.starts_with(&run.folder) {
            return Err("it is not below the run's own folder".to_owned());
        }
        if !exists(path) {
            return Ok(None);
        }
        Ok(Some(self.remove(|| {
            remove_folder(path).map_err(|error| error.to_string())
        })))
    }

    /// Removes something, unless nothing is to be.
    pub(super) fn remove(&self, remove: impl FnOnce() -> Result<(), String>) -> GcOutcome {
        if self.options.dry_run {
            return GcOutcome::WouldRemove;
        }
        match remove() {
            Ok(()) => GcOutcome::Removed,
            Err(reason) => GcOutcome::Failed(reason),
        }
    }
}

fn row(run: &DeadRun, resource: String, outcome: GcOutcome) -> GcRow {
    GcRow {
        run: Some(run.token.clone()),
        age: Some(run.age),
        resource,
        outcome,
    }
}

fn outcome(is_gone: bool, why_not: impl FnOnce() -> String) -> GcOutcome {
    if is_gone {
        GcOutcome::Removed
    } else {
        GcOutcome::Failed(why_not())
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
