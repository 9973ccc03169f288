//! A message that the server does not take: what is said of it, and what becomes of the rest.

use super::world::World;
use crate::support::dovecot::Options;
use crate::support::*;

/// A server that says that it takes nothing longer than this.
fn limited() -> World {
    World::new(Dovecot::with(Options { capability: Some("+APPENDLIMIT=2000".into()), ..Options::default() }))
}

fn large() -> Vec<u8> {
    let mut large = mail("large");
    large.extend(b"x".repeat(70).into_iter().chain(*b"\n").cycle().take(71 * 40));
    large
}

#[test]
fn a_message_that_is_refused_waits_is_listed_and_holds_nothing_up() {
    let mut world = limited();
    world.server.append("INBOX", &crlf(&mail("there")), &[], Some(1_500_000_000));
    world.sync();
    world.home.mailsync(&["problems"]).exits(0).says("no problems\n").done();
    let file = world.maildir().deliver("INBOX", &large());
    world.maildir().deliver("INBOX", &mail("small"));
    let ran = world.home.mailsync(&["sync"]).exits(1).says("the server takes no more than 2000 (APPENDLIMIT)");
    ran.says("mailsync: main: 1 message waits after errors (next try in 1").done();
    assert_eq!(world.server.messages("INBOX").len(), 2);

    // It is left alone, and still told.
    let ran =
        world.home.mailsync(&["sync", "-q"]).exits(1).says("1 message waits after errors").never_says("APPENDLIMIT");
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 2), "{ran}");
    let listed = world.home.mailsync(&["problems"]).exits(0).says("main/INBOX: local ").says("(APPENDLIMIT)");
    listed.says("1 try, first ").says(&format!("in {}", world.home.mail().display())).done();
    world.home.mailsync(&["problems", "--json"]).exits(0).says("\"tries\": 1").done();

    // Asked to, the program tries at once.
    world
        .home
        .mailsync(&["problems", "--retry"])
        .exits(1)
        .says("APPENDLIMIT")
        .says("left undone: main (1 failed, 1 waiting)")
        .done();
    world.home.mailsync(&["problems"]).exits(0).says("2 tries").done();
    world.home.mailsync(&["sync", "--retry"]).exits(1).says("APPENDLIMIT").done();

    // What is gone waits no more, and nothing was deleted for it.
    world.maildir().remove(&file);
    world.sync();
    assert_eq!(world.server.messages("INBOX").len(), 2);
    world.home.mailsync(&["problems", "--retry"]).exits(0).says("no problems\n").done();
}
