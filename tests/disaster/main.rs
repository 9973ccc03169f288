//! What ruined people's mail elsewhere, played against Dovecot through a recorder: nothing that destroys is sent, no file
//! goes or changes, and the way out that the program names leads out.

#[path = "../support/mod.rs"]
mod support;
#[path = "../dovecot/world.rs"]
#[allow(dead_code, reason = "it serves the tests of another directory too")]
mod world;

mod foreign_marks;
mod gone_folders;
mod incomplete_lists;
mod lost_state;
mod lost_tree;
mod many_deletions;
mod new_numbers;
mod rules;
mod scene;
