//! Waits for liveness probes to succeed, according to the kubelets' metrics.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use futures::future::join_all;
use http::Request;
use kube::Client;

use super::terminations::Unprobed;
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
                let (node, error) = (&agent.node, chain(&error));
                tracing::debug!(node, error, "the kubelet's probe metrics are not available");
                pending::<()>().await;
            }
        }
    }
}

async fn metrics(client: &Client, node: &str) -> kube::Result<String> {
    let path = format!("/api/v1/nodes/{node}/proxy/metrics/probes");
    let request = Request::get(path).body(Vec::new());
    let request = request.map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

/// The containers of the pod `uid` whose liveness probe has succeeded, according to `metrics` in the text format of
/// Prometheus.
fn successes(metrics: &str, uid: &str) -> BTreeSet<String> {
    let container = |line: &str| {
        let labels = line.strip_prefix("prober_probe_total{")?;
        let has = |name: &str, value: &str| labels.contains(&format!(r#"{name}="{value}""#));
        let counts =
            has("probe_type", "Liveness") && has("result", "successful") && has("pod_uid", uid);
        let (_, name) = labels.split_once(r#"container=""#)?;
        let (name, _) = name.split_once('"')?;
        counts.then(|| name.to_owned())
    };
    metrics.lines().filter_map(container).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_successes_of_liveness_probes_of_the_pod_count() {
        let metrics = r#"# HELP prober_probe_total [BETA] Cumulative number of a liveness probe
# TYPE prober_probe_total counter
prober_probe_total{container="one",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="successful"} 1
prober_probe_total{container="two",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="failed"} 1
prober_probe_total{container="three",namespace="n",pod="p",pod_uid="u",probe_type="Readiness",result="successful"} 1
prober_probe_total{container="four",namespace="n",pod="q",pod_uid="v",probe_type="Liveness",result="successful"} 1
prober_probe_duration_seconds_count{container="five",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="successful"} 1
"#;
        let expected = BTreeSet::from(["one".to_owned()]);
        assert_eq!(successes(metrics, "u"), expected);
    }
}
