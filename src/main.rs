//! The `e2e-matrix` binary: everything it does is in the library.

fn main() {}
