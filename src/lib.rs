//! mailsync keeps IMAP accounts and local Maildirs in step, both ways, and feeds mutt and NeoMutt.
//!
//! Look, decide, act: stores look and act, deciding is pure. The map of the house, with who may use whom:
//!
//! ```text
//! main -> cli -> { ui, hook, config, secret, sync, store, state, net }
//! ui -> sync::event      sync -> mail, store (traits only), state (pair and execute only)
//! state -> mail          store::* -> mail, net          config, secret -> mail          mail -> std
//! state, store, net, cli -> fault (points where tests let a call fail; nothing in a release)
//! hook -> sync::event, config, mail, store::maildir (names of files)
//! secret, net, hook -> environment (what was changed in it for a library)
//! ```
//!
//! ARCHITECTURE.md tells the rest; the first page of [`sync`] is the decision table.

pub mod cli;
pub mod config;
mod environment;
mod fault;
pub mod hook;
pub mod mail;
pub mod net;
pub mod secret;
pub mod state;
pub mod store;
pub mod sync;
pub mod ui;
pub mod watch;
