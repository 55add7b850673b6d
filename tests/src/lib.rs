//! End-to-end suites.

