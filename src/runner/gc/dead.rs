//! Dead runs. Their entries are reclaimed in reverse order, each by its provider.

use std::fs;
use std::path::PathBuf;

use super::{Collector, GcOutcome, GcRow, temporaries};
use crate::cluster::{Entry, Reclaimed};
use crate::error::chain;
use crate::machine::{DeadRun, Left, LiveClaims, Resource, manual_cleanup};

/// A dead run, and the results for its entries.
struct Case {
    run: DeadRun,
    gone: Vec<Resource>,
    /// Whether resources are left that only this run used.
    is_open: bool,
}

impl Collector<'_> {
    /// Deletes the resources of the dead runs among `folders`, and the folders of the runs that have no resources left.
    pub(super) async fn runs(&mut self, folders: &[PathBuf]) {
        let mut entries: Vec<(usize, Left)> = Vec::new();
        let mut cases: Vec<Case> = Vec::new();
        for run in self.read(folders) {
            let lefts = run.contents.left.iter().rev().cloned();
            entries.extend(lefts.map(|left| (cases.len(), left)));
            cases.push(Case {
                is_open: run.contents.unknown > 0,
                gone: Vec::new(),
                run,
            });
        }
        // A resource in use may become free when the resources of all other entries are gone.
        for is_last in [false, true] {
            for (index, left) in std::mem::take(&mut entries) {
                let case = &mut cases[index];
                let reclaimed = self.entry(&case.run, &left).await;
                if matches!(reclaimed, Ok(Reclaimed::Used(_))) && !is_last {
                    entries.push((index, left));
                } else {
                    self.conclude(case, left.resource, reclaimed);
                }
            }
        }
        for mut case in cases {
            self.temporaries(&mut case);
            self.close(case);
        }
    }

    /// Lets the provider reclaim an entry, unless it was kept on purpose. The error is the outcome for a resource that
    /// stays.
    async fn entry(&self, run: &DeadRun, left: &Left) -> Result<Reclaimed, GcOutcome> {
        if let (Some(commands), false) = (&left.kept, self.options.kept) {
            return Err(GcOutcome::Kept(commands.clone()));
        }
        let resource = &left.resource;
        let mut reclaimers = self.reclaimers.iter();
        let reclaimer = reclaimers.find(|it| it.provider() == resource.provider);
        let Some(reclaimer) = reclaimer else {
            return Err(GcOutcome::Failed(format!(
                "this version doesn't know the provider `{}`: {}",
                resource.provider,
                manual_cleanup(&run.folder)
            )));
        };
        let entry = Entry {
            run: &run.token,
            folder: &run.folder,
            age: run.age,
            resource,
            dry_run: self.options.dry_run,
            deadline: &self.deadline,
        };
        let live = LiveClaims::of_all(self.state);
        let reclaimed = reclaimer.reclaim(&entry, &live).await;
        reclaimed.map_err(|failure| GcOutcome::Failed(failure.message))
    }

    fn conclude(
        &mut self,
        case: &mut Case,
        resource: Resource,
        reclaimed: Result<Reclaimed, GcOutcome>,
    ) {
        let (is_gone, outcome) = match reclaimed {
            Ok(Reclaimed::Absent) => (true, None),
            Ok(Reclaimed::Present) => (false, Some(GcOutcome::WouldDelete)),
            Ok(Reclaimed::Deleted) => (true, Some(GcOutcome::Deleted)),
            Ok(Reclaimed::Foreign(reason)) => (true, Some(GcOutcome::LeftAlone(reason))),
            // The resource stays for its other user, and this run's folder can be deleted. In a dry run, that user may
            // be a resource that would be deleted first.
            Ok(Reclaimed::Used(reason)) => {
                if !self.options.dry_run {
                    let outcome = GcOutcome::LeftAlone(reason);
                    self.push(Some(&case.run), resource.name, outcome);
                }
                return;
            }
            Err(outcome) => (false, Some(outcome)),
        };
        if let Some(outcome) = outcome {
            self.push(Some(&case.run), &resource.name, outcome);
        }
        if is_gone {
            case.gone.push(resource);
        } else {
            case.is_open = true;
        }
    }

    fn temporaries(&mut self, case: &mut Case) {
        for path in temporaries::of(&case.run) {
            let outcome = self.remove(|| fs::remove_file(&path).map_err(|error| chain(&error)));
            case.is_open |= outcome.is_failure();
            let resource = format!("temporary file {}", path.display());
            self.push(Some(&case.run), resource, outcome);
        }
    }

    /// Deletes the folder of a run that has no resources left. Otherwise records which resources were deleted, and
    /// leaves the others to the next collection.
    fn close(&mut self, case: Case) {
        let Case { run, gone, is_open } = case;
        if run.contents.unknown > 0 {
            let reason = format!(
                "this version can't read {} of its lines: {}",
                run.contents.unknown,
                manual_cleanup(&run.folder)
            );
            self.push(Some(&run), "ledger", GcOutcome::Failed(reason));
        }
        if self.options.dry_run {
            return;
        }
        if is_open {
            for resource in gone {
                if let Err(error) = run.gone(&resource) {
                    self.push(Some(&run), "ledger", GcOutcome::Failed(chain(&error)));
                }
            }
            return;
        }
        let folder = format!("folder {}", run.folder.display());
        let forgotten = GcRow::new(Some(&run), folder, GcOutcome::Deleted);
        if let Err(error) = run.forget() {
            let outcome = GcOutcome::Failed(chain(&error));
            self.rows.push(GcRow {
                outcome,
                ..forgotten
            });
        }
    }

    /// Calls `remove`, unless this is a dry run.
    pub(super) fn remove(&self, remove: impl FnOnce() -> Result<(), String>) -> GcOutcome {
        if self.options.dry_run {
            return GcOutcome::WouldDelete;
        }
        match remove() {
            Ok(()) => GcOutcome::Deleted,
            Err(reason) => GcOutcome::Failed(reason),
        }
    }
}
