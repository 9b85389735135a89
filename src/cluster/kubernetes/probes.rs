//! The results of liveness probes, according to the kubelets' metrics.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use futures::future::join_all;
use http::Request;
use kube::Client;

use super::liveness::{Liveness, Unprobed};
use crate::error::chain;

/// The delay between two requests for a kubelet's metrics.
const INTERVAL: Duration = Duration::from_millis(200);

/// Waits until the liveness probe of each of `agents` has succeeded once. Never returns if a kubelet's metrics can't be
/// read, for example without permission for `nodes/proxy`.
///
/// A failure doesn't end the wait: its event, which the caller reads afterwards, may be stored later than the metric.
pub(super) async fn all_succeeded(client: &Client, agents: &[Unprobed]) {
    join_all(agents.iter().map(|agent| succeeded(client, agent))).await;
}

async fn succeeded(client: &Client, agent: &Unprobed) {
    loop {
        match metrics(client, &agent.node).await {
            Ok(metrics) if agent.containers.is_subset(&successes(&metrics, &agent.uid)) => return,
            Ok(_) => tokio::time::sleep(INTERVAL).await,
            Err(error) => {
                unavailable(&agent.node, &error);
                pending::<()>().await;
            }
        }
    }
}

/// Sets how many times each of `probes` has failed. Leaves this unknown if a kubelet's metrics can't be read.
pub(super) async fn count_failures(client: &Client, probes: &mut [Liveness]) {
    join_all(probes.iter_mut().map(|probe| count(client, probe))).await;
}

async fn count(client: &Client, probe: &mut Liveness) {
    match metrics(client, &probe.node).await {
        Ok(metrics) => probe.counted = Some(failures(&metrics, &probe.uid)),
        Err(error) => unavailable(&probe.node, &error),
    }
}

fn unavailable(node: &str, error: &kube::Error) {
    let error = chain(error);
    tracing::debug!(node, error, "the kubelet's probe metrics are not available");
}

async fn metrics(client: &Client, node: &str) -> kube::Result<String> {
    let path = format!("/api/v1/nodes/{node}/proxy/metrics/probes");
    let request = Request::get(path).body(Vec::new());
    let request = request.map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

/// The containers of the pod `uid` whose liveness probe has succeeded, according to `metrics`.
fn successes(metrics: &str, uid: &str) -> BTreeSet<String> {
    let containers = totals(metrics, uid, "successful");
    containers.map(|(name, _)| name.to_owned()).collect()
}

/// How many times the liveness probes of the pod `uid` have failed, according to `metrics`.
fn failures(metrics: &str, uid: &str) -> u64 {
    totals(metrics, uid, "failed").map(|(_, count)| count).sum()
}

/// How many times the liveness probe of each container of the pod `uid` had this `result`, according to `metrics`,
/// which have the text format of Prometheus.
fn totals<'m>(metrics: &'m str, uid: &str, result: &str) -> impl Iterator<Item = (&'m str, u64)> {
    let labels = [
        r#"probe_type="Liveness""#.to_owned(),
        format!(r#"pod_uid="{uid}""#),
        format!(r#"result="{result}""#),
    ];
    metrics.lines().filter_map(move |line| {
        let line = line.strip_prefix("prober_probe_total{")?;
        let (own, count) = line.split_once("} ")?;
        let (_, name) = own.split_once(r#"container=""#)?;
        let (name, _) = name.split_once('"')?;
        let matches = labels.iter().all(|label| own.contains(label));
        matches.then_some((name, count.parse::<u64>().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_of_liveness_probes_of_the_pod_count() {
        let metrics = r#"# HELP prober_probe_total [BETA] Cumulative number of a liveness probe
# TYPE prober_probe_total counter
prober_probe_total{container="one",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="successful"} 1
prober_probe_total{container="two",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="failed"} 2
prober_probe_total{container="one",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="failed"} 30
prober_probe_total{container="one",namespace="n",pod="p",pod_uid="u",probe_type="Readiness",result="failed"} 7
prober_probe_total{container="three",namespace="n",pod="p",pod_uid="u",probe_type="Readiness",result="successful"} 1
prober_probe_total{container="four",namespace="n",pod="q",pod_uid="v",probe_type="Liveness",result="successful"} 1
prober_probe_duration_seconds_count{container="five",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="successful"} 1
"#;
        let expected = BTreeSet::from(["one".to_owned()]);
        assert_eq!(successes(metrics, "u"), expected);
        assert_eq!(failures(metrics, "u"), 32);
        assert_eq!(failures(metrics, "v"), 0);
    }
}
