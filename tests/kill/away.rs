//! A tree that goes away in the middle of a run: nothing is deleted on the server for it, then or in the next run, and
//! when it is back everything goes on.

use crate::attack::Siege;
use crate::support::*;
use std::fs;

/// What stands in the tree's place: a link that leads nowhere, or an empty directory as where nothing is mounted.
const INSTEAD: [&str; 2] = ["ln -s /nowhere/at/all", "mkdir"];

#[test]
fn a_tree_that_goes_away_during_a_run_deletes_nothing() {
    let mut siege = Siege::of(Dovecot::start(), 6);
    siege.settle();
    let (mail, away) = (siege.life.home.mail(), siege.life.home.path().join("away"));
    // Every point of the disk where the environment asks for many rounds, else one of three.
    let step = if std::env::var_os("MAILSYNC_ROUNDS").is_some() { 1 } else { 3 };
    for at in (1..).step_by(step) {
        siege.life.all_happen();
        let before = siege.life.alive_there();
        let instead = INSTEAD[at / step % INSTEAD.len()];
        let swap = format!("mv {0} {1} && {instead} {0}", mail.display(), away.display());
        let run = siege.run(None, Some(&format!("disk:{at}=run:{swap}")));
        if !away.exists() {
            assert!(at > 30, "a run passes too few points\n{}", run.output);
            siege.settle();
            return;
        }
        let next = siege.run(None, None);
        let after = siege.life.alive_there();
        let lost: Vec<&String> = before.iter().filter(|hash| !after.contains(hash)).collect();
        assert!(lost.is_empty(), "{swap}\n{}\n{}\nlost: {lost:?}", run.output, next.output);
        run.output.exits(1).says("mailsync: main").says("hint: ").done();
        next.output.exits(1).says("mailsync: main").says("hint: ").done();
        match instead {
            "mkdir" => fs::remove_dir_all(&mail),
            _ => fs::remove_file(&mail),
        }
        .expect("remove what is in the place of the tree");
        fs::rename(&away, &mail).expect("bring the tree back");
        siege.settle();
    }
}
