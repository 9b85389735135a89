//! The agent's configuration: the built-in base or the user's file, and placeholders for values of the run.

use serde_json::{Value, json};

use super::{Case, TOKEN, messages, value};
use crate::manifest::Sources;

fn with_config(text: &str) -> Case {
    Case::new(Sources {
        agent_config: ("plexd.yaml".to_owned(), text.to_owned()),
        ..Sources::builtin()
    })
}

#[test]
fn a_file_replaces_the_base_and_variants_are_merged_over_it() {
    let case = with_config("api: {baseurl: '${e2e.mock-url}/v1', retries: 3}\nname: agent\n")
        .with_config(json!({ "api": { "retries": 5 } }));
    let rendered = case.rendered();
    assert_eq!(
        rendered.agent_config(),
        &json!({
            "api": { "baseurl": "http://mock-api.plexd-e2e:8080/v1", "retries": 5 },
            "name": "agent",
        })
    );
    let text = value(&rendered, "ConfigMap", "plexd-config", "/data/config.yaml");
    let text: Value = serde_saphyr::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(&text, rendered.agent_config());
}

#[test]
fn a_number_that_begins_with_zero_is_octal() {
    let rendered = with_config("mode: 0640\n").rendered();
    assert_eq!(rendered.agent_config(), &json!({ "mode": 0o640 }));
}

#[test]
fn placeholders_are_replaced_in_files_variants_and_variables() {
    let mut case = with_config("list: ['${e2e.local-endpoint-url}/x', {count: '${e2e.nodes}'}]\n")
        .with_config(json!({ "space": "in ${e2e.namespace}, ${HOME}, ${e2e.nodes} nodes" }));
    case.env = [(
        "JOIN".to_owned(),
        "${e2e.bootstrap-token}@${e2e.mock-url}".to_owned(),
    )]
    .into();
    let rendered = case.rendered();
    assert_eq!(
        rendered.agent_config(),
        &json!({
            "list": ["https://mock-api.plexd-e2e:8443/x", { "count": 1 }],
            "space": "in plexd-e2e, ${HOME}, 1 nodes",
        })
    );
    let env = value(
        &rendered,
        "DaemonSet",
        "plexd",
        "/spec/template/spec/containers/0/env/2",
    );
    let joined = format!("{TOKEN}@http://mock-api.plexd-e2e:8080");
    assert_eq!(env, &json!({ "name": "JOIN", "value": joined }));
}

#[test]
fn unknown_placeholders_and_invalid_configurations_are_reported_at_their_place() {
    let mut case = with_config("api: {urls: ['${e2e.mock_url}/v1']}\n")
        .with_config(json!({ "api": { "name": "${e2e.node" } }));
    case.env = [("JOIN".to_owned(), "${e2e.}".to_owned())].into();
    let problems = case.render().err().unwrap();
    let mut lines = messages(&problems);
    lines.push(problems[0].remedy.clone());
    for text in ["- a\n", "a: [\n", ""] {
        lines.extend(messages(&with_config(text).render().err().unwrap()));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_url_with_a_variable_in_its_host_refers_to_no_service() {
    for url in [
        "http://${NODE_IP}:9100",
        "http://$(NODE_IP):9100/metrics",
        "http://mock-api.$NAMESPACE:8080",
    ] {
        Case::builtin()
            .with_config(json!({ "url": url }))
            .rendered();
    }
}
