//! The program from end to end, against Dovecot: with all of its extensions, and with none of them.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod check;
mod departed;
mod folders;
mod guards;
mod interrupted;
mod large;
mod life;
mod machines;
mod modes;
mod moves;
mod problems;
mod renamed;
mod trash;
mod two_way;
mod views;
mod ways;
mod world;
