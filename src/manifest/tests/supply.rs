//! Which Secrets and `ConfigMaps` of the agent's pod a run writes or adds, and which it leaves as they are.

use serde_json::{Value, json};

use super::{Case, DAEMON_SET, edited, messages, value, with_files};
use crate::manifest::Sources;

/// The DaemonSet with each text replaced.
fn daemon_set(edits: &[(&str, &str)]) -> String {
    let edits = edits.iter();
    edits.fold(DAEMON_SET.to_owned(), |text, (from, to)| {
        edited(&text, from, to)
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

const ARGUMENT: &str = "            - /etc/plexd/config.yaml\n";
const PATH: &str = "mountPath: /etc/plexd\n";
const NAME: &str = "            name: plexd-config\n";

/// The DaemonSet with these edits and a ConfigMap with several keys.
fn several_keys(edits: &[(&str, &str)]) -> Sources {
    let data = json!({ "agent.yaml": "theirs", "log.yaml": "theirs" });
    let config_map = config_map("plexd-config", &data);
    with_files([
        ("daemonset.yaml", daemon_set(edits)),
        ("plexd-config-configmap.yaml", config_map),
    ])
}

/// The keys of the ConfigMap `plexd-config` that contain the agent's configuration.
fn replaced_keys(case: &Case) -> Vec<String> {
    let rendered = case.rendered();
    let data = value(&rendered, "ConfigMap", "plexd-config", "/data");
    let data = data.as_object().unwrap().iter();
    let replaced = data.filter(|(_, text)| text.as_str().unwrap().contains("http://mock-api."));
    replaced.map(|(key, _)| key.clone()).collect()
}

#[test]
fn of_several_keys_the_only_one_that_the_agent_reads_is_replaced() {
    let items = format!("{NAME}            items: [{{key: agent.yaml, path: a}}]\n");
    let renamed = format!(
        "{NAME}            items: [{{key: agent.yaml, path: config.yaml}}, {{key: log.yaml, path: log.yaml}}]\n"
    );
    let sub_path = "mountPath: /etc/agent\n              subPath: agent.yaml\n";
    let command =
        "            - x\n          command: [sh, -c, 'exec plexd -c \"/etc/plexd/agent.yaml\"']\n";
    let variable = "          env:\n            - {name: CONFIG, value: /etc/plexd/agent.yaml}\n";
    let argument = "            - --file=/etc/plexd/agent.yaml\n";
    let edits: [&[(&str, &str)]; 7] = [
        &[(NAME, items.as_str())],
        &[(NAME, renamed.as_str())],
        &[(PATH, sub_path)],
        &[(ARGUMENT, argument)],
        &[(ARGUMENT, argument), (PATH, "mountPath: /etc//plexd/\n")],
        &[(ARGUMENT, command)],
        &[("          env:\n", variable)],
    ];
    for edits in edits {
        let case = Case::new(several_keys(edits));
        assert_eq!(replaced_keys(&case), ["agent.yaml"], "{edits:?}");
        assert_eq!(case.rendered().notices(), [""; 0], "{edits:?}");
    }
}

#[test]
fn if_it_is_not_clear_which_of_several_keys_the_agent_reads_none_is_replaced() {
    let items = format!(
        "{NAME}            items: [{{key: agent.yaml, path: a}}, {{key: log.yaml, path: b}}]\n"
    );
    let both = "            - /etc/plexd/agent.yaml\n            - /etc/plexd/log.yaml\n";
    let elsewhere = "            - /etc/agent.yaml\n            - agent.yaml\n            - /etc/plexd/more/agent.yaml\n";
    let edits: [&[(&str, &str)]; 4] = [
        &[],
        &[(NAME, items.as_str())],
        &[(ARGUMENT, both)],
        &[(ARGUMENT, elsewhere)],
    ];
    for edits in edits {
        let case = Case::new(several_keys(edits));
        assert_eq!(replaced_keys(&case), [""; 0], "{edits:?}");
        assert_eq!(
            case.rendered().notices(),
            [
                "the ConfigMap plexd-config has several keys (agent.yaml, log.yaml), and none of them is config.yaml, so the \
                 agent's pods do not get the configuration from the matrix: set `config-key` in `[deploy]` to the key of the \
                 agent's configuration"
            ]
        );
    }
}

#[test]
fn the_user_can_name_the_key_of_the_agents_configuration() {
    let variable = "          env:\n            - {name: CONFIG, valueFrom: {configMapKeyRef: {name: plexd-config, key: log.yaml}}}\n";
    let edits: [&[(&str, &str)]; 3] = [
        &[],
        &[(ARGUMENT, "            - /etc/plexd/agent.yaml\n")],
        &[(MOUNT, ""), (VOLUME, ""), ("          env:\n", variable)],
    ];
    for edits in edits {
        let mut case = Case::new(several_keys(edits));
        case.config_key = Some("log.yaml");
        assert_eq!(replaced_keys(&case), ["log.yaml"], "{edits:?}");
    }
    let mut case = Case::new(several_keys(&[]));
    case.config_key = Some("agent.yml");
    let problems = case.render().err().unwrap();
    assert_eq!(
        messages(&problems),
        [
            "deploy/kubernetes/plexd-config-configmap.yaml, document 1, line 1 (ConfigMap plexd-config), data: has no key \
             `agent.yml`"
        ]
    );
    assert_eq!(
        problems[0].remedy,
        "set `config-key` in `[deploy]` to one of `agent.yaml`, `log.yaml`"
    );
}

#[test]
fn a_missing_config_map_gets_the_key_that_the_agent_reads() {
    let sub_path = "mountPath: /etc/agent\n              subPath: agent.yaml\n";
    let argument = "            - /etc/plexd/plexd.yaml\n";
    for (edit, config_key, expected) in [
        ((PATH, PATH), None, "config.yaml"),
        ((PATH, PATH), Some("plexd.yaml"), "plexd.yaml"),
        ((PATH, sub_path), None, "agent.yaml"),
        ((ARGUMENT, argument), None, "plexd.yaml"),
    ] {
        let mut sources = several_keys(&[edit]);
        let files = &mut sources.manifests.files;
        files.remove("plexd-config-configmap.yaml");
        let mut case = Case::new(sources);
        case.config_key = config_key;
        assert_eq!(replaced_keys(&case), [expected], "{edit:?}");
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
