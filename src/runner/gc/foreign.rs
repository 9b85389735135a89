//! Clusters that look like ours and are in no ledger: told of, and never touched.

use super::{Collector, GcOutcome, GcRow};
use crate::cluster::ClusterName;
use crate::machine::{LedgerContents, folders};

impl Collector<'_> {
    /// Tells of clusters whose names follow our grammar, but which no run here, dead or alive, has made.
    pub(super) async fn foreign(&mut self) {
        let Some(engine) = self.engine.there() else {
            return;
        };
        let clusters = match engine.clusters().await {
            Ok(clusters) => clusters,
            Err(failure) => {
                tracing::debug!(%failure, "failed to look for clusters of others");
                return;
            }
        };
        let alike = clusters
            .into_iter()
            .filter(|name| ClusterName::is_alike(name));
        for name in alike.collect::<Vec<_>>() {
            if !self.is_in_a_ledger(&name) {
                let reason = format!(
                    "no ledger here has it: `kind delete cluster --name {name}` removes it"
                );
                self.tell(GcRow {
                    run: None,
                    age: None,
                    resource: format!("cluster {name}"),
                    outcome: GcOutcome::LeftAlone(reason),
                });
            }
        }
    }

    fn is_in_a_ledger(&self, name: &str) -> bool {
        let folders = folders(self.state).unwrap_or_default();
        let mut ledgers = folders
            .iter()
            .filter_map(|folder| LedgerContents::read(folder).ok());
        let told = self
            .report
            .rows
            .iter()
            .any(|row| row.resource == format!("cluster {name}"));
        told || ledgers.any(|contents| contents.cluster(name).is_some())
    }
}
