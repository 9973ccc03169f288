//! `[watch]` and `[account.NAME.watch]`: how `mailsync watch` keeps accounts in step.

use super::keys;
use super::reader::{Reader, Section, texts};
use super::tree::{Located, Node};
use std::time::Duration;

/// More seldom than this nobody needs to look, and more often no server likes it.
const LEAST: Duration = Duration::from_secs(10);

/// How an account is watched.
#[derive(Clone, Debug)]
pub struct Watch {
    /// How often all folders are looked at, whoever tells of changes; zero for never.
    pub interval: Duration,
    /// Folders of which the server is to tell at once, by their names there, the most important one first; `None` for
    /// INBOX. Where there are none, nobody is listened to.
    pub idle: Option<Vec<Located<String>>>,
    /// How often every message is compared, whatever the server says of changes; zero for never.
    pub full_every: Duration,
    /// When the network is left alone.
    pub pause_on: Pause,
}

/// What keeps an account from using the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// What passes costs money.
    pub metered: bool,
    /// Nothing that is far away can be reached.
    pub offline: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            interval: Duration::from_secs(5 * 60),
            idle: None,
            full_every: Duration::from_secs(24 * 3600),
            pause_on: Pause::default(),
        }
    }
}

/// What one table says; what it does not say is as in `above`.
pub(super) fn read(reader: &mut Reader, node: Option<&Node>, above: &Watch) -> Watch {
    let Some(section) = node.and_then(|node| Section::new(reader, &keys::WATCH, node)) else { return above.clone() };
    let interval = section.duration(reader, "interval").unwrap_or(above.interval);
    if !interval.is_zero() && interval < LEAST {
        let at = section.get("interval").map_or(&section.at, |node| &node.at);
        reader.complain_with(
            at,
            "`interval` may not be less than 10s",
            "changes are told at once where the server can; 0 is never",
        );
    }
    let idle = match section.get("idle") {
        Some(node) => Some(texts(reader, "idle", node, true)),
        None => above.idle.clone(),
    };
    let pause_on = match section.get("pause_on") {
        Some(node) => pause_on(reader, node),
        None => above.pause_on,
    };
    let full_every = section.duration(reader, "full_every").unwrap_or(above.full_every);
    Watch { interval, idle, full_every, pause_on }
}

fn pause_on(reader: &mut Reader, node: &Node) -> Pause {
    let mut pause = Pause::default();
    for word in texts(reader, "pause_on", node, true) {
        match word.value.as_str() {
            "metered" => pause.metered = true,
            "offline" => pause.offline = true,
            _ => reader.complain(&word.at, "`pause_on` may have \"metered\" and \"offline\""),
        }
    }
    pause
}
