//! Clusters that look like ours and aren't in any ledger: reported, and never touched.

use super::{Collector, GcOutcome, GcRow};

impl Collector<'_> {
    /// Reports clusters whose names follow our grammar, but which no run here, dead or alive, has created.
    pub(super) async fn strangers(&mut self) {
        let names = self.engine.strangers(self.state).await;
        let names = names.unwrap_or_else(|failure| {
            tracing::debug!(%failure, "failed to look for clusters of others");
            Vec::new()
        });
        for name in names {
            let resource = format!("cluster {name}");
            if self.report.rows.iter().any(|row| row.resource == resource) {
                continue;
            }
            let reason =
                format!("no ledger here has it: `kind delete cluster --name {name}` removes it");
            self.tell(GcRow {
                run: None,
                age: None,
                resource,
                outcome: GcOutcome::LeftAlone(reason),
            });
        }
    }
}
