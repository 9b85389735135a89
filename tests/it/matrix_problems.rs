//! The errors for an invalid matrix file: each problem is shown with its position and a remedy.

use e2e_matrix::matrix::Matrix;
use miette::{GraphicalReportHandler, GraphicalTheme};

/// Compares with the snapshot named after the test.
macro_rules! assert_shown {
    ($shown:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($shown) });
    };
}

/// The output on a terminal with 100 columns and without color.
fn rendered(text: &str) -> String {
    let problems = Matrix::parse("matrix.toml", text).expect_err("the file has problems");
    let mut shown = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut shown, &problems)
        .expect("writing to a string does not fail");
    shown
}

/// The problems in several files, one after another.
fn all_rendered(texts: &[&str]) -> String {
    let rendered: Vec<_> = texts.iter().map(|text| rendered(text)).collect();
    rendered.join("\n================================\n\n")
}

/// The messages of the problems in a file.
fn messages(text: &str) -> Vec<String> {
    let problems = Matrix::parse("matrix.toml", text).expect_err("the file has problems");
    problems.iter().map(ToString::to_string).collect()
}

/// A valid matrix, followed by `rest`.
fn with(rest: &str) -> String {
    format!("[matrix]\nkubernetes = [\"1.30\", \"1.33\"]\nnodes = [1, 3]\n{rest}")
}

#[test]
fn a_file_without_a_matrix() {
    assert_shown!(all_rendered(&[
        "",
        "# only a comment\n",
        "[run]\njobs = 2\n",
        "matrix = 3\n",
        "[matirx]\nkubernetes = [\"1.30\"]\n",
    ]));
}

#[test]
fn syntax_errors() {
    assert_shown!(all_rendered(&[
        "[matrix]\nkubernetes = [\"1.30\"\nnodes = [1]\n",
        "[matrix]\nkubernetes = [\"1.30\"]\nnodes = \n\n[run\njobs = 2\nprefix = 'x",
        "[matrix]\nkubernets = [\"1.30\"]\nnodes = [1]\nnodes = [3]\n",
        "[matrix]\nkubernetes = [\"1.30\"]\n[matrix]\n",
        "[matrix]\nkubernetes = [\"1.30\"]\nconfig = [\"fäst\", “fast”]\n",
    ]));
}

#[test]
fn unknown_keys_at_every_level() {
    assert_shown!(rendered(&with(
        "node = [1]\n\
         [[matrix.exclude]]\nversion = \"1.30\"\nnodes = 1\n\
         [[matrix.include]]\nkubernetes = \"1.30\"\nnodes = 5\nconfig = \"default\"\ntag = [\"soak\"]\n\
         [kubernetes.\"1.30\"]\nimages = \"kindest/node:v1.30.2\"\n\
         [config.default]\nagnet = {}\nenvironment = {}\nexpect = { heartbeat_counts = 1 }\n\
         [images]\nagents = {}\n\
         [images.agent]\ntags = \"x\"\nbuild = { file = \"x\" }\n\
         [deploy]\nmanifest = \"x\"\n\
         [run]\njob = 1\n\
         [phases.readyness]\ntimeout = \"1s\"\n\
         [phases.cluster]\nmock-timeout = \"1s\"\n\
         [phase]\n"
    )));
}

#[test]
fn values_on_the_axes() {
    assert_shown!(rendered(
        "[matrix]\n\
         kubernetes = [1.30, 1, \"1.30.2\", \"v1.33\", \"1.34\", \"1.34\"]\n\
         nodes = [0, -1, 1, 1.5, \"3\", 70000, 1]\n\
         config = [\"default\", \"Fast\", \"n3\", \"k8s-x\", \"and\", 3]\n"
    ));
}

#[test]
fn names_that_cannot_be_axes() {
    assert_shown!(rendered(&with(
        "run = [\"a\"]\nphases = [\"a\"]\nimages = []\ntag = [\"a\"]\nn3 = [\"a\"]\ncloud-provider = [\"a\"]\n\
         Agent = [\"a\"]\nkubernets = [\"1.30\"]\nabcdefghijklmnopqrstu = [\"a\"]\nruntime = \"crun\"\n"
    )));
}

#[test]
fn values_of_further_axes() {
    assert_shown!(all_rendered(&[
        &with(
            "agent = [1.3, 4, \"1.4\", \"1.4\", \"a/b\", \"..\", \"A\", \"and\", \"a_b\", \"-a\", \"\"]\n\
             [agent.\"1.4\"]\n"
        ),
        &with(
            "agent = [\"1.3\", \"1.4\", \"1.5\"]\n[agent.\"1.4\"]\nimages = \"a:1\"\n[agent.\"1.3\"]\n[agent.\"1.6\"]\n"
        ),
        &with("agent = [\"1.4\"]\n[agent.1.4]\nimage = \"plexd:1.4\"\n[agents.\"1.4\"]\n"),
        &with("agent = [\"1.4\"]\nconfig = [\"an-agent\"]\n[config.an-agent]\n[agent.\"1.4\"]\n"),
        &with(
            "agent = [\"1.4\"]\n[agent.\"1.4\"]\nmanifests = \"a\"\nchart = \"b\"\nimage = \"a b\"\nbinary = \"\"\n"
        ),
    ]));
}

#[test]
fn excludes_and_includes_of_further_axes() {
    assert_shown!(rendered(&with(
        "agent = [\"1.3\", \"1.4\"]\n\
         [[matrix.exclude]]\nagent = \"1.5\"\n\
         [[matrix.include]]\nkubernetes = \"1.36\"\nnodes = 1\nconfig = \"default\"\n\
         [agent.\"1.3\"]\n[agent.\"1.4\"]\n"
    )));
}

#[test]
fn ids_that_would_be_too_long() {
    let value = "a".repeat(40);
    let (axes, tables): (String, String) = (1..=5)
        .map(|axis| {
            (
                format!("x{axis} = [\"{value}\"]\n"),
                format!("[x{axis}.{value}]\n"),
            )
        })
        .unzip();
    let text = format!("[matrix]\nkubernetes = [\"1.36\"]\n{axes}{tables}");
    assert_shown!(rendered(&text));
}

#[test]
fn an_axis_that_is_not_an_array() {
    assert_shown!(rendered(
        "[matrix]\nkubernetes = \"1.30\"\nnodes = 3\nconfig = { default = true }\nexclude = {}\n"
    ));
}

#[test]
fn excludes() {
    assert_shown!(all_rendered(&[
        &with(
            "[[matrix.exclude]]\nkubernetes = \"1.31\"\n\
             [[matrix.exclude]]\nnodes = 5\n\
             [[matrix.exclude]]\nconfig = \"fast\"\n\
             [[matrix.exclude]]\nkubernetes = 1.30\n\
             [[matrix.exclude]]\n"
        ),
        &with(
            "[[matrix.exclude]]\nkubernetes = \"1.30\"\n\
             [[matrix.exclude]]\nkubernetes = \"1.30\"\nnodes = 3\n"
        ),
    ]));
}

#[test]
fn includes() {
    assert_shown!(rendered(&with(
        "[[matrix.include]]\nkubernetes = \"1.30\"\nnodes = 1\nconfig = \"default\"\n\
         [[matrix.include]]\nkubernetes = \"1.36\"\nnodes = 5\nconfig = \"default\"\n\
         [[matrix.include]]\nkubernetes = \"1.36\"\nnodes = 5\nconfig = \"default\"\ntags = [\"soak\"]\n\
         [[matrix.include]]\nkubernetes = \"1.36\"\nnodes = 7\nconfig = \"defualt\"\n"
    )));
}

#[test]
fn includes_that_cannot_be_read() {
    assert_shown!(rendered(&with(
        "[[matrix.include]]\nnodes = 1\nallow-failure = \"true\"\n\
         [[matrix.include]]\nkubernetes = 1.36\nnodes = 0\nconfig = \"n1\"\ntags = [\"so ak\", 3, \"\"]\n\
         [[matrix.include]]\nkubernetes = \"1.36\"\nconfig = \"default\"\n"
    )));
}

#[test]
fn tables_for_values_that_no_cell_has() {
    assert_shown!(all_rendered(&[
        &with("[kubernetes.\"1.34\"]\ntags = [\"x\"]\n[config.fast]\n"),
        "[matrix]\nkubernetes = [\"1.30\"]\nconfig = [\"default\", \"fats\"]\n[config.fast]\n",
        &with("[kubernetes.1.30]\nimage = \"x\"\n[kubernetes.\"latest\"]\n[config.Fast]\n"),
    ]));
}

#[test]
fn variants() {
    assert_shown!(rendered(&with(
        "[config.default]\n\
         agent = { since = 2024-01-01, rate = inf, big = 99999999999999999999, list = [nan] }\n\
         env = { RUST_LOG = \"debug\", \"9LIVES\" = \"x\", \"A B\" = \"x\", COUNT = 3, NUL = \"\\u0000\" }\n\
         kind = { apiVersion = \"x\", nodes = [], name = \"x\", image = \"x\", featureGate = {} }\n\
         allow-failure = 1\n\
         [config.default.expect]\n\
         heartbeat_count = -1\n\
         audit_count = \"3\"\n\
         logs_count = { exactly = 1.5 }\n\
         state_count = { exact = 1 }\n\
         drift_count = { exactly = 1, atleast = 1 }\n\
         metrics_count = 99999999\n\
         wakeups = 1\n"
    )));
}

#[test]
fn images_and_deploy() {
    assert_shown!(rendered(&with(
        "[kubernetes.\"1.30\"]\nimage = \"kindest/node v1.30\"\n\
         [images.agent]\nimage = \"x:1\"\nbuild = { context = \"\", args = { A = 1 } }\n\
         [images.mock]\nbinary = \"target/mock\"\n\
         [deploy]\nmanifests = 3\nvalues = [\"values.yaml\"]\nmock = \"\"\nprobes = \"false\"\n"
    )));
}

#[test]
fn run_settings() {
    assert_shown!(all_rendered(&[
        &with(
            "[run]\nprovider = \"knd\"\njobs = 0\nports = \"18999-18080\"\ncluster-prefix = \"E2E_\"\n\
             fast-setup = \"yes\"\nretries = 200\nretry-on = [\"configuration\", \"infra\"]\n"
        ),
        &with(
            "[run]\nprovider = \"existing\"\njobs = -1\nports = \"18080-99999\"\n\
             cluster-prefix = \"a-prefix-that-is-too-long\"\nretries = -1\n\
             retry-backoff = 3\nflaky-result = \"maybe\"\n"
        ),
        &with("[run]\nprovider = \"podman\"\njobs = \"4\"\nports = 18080\n"),
        &with("[run]\njobs = 4\nports = \"18080-18082\"\n"),
        &with("[run]\nports = \"80-90\"\n"),
        &with("[run]\nretries = \"two\"\n[existing]\ncontext = [\"staging\"]\n"),
    ]));
}

#[test]
fn phases() {
    assert_shown!(rendered(&with(
        "[phases.smoke]\n\
         [phases.cluster]\ntimeout = 180\nretries = 1\n\
         [phases.preflight]\nretries = 1\n\
         [phases.images]\ntimeout = \"0s\"\nretries = \"2\"\n\
         [phases.readiness]\ntimeout = \"2 fortnights\"\nmock-timeout = \"25h\"\n\
         [phases.restart]\nagents = \"al\"\nrun = \"no\"\n\
         [phases.manifests]\nrun = false\n\
         [phases]\ncleanup = \"60s\"\n"
    )));
}

#[test]
fn checks() {
    assert_shown!(all_rendered(&[
        &with(
            "[[checks]]\nendpoint = \"heartbaet\"\npointer = \"timestamp\"\ntypo = 1\n\
         [[checks]]\nendpoint = \"state\"\npointer = \"/a~2\"\npresent = true\ntype = \"string\"\n\
         [[checks]]\nname = \"\"\nendpoint = \"drift\"\npointer = \"\"\nmatches = \"(\"\n\
         [[checks]]\nendpoint = \"drift\"\npointer = \"/a\"\ntype = \"strnig\"\n\
         [[checks]]\nendpoint = \"drift\"\npointer = \"/a\"\npresent = false\n\
         [[checks]]\nendpoint = \"drift\"\npointer = \"/a\"\nequals = { b = [{ from-env = \"TOKEN\" }], c = 1979-05-27 }\n\
         [[checks]]\nendpoint = \"drift\"\npointer = \"/a\"\npresent = true\n\
         [[checks]]\nname = \"drift/a\"\nendpoint = \"drift\"\npointer = \"\"\npresent = true\n\
         [[checks]]\n"
        ),
        &with("[checks]\nendpoint = \"drift\"\n")
    ]));
}

#[test]
fn commands() {
    assert_shown!(rendered(&with(
        "[[commands]]\nafter = \"cleanup\"\nrun = [\"./a\"]\ntimeout = \"25h\"\n\
         [[commands]]\nafter = \"periodc\"\nrun = []\ntypo = 1\n\
         [[commands]]\nafter = \"restart\"\nrun = \"./a b\"\n\
         [[commands]]\nafter = \"restart\"\nrun = [\"./a b\", 3]\n\
         [[commands]]\nname = \"restart\"\nafter = \"restart\"\nrun = [\"a\", \"\\u0000\"]\n\
         [[commands]]\nname = \"a/b\"\nafter = \"restart\"\nrun = [\"a\"]\n\
         [[commands]]\nafter = \"restart\"\nrun = [\"x/same\"]\n\
         [[commands]]\nname = \"same\"\nafter = \"restart\"\nrun = [\"a\"]\n\
         [[commands]]\n"
    )));
}

#[test]
fn too_many_cells() {
    let numbers: Vec<String> = (1..=1000).map(|number| number.to_string()).collect();
    let versions: Vec<String> = (1..=200).map(|minor| format!("\"1.{minor}\"")).collect();
    let text = format!(
        "[matrix]\nnodes = [\n{}]\nkubernetes = [\n{}]\n",
        numbers.join(",\n"),
        versions.join(",\n")
    );
    assert_shown!(rendered(&text));
}

#[test]
fn excludes_are_not_checked_if_a_value_of_an_axis_cannot_be_read() {
    for axes in [
        "kubernetes = [\"x\"]\nnodes = [1]\n[[matrix.exclude]]\nnodes = 1\n",
        "kubernetes = [\"1.36\"]\nnodes = [\"x\"]\n[[matrix.exclude]]\nkubernetes = \"1.36\"\n",
    ] {
        let messages = messages(&format!("[matrix]\n{axes}"));
        assert_eq!(messages.len(), 1, "{messages:?}");
    }
}

#[test]
fn what_could_not_be_read_causes_no_further_problems() {
    let include = "[[matrix.include]]\nkubernetes = \"1.30\"\nnodes = 1\nconfig = \"default\"\n";
    for (rest, problem) in [
        // These tags would change the cell.
        (
            format!("{include}tags = [\"so ak\"]\n"),
            "`so ak` can't be a tag",
        ),
        // This exclude would remove the cell that the include adds.
        (
            format!("[[matrix.exclude]]\nkubernetes = 1.30\n{include}"),
            "a version needs quotes: `1.30` is the number 1.3",
        ),
        // The includes might contain the version.
        (
            "include = {}\n[kubernetes.\"1.36\"]\n".to_owned(),
            "`matrix.include` must be an array of tables",
        ),
        // This mock might have the counter.
        (
            "[images.mock]\nimage = 3\n[config.default]\nexpect = { wakeups = 1 }\n".to_owned(),
            "`image` must be a string",
        ),
    ] {
        assert_eq!(messages(&with(&rest)), [problem], "{rest}");
    }
}

#[test]
fn ports_with_leading_zeros_are_also_too_few_for_more_jobs() {
    let text = with("[run]\njobs = 4\nports = \"018080-018082\"\n");
    assert_eq!(messages(&text), ["3 ports are too few for 4 jobs"]);
}

#[test]
fn only_a_number_after_the_dot_is_read_as_the_end_of_a_value() {
    for (header, message) in [
        (
            "[agent.\"1.4\"]\n\"\" = 1\n",
            "unknown key `` in `[agent.\"1.4\"]`",
        ),
        (
            "[agent.\"1.4\"]\nx = 1\n",
            "unknown key `x` in `[agent.\"1.4\"]`",
        ),
        ("[agent.1.4]\n", "`1.4` is read as two keys"),
    ] {
        let text = with(&format!("agent = [\"1.4\"]\n{header}"));
        assert_eq!(messages(&text), [message], "{header}");
    }
}
