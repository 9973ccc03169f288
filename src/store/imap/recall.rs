//! What is remembered of a server from one run to the next, so that the first commands can go along with the login.
//!
//! They depend on what the server can do once we are logged in, which it tells only then. It is taken to be what it was
//! the last time: where it is not, their answers count for nothing, and what is right is sent. Nothing else is taken on
//! trust: the mechanism must be on offer now, and the commands hold no secret.

use super::caps::Caps;
use super::sasl::Mechanism;
use crate::mail::Noted;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For how long a server with which it went wrong is left alone: the line may have been to blame.
const REST: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a server was like when we were last logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    pub mechanism: Mechanism,
    pub caps: Caps,
    /// Until when no command goes along, in seconds since 1970.
    rest: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl Recall {
    pub fn new(mechanism: Mechanism, caps: Caps) -> Recall {
        Recall { mechanism, caps, rest: 0 }
    }

    /// The same server, with which it went wrong just now.
    pub fn resting(self) -> Recall {
        Recall { rest: now() + REST.as_secs(), ..self }
    }

    /// The same server now, which goes on resting.
    pub fn renewed(&self, now: Recall) -> Recall {
        Recall { rest: self.rest, ..now }
    }

    pub fn rests(&self) -> bool {
        (now()..=now() + REST.as_secs()).contains(&self.rest)
    }

    /// Reads what [`Recall::write`] wrote; anything else is nothing.
    pub fn read(noted: &Noted) -> Option<Recall> {
        let mut words = std::str::from_utf8(&noted.0).ok()?.split(' ');
        let rest = words.next()?.parse().ok()?;
        let mechanism = Mechanism::parse(words.next()?)?;
        let names: Vec<String> = words.map(str::to_owned).collect();
        Some(Recall { mechanism, caps: Caps::new(&names, &[]), rest })
    }

    pub fn write(&self) -> Noted {
        let head = format!("{} {}", self.rest, self.mechanism.name());
        Noted(self.caps.names().fold(head, |text, name| text + " " + name).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_nothing_else_does() {
        let caps = Caps::new(&["IMAP4rev1".to_owned(), "LIST-STATUS".to_owned()], &[]);
        let recall = Recall::new(Mechanism::Plain, caps);
        assert_eq!(Recall::read(&recall.write()), Some(recall.clone()));
        let resting = recall.resting();
        assert_eq!(Recall::read(&resting.write()), Some(resting));
        for text in ["", "x PLAIN", "0", "0 NOTHING", "\u{1}\u{0}"] {
            assert_eq!(Recall::read(&Noted(text.into())), None, "{text:?}");
        }
    }

    #[test]
    fn a_rest_ends_and_one_that_a_wrong_clock_made_is_none() {
        let recall = Recall::new(Mechanism::Login, Caps::default());
        assert!(!recall.rests() && recall.clone().resting().rests());
        for rest in [now() - 1, now() + 2 * REST.as_secs()] {
            assert!(!Recall { rest, ..recall.clone() }.rests());
        }
    }
}
