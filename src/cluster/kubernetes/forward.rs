//! Forwards the mock's port to the host through the API server. Each connection looks up the pod again.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, ResourceExt};

use super::Kube;
use super::health::is_pod_ready;
use super::pods::Owner;
use crate::cluster::{CellPlan, Connect, Forward, Stream};
use crate::error::chain;
use crate::event::{Failure, Symptom};

/// The forwarded port of the mock's Service.
const PORT: i32 = 8080;

/// Starts to forward connections from the cell's listener.
pub(crate) fn open(plan: &CellPlan, kube: Arc<Kube>) -> Result<Forward, Failure> {
    let failed = |why: String| {
        let message = format!("failed to forward a port: {why}");
        Failure::new(Symptom::ForwardLost, message)
    };
    let listener = plan
        .take_listener()
        .ok_or_else(|| failed("the cell's listener is already in use".to_owned()))?;
    let connect = ThroughApiServer {
        kube,
        namespace: plan.namespace.clone(),
        service: plan.rendered.mock().service.clone(),
    };
    Forward::start(listener, Arc::new(connect)).map_err(|error| failed(chain(&error)))
}

struct ThroughApiServer {
    kube: Arc<Kube>,
    namespace: String,
    service: Service,
}

#[async_trait]
impl Connect for ThroughApiServer {
    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let snapshot = self.kube.view.snapshot();
        let pod = snapshot.pods_of(Owner::Mock).find(|pod| is_pod_ready(pod));
        let pod = pod.ok_or_else(|| io::Error::other("no mock pod is ready"))?;
        let port = target_port(&self.service, pod)
            .ok_or_else(|| io::Error::other("the mock's Service has no port 8080"))?;
        let pods: Api<Pod> = Api::namespaced(self.kube.client.clone(), &self.namespace);
        let forwarder = pods.portforward(&pod.name_any(), &[port]).await;
        let stream = forwarder.map_err(io::Error::other)?.take_stream(port);
        let stream = stream.ok_or_else(|| io::Error::other("the API server opened no stream"))?;
        Ok(Box::new(stream))
    }
}

/// The port of `pod` that the Service's port targets.
fn target_port(service: &Service, pod: &Pod) -> Option<u16> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let port = ports.iter().find(|port| port.port == PORT)?;
    let number = match &port.target_port {
        None => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.as_ref()?.containers.iter();
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let port = ports.find(|port| port.name.as_ref() == Some(name))?;
            port.container_port
        }
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_named_port_is_looked_up_in_the_pod() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {"containers": [{"name": "a", "ports": [{"name": "http", "containerPort": 9090}]}]},
        }))
        .unwrap();
        for (target, expected) in [
            (json!("http"), Some(9090)),
            (json!(7070), Some(7070)),
            (json!("other"), None),
        ] {
            let service: Service = serde_json::from_value(json!({
                "spec": {"ports": [{"port": 8443}, {"port": 8080, "targetPort": target}]},
            }))
            .unwrap();
            assert_eq!(target_port(&service, &pod), expected);
        }
    }
}
