//! What people read when a matrix file is wrong: every problem, with its place and a way out.

use e2e_matrix::matrix::Matrix;
use miette::{GraphicalReportHandler, GraphicalTheme};

/// What a terminal of 100 columns without colour shows.
fn rendered(text: &str) -> String {
    let problems = Matrix::parse("matrix.toml", text).unwrap_err();
    let mut shown = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .render_report(&mut shown, &problems)
        .unwrap();
    shown
}

#[test]
fn look() {
    for text in [
        "",
        "# nothing\n",
        "[matrix]\nkubernetes = [1.30, \"1.33\" \nnodes=[1",
        "[matrix]\nkubernetes = [1.30, \"1.33\",\"1.33\"]\nnodes=[0,-1,1]\nconfg=3\n[kubernetes.1.33]\nimage=3\n[run]\njobs=0\nports=\"90-80\"\n[config.n3]\n[config.fast.expect]\nheart_beat_count=\"x\"\naudit_count={exactly=-1}",
    ] {
        println!("{}", rendered(text));
    }
}
