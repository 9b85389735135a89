//! The references of pods and Services, tested with a Deployment in addition to the agent.

use super::{Case, problems, with_file};

/// A Secret and a ConfigMap.
const EXISTING: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: there}\ndata: {a: YQ==}\nstringData: {b: c}\n\
    ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\ndata: {a: b}\nbinaryData: {b: YQ==}\n";

/// Each form of reference: its field, the kind of the object, and a pod with it.
const FORMS: [(&str, &str, &str); 9] = [
    (
        "initContainers[0].env[0].valueFrom.secretKeyRef",
        "Secret",
        "{initContainers: [{name: init, image: 'a:1', env: [{name: A, valueFrom: {secretKeyRef: {name: NAME, key: KEY, optional: OPTIONAL}}}]}], containers: []}",
    ),
    (
        "containers[0].env[0].valueFrom.secretKeyRef",
        "Secret",
        "{containers: [{name: main, image: 'a:1', env: [{name: A, valueFrom: {secretKeyRef: {name: NAME, key: KEY, optional: OPTIONAL}}}]}]}",
    ),
    (
        "containers[0].env[0].valueFrom.configMapKeyRef",
        "ConfigMap",
        "{containers: [{name: main, image: 'a:1', env: [{name: A, valueFrom: {configMapKeyRef: {name: NAME, key: KEY, optional: OPTIONAL}}}]}]}",
    ),
    (
        "containers[0].envFrom[0].secretRef",
        "Secret",
        "{containers: [{name: main, image: 'a:1', envFrom: [{secretRef: {name: NAME, optional: OPTIONAL}}]}]}",
    ),
    (
        "containers[0].envFrom[0].configMapRef",
        "ConfigMap",
        "{containers: [{name: main, image: 'a:1', envFrom: [{configMapRef: {name: NAME, optional: OPTIONAL}}]}]}",
    ),
    (
        "volumes[0].secret",
        "Secret",
        "{containers: [], volumes: [{name: v, secret: {secretName: NAME, items: [{key: KEY, path: p}], optional: OPTIONAL}}]}",
    ),
    (
        "volumes[0].configMap",
        "ConfigMap",
        "{containers: [], volumes: [{name: v, configMap: {name: NAME, items: [{key: KEY, path: p}], optional: OPTIONAL}}]}",
    ),
    (
        "volumes[0].projected.sources[0].secret",
        "Secret",
        "{containers: [], volumes: [{name: v, projected: {sources: [{secret: {name: NAME, items: [{key: KEY, path: p}], optional: OPTIONAL}}]}}]}",
    ),
    (
        "volumes[0].projected.sources[0].configMap",
        "ConfigMap",
        "{containers: [], volumes: [{name: v, projected: {sources: [{configMap: {name: NAME, items: [{key: KEY, path: p}], optional: OPTIONAL}}]}}]}",
    ),
];

/// The manifests with a Deployment of this pod, and the objects in `EXISTING`.
fn extra(pod: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: tool}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: tool}}}}\n  template:\n    metadata: {{labels: {{app: tool}}}}\n    \
         spec: {pod}\n---\n{EXISTING}"
    )
}

/// The problems in the Deployment. Each starts with its field in the pod.
fn problems_of(pod: &str) -> Vec<String> {
    let place =
        "deploy/kubernetes/extra.yaml, document 1, line 1 (Deployment tool), spec.template.spec.";
    let found = problems(with_file("extra.yaml", extra(pod))).into_iter();
    found.map(|problem| problem.replace(place, "")).collect()
}

#[test]
fn an_object_and_its_key_must_exist_unless_the_reference_is_optional() {
    for (field, kind, pod) in FORMS {
        let found = |name: &str, key: &str, optional: &str| {
            let pod = pod.replace("NAME", name).replace("KEY", key);
            problems_of(&pod.replace("OPTIONAL", optional))
        };
        assert_eq!(found("there", "a", "false"), [""; 0], "{field}");
        assert_eq!(found("there", "b", "false"), [""; 0], "{field}");
        assert_eq!(found("missing", "a", "true"), [""; 0], "{field}");
        let missing =
            format!("{field}: refers to the {kind} `missing`, which the manifests don't define");
        assert_eq!(found("missing", "a", "false"), [missing]);
        if pod.contains("KEY") {
            let missing = format!("{field}: the {kind} `there` has no key `z`");
            assert_eq!(found("there", "z", "false"), [missing]);
        }
    }
    let certificates =
        "{containers: [], volumes: [{name: v, configMap: {name: kube-root-ca.crt}}]}";
    assert_eq!(problems_of(certificates), [""; 0]);
}

#[test]
fn a_missing_object_is_reported_with_the_names_that_exist() {
    let pod = "{containers: [], volumes: [{name: v, secret: {secretName: their}}]}";
    let found = Case::new(with_file("extra.yaml", extra(pod))).render();
    assert_eq!(
        found.err().unwrap()[0].remedy,
        "use one that the manifests define (there, plexd-bootstrap), or mark the reference as optional"
    );
}

#[test]
fn a_sub_path_must_be_a_file_or_folder_of_its_volume() {
    let found = |volume: &str, sub_path: &str| {
        problems_of(&format!(
            "{{containers: [{{name: main, image: 'a:1', volumeMounts: [{{name: v, mountPath: /x, subPath: {sub_path}}}]}}], \
             volumes: [{{name: other, emptyDir: {{}}}}, {{name: v, {volume}}}]}}"
        ))
    };
    let items = "configMap: {name: there, items: [{key: a, path: etc/a.yaml}]}";
    for (volume, sub_path) in [
        ("configMap: {name: there}", "a"),
        ("configMap: {name: there, items: []}", "b"),
        ("secret: {secretName: there}", "b"),
        (items, "etc"),
        (items, "etc/a.yaml"),
        ("emptyDir: {}", "z"),
    ] {
        assert_eq!(found(volume, sub_path), [""; 0], "{volume}");
    }
    for (volume, sub_path) in [
        ("configMap: {name: there}", "z"),
        ("secret: {secretName: there}", "z"),
        (items, "a"),
    ] {
        let missing = format!("the volume `v` has no file `{sub_path}`");
        let field = "containers[0].volumeMounts[0].subPath";
        assert_eq!(found(volume, sub_path), [format!("{field}: {missing}")]);
    }
}

#[test]
fn an_image_needs_a_repository_in_lower_case_and_no_whitespace() {
    let found = |image: &str| {
        problems_of(&format!(
            "{{containers: [{{name: main, image: '{image}'}}]}}"
        ))
    };
    for image in [
        "a",
        "a:1",
        "registry.example:5000/Team/k8s_a-b.c:V1",
        "a@sha256:0123",
    ] {
        assert_eq!(found(image), [""; 0], "{image}");
    }
    for image in ["", ":1", "team/", "A", "a$", "a b", "a:1 2"] {
        let message = format!("containers[0].image: `{image}` is not a valid image name");
        assert_eq!(found(image), [message]);
    }
}

#[test]
fn a_pod_may_have_no_grace_period() {
    assert_eq!(
        problems_of("{containers: [], terminationGracePeriodSeconds: 0}"),
        [""; 0]
    );
}

#[test]
fn a_service_targets_a_declared_port_or_any_number_if_none_is_declared() {
    let found = |declared: &str, ports: &str| {
        let pod = format!("{{containers: [{{name: main, image: 'a:1', ports: {declared}}}]}}");
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: tool}}\nspec: {{selector: {{app: tool}}, ports: {ports}}}\n"
        );
        let text = format!("{}---\n{service}", extra(&pod));
        let place = "deploy/kubernetes/extra.yaml, document 4, line 23 (Service tool), spec.";
        let found = problems(with_file("extra.yaml", text)).into_iter();
        found
            .map(|problem| problem.replace(place, ""))
            .collect::<Vec<_>>()
    };
    let declared = "[{name: web, containerPort: 80}]";
    for (declared, ports) in [
        (declared, "[{port: 1, targetPort: web}]"),
        (declared, "[{port: 1, targetPort: 80}]"),
        (declared, "[{port: 80}]"),
        // A container can serve a port that it doesn't declare.
        (declared, "[{port: 1, targetPort: 81}]"),
        (declared, "[{port: 1}]"),
        ("[]", "[{port: 1}]"),
    ] {
        assert_eq!(found(declared, ports), [""; 0], "{ports}");
    }
    for (declared, ports) in [
        (declared, "[{port: 1, targetPort: api}]"),
        ("[]", "[{port: 1, targetPort: web}]"),
    ] {
        assert_eq!(
            found(declared, ports),
            ["ports[0].targetPort: port 1 targets no port of the selected pods"]
        );
    }
    assert_eq!(
        found(declared, "[{port: 80}, {port: 80, protocol: UDP}]"),
        ["ports[1].name: two ports have no name"]
    );
}
