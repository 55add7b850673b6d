//! The attach barrier.

fn main() {}
