//! The face that a sync has for those who ask a running `watch` for it: lines, as with `-u basic`.

use super::end::End;
use crate::sync::{Observer, Report};
use crate::ui::{Ui, Writers};
use crate::watch::control::Face;
use std::io::Write;
use std::sync::Arc;

/// A face on any two writers.
pub fn face(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, quiet: bool) -> Box<dyn Face> {
    Box::new(Lines(Ui::lines(Writers { out, err }, quiet)))
}

struct Lines(Ui);

impl Face for Lines {
    fn observer(&self) -> Arc<Observer> {
        self.0.observer()
    }

    fn finish(&self, report: &Report) -> u8 {
        self.0.finish(report);
        match End::from(report) {
            // Nobody interrupted whoever asked: the other process ends, or reads its config anew.
            End::Interrupted => End::Undone.code(),
            end => end.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::event::Event;
    use crate::sync::{Counts, Outcome};
    use std::io;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn it_says_what_a_sync_would_say_and_ends_as_it_would() {
        let (out, err) = (Shared::default(), Shared::default());
        let face = face(Box::new(out.clone()), Box::new(err.clone()), false);
        let account = "work".to_owned();
        face.observer()(Event::Note { account: account.clone(), folder: None, text: "odd".to_owned() });
        let code = face.finish(&Report { accounts: vec![(account, Outcome::AuthFailed, Counts::default())] });
        let text = |shared: &Shared| String::from_utf8(shared.0.lock().expect("no panic").clone()).expect("UTF-8");
        assert_eq!(text(&err), "mailsync: work: note: odd\nmailsync: work: login failed\n");
        assert_eq!((text(&out).as_str(), code), ("left undone: work (login failed)\n", 4));
    }
}
