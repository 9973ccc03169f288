//! `mailsync watch`: what it keeps in step, when it sleeps, and how it ends.

#[path = "../support/mod.rs"]
mod support;

mod everyday;
mod hooks;
mod manager;
mod meddler;
mod network;
mod quirks;
mod scene;
mod trouble;
