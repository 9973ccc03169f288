//! Odd servers, played from scripts: what the IMAP store does about them.

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
mod support;
#[path = "quirks/writing.rs"]
mod writing;
