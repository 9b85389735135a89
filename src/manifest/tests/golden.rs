//! The built-in manifests, rendered: complete, in order, without a token and without a misspelled field.

use super::super::strict::unknown_fields;
use super::super::{Object, Rank};
use super::{Case, TOKEN, value, with_file};

#[test]
fn the_rendered_objects_match_the_snapshot() {
    let files = super::files(&Case::builtin().rendered());
    let text: Vec<String> = files
        .iter()
        .map(|(name, yaml)| format!("# {name}\n{yaml}"))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn objects_come_in_the_documented_order() {
    let rendered = Case::builtin().rendered();
    let order: Vec<String> = rendered
        .steps()
        .iter()
        .flat_map(|(rank, objects)| {
            let titles = objects.iter().map(Object::title);
            titles.map(move |title| format!("{rank}: {title}"))
        })
        .collect();
    assert_eq!(
        order,
        [
            "namespaces: Namespace plexd-e2e",
            "CRDs: CustomResourceDefinition plexdhooks.plexd.plexsphere.com",
            "CRDs: CustomResourceDefinition plexdnodestates.plexd.plexsphere.com",
            "service accounts: ServiceAccount plexd",
            "RBAC: ClusterRole plexd",
            "RBAC: ClusterRoleBinding plexd",
            "RBAC: Role plexd",
            "RBAC: RoleBinding plexd",
            "Secrets: Secret plexd-bootstrap",
            "ConfigMaps: ConfigMap plexd-config",
            "Services: Service mock-api",
            "other objects: Deployment mock-api",
            "agent: DaemonSet plexd",
        ]
    );
    assert_eq!(rendered.steps().len(), Rank::ALL.len());
    assert_eq!(rendered.notices(), [""; 0]);
}

#[test]
fn the_same_inputs_give_the_same_texts() {
    let case = Case::builtin();
    assert_eq!(
        super::files(&case.rendered()),
        super::files(&case.rendered())
    );
}

#[test]
fn no_built_in_field_is_misspelled() {
    for object in Case::builtin().rendered().objects() {
        assert_eq!(unknown_fields(object), [], "{}", object.title());
    }
}

#[test]
fn tokens_are_masked_everywhere() {
    let mut case = Case::builtin();
    case.env = [
        ("VENDOR_PASSWORD".to_owned(), "correct-horse".to_owned()),
        ("GREETING".to_owned(), format!("hello {TOKEN}")),
    ]
    .into();
    let rendered = case.rendered();
    let files = super::files(&rendered);
    let text: String = files.into_iter().map(|(_, yaml)| yaml).collect();
    assert!(!text.contains(TOKEN));
    assert!(!text.contains("correct-horse"));
    assert!(!text.contains("YS10b2tlbi1vZi10aGUtdGVzdHM="));
    assert!(text.contains("hello ***"));
    for object in rendered.objects() {
        assert!(!format!("{object:?}").contains("YS10b2tlbi1vZi10aGUtdGVzdHM="));
    }
}

#[test]
fn variables_with_secret_names_are_masked_wherever_their_values_are() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: variables}\n\
                data: {DB_PASSWORD: correct-horse, keys.conf: \"one: public\\ntwo: public\", LEVEL: debugging}\n---\n\
                apiVersion: example.com/v1\nkind: Tool\nmetadata: {name: tool}\n\
                spec: {env: [{name: API_TOKEN, value: 48151623}, {name: PIN_TOKEN, value: zq7}]}\n";
    let rendered = Case::new(with_file("more.yaml", text)).rendered();
    let files = super::files(&rendered);
    let text: String = files.into_iter().map(|(_, yaml)| yaml).collect();
    for secret in ["correct-horse", "48151623", "zq7"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(text.contains("one: public") && text.contains("debugging"));
}

#[test]
fn line_breaks_in_base64_are_ignored() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\n\
                data:\n  pass: |\n    Y29ycmVj\n    dC1ob3JzZQ==\n";
    let rendered = Case::new(with_file("other.yaml", text)).rendered();
    let pass = value(&rendered, "Secret", "other", "/data/pass");
    assert_eq!(pass, "Y29ycmVjdC1ob3JzZQ==");
    let mask = crate::secret::Mask::new(rendered.secrets());
    assert_eq!(mask.apply("a correct-horse"), "a ***");
}
