//! The node agent of weir.

