//! The program itself against Dovecot: random changes on both sides, then it is killed at a random system call, loses
//! the line at a random place, is told by the system that a call failed, or finds its state as it was before. Run to
//! the end after that, both sides hold what a model says, nothing is there twice, and the next run does nothing.
//!
//! Rounds and seeds come from the environment: `MAILSYNC_ROUNDS` is how many rounds each test goes through,
//! `MAILSYNC_SEED` what chance begins with. Both are printed.

#[path = "../support/mod.rs"]
mod support;

mod attack;
mod away;
mod disk;
mod first;
mod life;

use attack::Siege;
use support::Dovecot;
use support::dovecot::Options;

/// What a server may say it can, so that everything is listed whole and copies are told by UIDPLUS.
const PLAIN: &str = "IMAP4rev1 LITERAL+ UIDPLUS MOVE UNSELECT NAMESPACE";

#[test]
fn with_every_extension() {
    Siege::of(Dovecot::start(), 1).rounds(30);
}

#[test]
fn with_every_extension_and_other_luck() {
    Siege::of(Dovecot::start(), 2).rounds(30);
}

#[test]
fn without_any_extension() {
    Siege::of(Dovecot::bare(), 3).rounds(30);
}

#[test]
fn with_a_server_that_lies() {
    let lying = Dovecot::with(Options { capability: Some(PLAIN.into()), ..Options::default() });
    Siege::of(lying, 4).by_liars().rounds(30);
}
