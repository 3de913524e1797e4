//! An HTTP proxy that fails on purpose.
