//! The two routers of the mock, and what every endpoint and every path in them has in common.

use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use crate::endpoint::Endpoint;
use crate::state::Shared;
use crate::testing::Interface;
use crate::{central, faults, local, problem, testing};

/// What plain HTTP serves: the Central API and the test interface.
pub(crate) fn plain(app: &Shared, interface: Interface) -> Router {
    finish(central::router(app).merge(testing::router(interface)), app)
}

/// What TLS serves: the local endpoint.
pub(crate) fn tls(app: &Shared) -> Router {
    finish(local::router(app), app)
}

/// An endpoint: its handler finds out which one it is, and meets the faults in force.
pub(crate) fn endpoint(
    app: &Shared,
    endpoint: Endpoint,
    method: MethodRouter<Shared>,
) -> MethodRouter<Shared> {
    let faults = from_fn_with_state(app.clone(), faults::meet);
    method.route_layer(faults).route_layer(Extension(endpoint))
}

fn finish(router: Router<Shared>, app: &Shared) -> Router {
    router
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn(problem::dress))
        .with_state(app.clone())
}
