//! Which Secrets and `ConfigMaps` of the agent's pod a run writes or adds, and which it leaves as they are.

use serde_json::{Value, json};

use super::patches::with_files;
use super::{Case, value};
use crate::manifest::Sources;

const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes/daemonset.yaml");

/// The DaemonSet with each text replaced.
fn daemon_set(edits: &[(&str, &str)]) -> String {
    edits
        .iter()
        .fold(DAEMON_SET.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from:?} is not in the file");
            text.replacen(from, to, 1)
        })
}

const MOUNT: &str = "            - name: config\n              mountPath: /etc/plexd\n              readOnly: true\n";
const VOLUME: &str =
    "        - name: config\n          configMap:\n            name: plexd-config\n";

/// The notices about `sources` that contain `text`.
fn notices(sources: Sources, text: &str) -> Vec<String> {
    let rendered = Case::new(sources).rendered();
    let notices = rendered.notices().iter().cloned();
    notices.filter(|notice| notice.contains(text)).collect()
}

#[test]
fn a_config_map_that_only_sets_variables_is_not_the_agents_configuration() {
    let all = "          envFrom: [{configMapRef: {name: plexd-config}}]\n          env:\n";
    let one = "          env:\n            - {name: LEVEL, valueFrom: {configMapKeyRef: {name: plexd-config, key: LEVEL}}}\n";
    for (variables, data) in [
        (all, json!({ "LEVEL": "debug" })),
        (all, json!({ "LEVEL": "debug", "REGION": "eu" })),
        (one, json!({ "LEVEL": "debug" })),
        (one, json!({ "LEVEL": "debug", "REGION": "eu" })),
    ] {
        let edits = [(MOUNT, ""), (VOLUME, ""), ("          env:\n", variables)];
        let sources = with_files([
            ("daemonset.yaml", daemon_set(&edits)),
            (
                "plexd-config-configmap.yaml",
                config_map("plexd-config", &data),
            ),
        ]);
        let rendered = Case::new(sources.clone()).rendered();
        let found = value(&rendered, "ConfigMap", "plexd-config", "/data");
        assert_eq!(found, &data, "{variables}");
        assert_eq!(
            notices(sources, "ConfigMap"),
            [
                "the agent's pods mount no ConfigMap, so they do not get the configuration from the matrix"
            ]
        );
    }
}

fn config_map(name: &str, data: &Value) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {data}\n")
}

/// Whether each `ConfigMap` that the DaemonSet with these edits uses contains the agent's configuration.
fn is_config<const N: usize>(edits: &[(&str, &str)], names: [&str; N], key: &str) -> [bool; N] {
    let data = json!({ key: "theirs" });
    let texts = names.map(|name| config_map(name, &data)).join("---\n");
    let sources = with_files([
        ("daemonset.yaml", daemon_set(edits)),
        ("plexd-config-configmap.yaml", texts),
    ]);
    let rendered = Case::new(sources).rendered();
    names.map(|name| {
        let data = value(&rendered, "ConfigMap", name, "/data");
        data[key].as_str().unwrap().contains("http://mock-api.")
    })
}

#[test]
fn a_mounted_config_map_is_the_agents_configuration_even_if_another_sets_variables() {
    let variable = "          env:\n            - {name: LEVEL, valueFrom: {configMapKeyRef: {name: settings, key: agent}}}\n";
    let edits = [
        ("name: plexd-config", "name: files"),
        ("          env:\n", variable),
    ];
    assert_eq!(
        is_config(&edits, ["files", "settings"], "agent"),
        [true, false]
    );
}

#[test]
fn a_mounted_config_map_is_the_agents_configuration_even_if_an_optional_one_is_missing() {
    let volumes = "        - {name: config, configMap: {name: files}}\n        - {name: more, configMap: {name: more, optional: true}}\n";
    assert_eq!(is_config(&[(VOLUME, volumes)], ["files"], "agent"), [true]);
}

#[test]
fn of_several_keys_the_only_one_that_the_pod_names_is_replaced() {
    let sources = |items: &str| {
        let volume = format!("        - {{name: config, configMap: {{name: files{items}}}}}\n");
        let data = json!({ "agent.yaml": "theirs", "log.yaml": "theirs" });
        with_files([
            ("daemonset.yaml", daemon_set(&[(VOLUME, volume.as_str())])),
            ("plexd-config-configmap.yaml", config_map("files", &data)),
        ])
    };
    let rendered = Case::new(sources(", items: [{key: agent.yaml, path: a}]")).rendered();
    let data = value(&rendered, "ConfigMap", "files", "/data");
    assert!(data["agent.yaml"].as_str().unwrap().contains("mock-api"));
    assert_eq!(data["log.yaml"], "theirs");
    let all = ", items: [{key: agent.yaml, path: a}, {key: log.yaml, path: b}]";
    for items in ["", all] {
        let rendered = Case::new(sources(items)).rendered();
        let data = value(&rendered, "ConfigMap", "files", "/data");
        assert_eq!(data["agent.yaml"], "theirs");
        assert_eq!(
            rendered.notices(),
            [
                "the ConfigMap files has several keys (agent.yaml, log.yaml), and none of them is config.yaml, so the \
                 agent's pods do not get the configuration from the matrix: rename the key with the agent's configuration \
                 to config.yaml"
            ]
        );
    }
}

#[test]
fn a_variable_contains_the_agents_configuration_if_its_key_has_the_usual_name() {
    let variable = "          env:\n            - {name: CONFIG, valueFrom: {configMapKeyRef: {name: plexd-config, key: config.yaml}}}\n";
    let edits = [(MOUNT, ""), (VOLUME, ""), ("          env:\n", variable)];
    assert_eq!(is_config(&edits, ["plexd-config"], "config.yaml"), [true]);
}

#[test]
fn several_mounted_config_maps_are_named_in_the_notice() {
    let volumes = "        - {name: config, configMap: {name: files}}\n        - {name: more, configMap: {name: more}}\n";
    let data = json!({ "a": "b" });
    let sources = with_files([
        ("daemonset.yaml", daemon_set(&[(VOLUME, volumes)])),
        (
            "plexd-config-configmap.yaml",
            [config_map("files", &data), config_map("more", &data)].join("---\n"),
        ),
    ]);
    assert_eq!(
        notices(sources, "ConfigMap"),
        [
            "the agent's pods mount several ConfigMaps (files, more), so they do not get the configuration from the matrix: \
             rename the one with the agent's configuration to plexd-config"
        ]
    );
}

#[test]
fn a_secret_that_a_controller_creates_is_not_missing_unless_it_is_for_the_token() {
    let volume = "      volumes:\n        - {name: tls, secret: {secretName: tls}}\n";
    for creator in [
        "cert-manager.io/v1\nkind: Certificate\nmetadata: {name: agent}\nspec: {secretName: tls}\n",
        "external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: agent}\nspec: {target: {name: tls}}\n",
        "external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: tls}\n",
        "bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: tls}\n",
        "bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: tls}\n---\n\
         apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: plexd-bootstrap}\n",
    ] {
        let mut sources = with_files([
            (
                "daemonset.yaml",
                daemon_set(&[("      volumes:\n", volume)]),
            ),
            ("creator.yaml", format!("apiVersion: {creator}")),
        ]);
        sources.manifests.files.remove("secret.yaml");
        let rendered = Case::new(sources).rendered();
        let secret = |name| rendered.object("Secret", name);
        assert!(secret("plexd-bootstrap").is_some(), "{creator}");
        assert!(secret("tls").is_none(), "{creator}");
    }
}

#[test]
fn a_hash_that_kustomize_appends_does_not_change_what_an_object_is_for() {
    let secret = include_str!("../../../deploy/kubernetes/secret.yaml");
    let secret = secret.replace("BASE64_ENCODED_TOKEN", "dGhlaXJz");
    let volumes = format!("{VOLUME}        - {{name: more, configMap: {{name: more}}}}\n");
    for (suffix, is_supplied) in [("8mbdf7882g", true), ("production", false)] {
        let name = format!("plexd-bootstrap-{suffix}");
        let config = format!("plexd-config-{suffix}");
        let agent = daemon_set(&[
            (VOLUME, volumes.as_str()),
            ("name: plexd-bootstrap", format!("name: {name}").as_str()),
            ("name: plexd-config", format!("name: {config}").as_str()),
        ]);
        let data = json!({ "config.yaml": "theirs" });
        let config_maps = [config_map(&config, &data), config_map("more", &data)];
        let sources = with_files([
            ("daemonset.yaml", agent),
            ("secret.yaml", secret.replace("plexd-bootstrap", &name)),
            ("plexd-config-configmap.yaml", config_maps.join("---\n")),
        ]);
        let rendered = Case::new(sources).rendered();
        let token = value(&rendered, "Secret", &name, "/data/token");
        assert_eq!(token != "dGhlaXJz", is_supplied);
        let text = value(&rendered, "ConfigMap", &config, "/data/config.yaml");
        assert_eq!(text != "theirs", is_supplied);
    }
}

#[test]
fn an_optional_secret_does_not_get_the_token_unless_it_has_the_usual_name() {
    let volume = "      volumes:\n        - {name: tls, secret: {secretName: tls, optional: true, \
                  items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}}\n";
    let volume = ("      volumes:\n", volume);
    let key = "                  name: plexd-bootstrap\n                  key: token\n";
    let of = |name: &str, more: &str| {
        format!("                  name: {name}\n                  key: token\n{more}")
    };
    let optional = "                  optional: true\n";
    for (reference, added) in [
        (of("plexd-bootstrap", ""), Some("plexd-bootstrap")),
        (of("plexd-bootstrap", optional), Some("plexd-bootstrap")),
        (of("theirs", ""), Some("theirs")),
        (of("theirs", optional), None),
    ] {
        let text = daemon_set(&[volume, (key, reference.as_str())]);
        let mut sources = with_files([("daemonset.yaml", text)]);
        sources.manifests.files.remove("secret.yaml");
        let rendered = Case::new(sources).rendered();
        let mut secrets = rendered.objects().filter(|it| it.kind == "Secret");
        let secret = secrets.next().map(|it| it.name.as_str());
        assert_eq!(secret, added, "{reference}");
        assert!(secrets.next().is_none(), "{reference}");
    }
}
