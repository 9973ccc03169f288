//! OAuth2 from the login to the mailbox: a provider of the tests, and Dovecot, which asks it about every token.

#[path = "../support/mod.rs"]
mod support;

mod login;
mod scene;
mod tokens;
