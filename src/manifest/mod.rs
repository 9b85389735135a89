//! stub
/// stub
pub struct Rendered;
