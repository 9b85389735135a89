//! Checks a pod's specification: images, volumes and mounts, probes and ports, and all references.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::reference::{self, POD, containers};
use super::{Findings, quantity};

pub(super) fn check(findings: &mut Findings<'_>, spec: &PodSpec) {
    for (field, container) in containers(spec) {
        image(findings, &field, container);
        pull_policy(findings, &field, container);
        mounts(findings, &field, container, spec);
        ports(findings, &field, container);
        variables(findings, &field, container);
        if let Some(resources) = &container.resources {
            quantity::resources(findings, &format!("{field}.resources"), resources);
        }
        probes(findings, &field, container);
        let volumes = spec.volumes.as_deref().unwrap_or_default();
        reference::of_mounts(findings, &field, container, volumes);
    }
    names(findings, spec);
    grace(findings, spec);
    volumes(findings, spec);
    quantity::all(findings, &format!("{POD}.overhead"), spec.overhead.as_ref());
    reference::of_pod(findings, spec);
}

/// No two containers of a pod may have the same name, even if one is an init container.
fn names(findings: &mut Findings<'_>, spec: &PodSpec) {
    let mut seen = BTreeSet::new();
    for (field, container) in containers(spec) {
        if !seen.insert(container.name.as_str()) {
            let message = format!("two containers are called `{}`", container.name);
            findings.add(&format!("{field}.name"), message, "rename one of the two");
        }
    }
}

fn volumes(findings: &mut Findings<'_>, spec: &PodSpec) {
    let mut seen = BTreeSet::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let field = format!("{POD}.volumes[{index}]");
        if !seen.insert(volume.name.as_str()) {
            let message = format!("the volume `{}` is declared twice", volume.name);
            findings.add(&format!("{field}.name"), message, "keep one of the two");
        }
        let limit = volume.empty_dir.as_ref();
        if let Some(limit) = limit.and_then(|folder| folder.size_limit.as_ref()) {
            quantity::one(findings, &format!("{field}.emptyDir.sizeLimit"), limit);
        }
    }
}

fn ports(findings: &mut Findings<'_>, field: &str, container: &Container) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let field = format!("{field}.ports[{index}]");
        if let Some(name) = &port.name
            && !names.insert(name)
        {
            let message = format!("two ports are called `{name}`");
            findings.add(&format!("{field}.name"), message, "rename one of the two");
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if !numbers.insert((port.container_port, protocol)) {
            let message = format!("port {}/{protocol} is declared twice", port.container_port);
            let field = format!("{field}.containerPort");
            findings.add(&field, message, "keep one of the two");
        }
    }
}

fn variables(findings: &mut Findings<'_>, field: &str, container: &Container) {
    let mut names = BTreeSet::new();
    for (index, variable) in container.env.iter().flatten().enumerate() {
        if !names.insert(variable.name.as_str()) {
            let message = format!("the variable `{}` is declared twice", variable.name);
            let field = format!("{field}.env[{index}].name");
            findings.add(&field, message, "keep one of the two");
        }
    }
}

/// Checks the syntax of an image name. Only registries know whether the image exists.
fn image(findings: &mut Findings<'_>, field: &str, container: &Container) {
    let image = container.image.as_deref().unwrap_or_default();
    let (path, _) = image.split_once('@').unwrap_or((image, ""));
    let repository = path.rsplit_once('/').map_or(path, |(_, last)| last);
    let (repository, _) = repository.split_once(':').unwrap_or((repository, ""));
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if repository.is_empty()
        || !repository.chars().all(is_name)
        || image.contains(char::is_whitespace)
    {
        let message = format!("`{image}` is not a valid image name");
        findings.add(&format!("{field}.image"), message, "correct the image name");
    }
}

fn pull_policy(findings: &mut Findings<'_>, field: &str, container: &Container) {
    const POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
    let policy = container.image_pull_policy.as_deref().unwrap_or_default();
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        let message = format!("`{policy}` is not a pull policy");
        let remedy = format!("set it to one of {}", POLICIES.join(", "));
        findings.add(&format!("{field}.imagePullPolicy"), message, remedy);
    }
}

fn grace(findings: &mut Findings<'_>, spec: &PodSpec) {
    let grace = spec.termination_grace_period_seconds;
    if grace.is_some_and(|seconds| seconds < 0) {
        let field = format!("{POD}.terminationGracePeriodSeconds");
        findings.add(&field, "is negative", "set it to 0 or more seconds");
    }
}

fn mounts(findings: &mut Findings<'_>, field: &str, container: &Container, spec: &PodSpec) {
    let has_volume = |name: &str| spec.volumes.iter().flatten().any(|it| it.name == name);
    let mut paths = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let field = format!("{field}.volumeMounts[{index}]");
        if !has_volume(&mount.name) {
            let message = format!("mounts `{}`, which is not a volume of the pod", mount.name);
            let remedy = format!("add the volume to {POD}.volumes");
            findings.add(&format!("{field}.name"), message, remedy);
        }
        if !paths.insert(mount.mount_path.as_str()) {
            let message = format!("`{}` is mounted twice", mount.mount_path);
            let field = format!("{field}.mountPath");
            findings.add(&field, message, "keep one of the two");
        }
    }
}

fn probes(findings: &mut Findings<'_>, field: &str, container: &Container) {
    let probes = [
        ("startupProbe", &container.startup_probe),
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
    ];
    for (name, probe) in probes {
        let Some(IntOrString::String(port)) = probe.as_ref().and_then(port_of) else {
            continue;
        };
        let mut ports = container.ports.iter().flatten();
        if !ports.any(|declared| declared.name.as_ref() == Some(port)) {
            let message = format!("probes port `{port}`, which the container does not have");
            let field = format!("{field}.{name}");
            findings.add(&field, message, "use one of the container's ports");
        }
    }
}

fn port_of(probe: &Probe) -> Option<&IntOrString> {
    let http = probe.http_get.as_ref().map(|action| &action.port);
    http.or_else(|| probe.tcp_socket.as_ref().map(|action| &action.port))
}
