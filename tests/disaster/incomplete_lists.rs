//! Lessons, row 4: the server shows less than it has.

use crate::scene::Scene;
use crate::support::*;

/// What is wrong, whether the server has extensions, and what becomes of its lines.
type Lie = (&'static str, bool, fn(&str) -> Option<String>);

/// A server that shows things wrongly, with all extensions or with none.
fn lies() -> Vec<Lie> {
    fn without_half(line: &str) -> Option<String> {
        let number: Option<u32> = line.strip_prefix("* ").and_then(|rest| rest.split_once(" FETCH ")?.0.parse().ok());
        number.is_none_or(|number| number % 2 == 0).then(|| line.to_owned())
    }
    fn without_any(line: &str) -> Option<String> {
        (!line.contains(" FETCH (")).then(|| line.to_owned())
    }
    fn fewer(line: &str) -> Option<String> {
        let count: Option<u32> = line.strip_prefix("* ").and_then(|rest| rest.strip_suffix(" EXISTS")?.parse().ok());
        Some(count.map_or(line.to_owned(), |count| format!("* {} EXISTS", count / 2)))
    }
    fn vanished(line: &str) -> Option<String> {
        match line.contains(" FETCH completed") || line.contains(" Fetch completed") {
            true => Some(format!("* VANISHED (EARLIER) 1:20\r\n{line}")),
            false => Some(line.to_owned()),
        }
    }
    vec![
        ("every other FETCH is lost", true, without_half),
        ("every other FETCH is lost", false, without_half),
        ("no FETCH arrives", false, without_any),
        ("EXISTS is too small", true, fewer),
        ("EXISTS is too small", false, fewer),
        ("bogus VANISHED", true, vanished),
    ]
}

#[test]
fn what_a_server_does_not_show_is_not_deleted_here() {
    for (what, extensions, lie) in lies() {
        let mut scene = Scene::new(if extensions { Dovecot::start() } else { Dovecot::bare() }, 30);
        // Something that makes the program look.
        scene.world.server.append("INBOX", &crlf(&mail("new")), &[], None);
        scene.line.twist(lie);
        for _ in 0..2 {
            let out = scene.harmless(&["sync"]);
            assert!(scene.world.maildir().messages("INBOX").len() >= 30, "{what}\n{out}");
        }
        scene.line.straighten();
        scene.world.sync();
        assert_eq!(scene.world.maildir().messages("INBOX").len(), 31, "{what}");
        scene.is_over();
    }
}

#[test]
fn folders_that_a_server_does_not_list_are_kept() {
    for lost in ["Work", ""] {
        let mut scene = Scene::new(Dovecot::start(), 5);
        scene.line.twist(move |line| (!(line.starts_with("* LIST ") && line.contains(lost))).then(|| line.to_owned()));
        for _ in 0..2 {
            scene.holds(&["sync"]).done();
        }
        scene.line.straighten();
        scene.is_over();
    }
}
