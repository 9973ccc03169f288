//! What a run may cost, counted: round trips, commands, bytes, system calls, rows read. Nothing here is timed.

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod memory;
mod noop;
mod scene;
mod system;
