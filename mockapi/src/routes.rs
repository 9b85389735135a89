//! The two routers of the mock, and the common parts of their endpoints and paths.

use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;
use axum::{Extension, Router};

use crate::endpoint::Endpoint;
use crate::state::Shared;
use crate::testing::Interface;
use crate::{central, faults, local, problem, testing};

/// The router for plain HTTP: the Central API and the test interface.
pub(crate) fn plain(app: &Shared, interface: Interface) -> Router {
    finish(central::router(app).merge(testing::router(interface)), app)
}

/// The router for TLS: the local endpoint.
pub(crate) fn tls(app: &Shared) -> Router {
    finish(local::router(app), app)
}

/// The route of an endpoint: passes the endpoint to the handler, and applies active faults.
pub(crate) fn endpoint(
    app: &Shared,
    endpoint: Endpoint,
    method: MethodRouter<Shared>,
) -> MethodRouter<Shared> {
    let faults = from_fn_with_state(app.clone(), faults::apply);
    method.route_layer(faults).route_layer(Extension(endpoint))
}

fn finish(router: Router<Shared>, app: &Shared) -> Router {
    router
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn(problem::to_documents))
        .with_state(app.clone())
}
