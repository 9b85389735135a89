//! Measures how long it takes to read, expand and filter a matrix of 100,000 cells, which happens at every start, and
//! to list the cells of the shipped matrix as tests, which nextest does twice per run.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use criterion::{Criterion, criterion_group};
use e2e_matrix::matrix::{Filter, Matrix, select};

/// 100 versions × 50 node counts × 20 configs, with excludes, includes, tags and settings of the agent.
fn file() -> String {
    let versions: Vec<_> = (0..100).map(|minor| format!("1.{minor}")).collect();
    let nodes: Vec<_> = (1..=50).collect();
    let configs: Vec<_> = (0..20).map(|config| format!("config-{config}")).collect();
    let axes =
        format!("[matrix]\nkubernetes = {versions:?}\nnodes = {nodes:?}\nconfig = {configs:?}\n");
    let exceptions = versions.iter().take(10).map(|version| {
        format!(
            "[[matrix.exclude]]\nkubernetes = {version:?}\nnodes = 1\nconfig = \"config-0\"\n\
             [[matrix.include]]\nkubernetes = {version:?}\nnodes = 100\nconfig = \"config-0\"\ntags = [\"soak\"]\n"
        )
    });
    let variants = configs.iter().map(|config| {
        format!("[config.{config}]\ntags = [\"{config}\"]\nagent = {{ a = {{ b = 1 }} }}\n")
    });
    std::iter::once(axes)
        .chain(exceptions)
        .chain(variants)
        .collect()
}

fn expansion(criterion: &mut Criterion) {
    let text = file();
    let filters = [
        "k8s >= 1.20 and (n3 or nodes > 10) and not config-3",
        "tag = soak",
        "k8s-1.4?-n1?-*",
    ];
    let parse = || Matrix::parse("matrix.toml", &text).expect("the file has no problems");
    assert_eq!(parse().cells.len(), 100_000);

    criterion.bench_function("read and expand 100,000 cells", |bencher| {
        bencher.iter(|| black_box(parse()));
    });
    let matrix = parse();
    criterion.bench_function("filter 100,000 cells", |bencher| {
        bencher.iter(|| {
            let filters = filters.map(|text| Filter::parse(text).expect("the filter is valid"));
            black_box(
                select(&matrix, &filters)
                    .expect("every name is known")
                    .len(),
            )
        });
    });
}

/// If this variable is set, the process acts as the test binary of the cells.
const AS_CELLS: &str = "BENCH_AS_CELLS";

fn listing(criterion: &mut Criterion) {
    let binary = std::env::current_exe().expect("the benchmark has a path");
    criterion.bench_function("list the cells as tests", |bencher| {
        bencher.iter(|| {
            let listed = Command::new(&binary)
                .args(["--list", "--format", "terse"])
                .env(AS_CELLS, "")
                .output()
                .expect("the benchmark can start itself");
            assert!(listed.status.success(), "{listed:?}");
        });
    });
}

criterion_group!(benches, expansion, listing);

fn main() -> ExitCode {
    if std::env::var_os(AS_CELLS).is_some() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        return e2e_matrix::cli::harness(root, Path::new(env!("CARGO_BIN_EXE_e2e-matrix")));
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    ExitCode::SUCCESS
}
