//! Odd servers, played from scripts: what the IMAP store does about them.

#[path = "quirks/auth.rs"]
mod auth;
#[path = "quirks/harness.rs"]
mod harness;
#[path = "quirks/lanes.rs"]
mod lanes;
#[path = "quirks/login.rs"]
mod login;
#[path = "quirks/mailboxes.rs"]
mod mailboxes;
#[path = "quirks/messages.rs"]
mod messages;
#[path = "quirks/scram.rs"]
mod scram;
mod support;
#[path = "quirks/writing.rs"]
mod writing;
