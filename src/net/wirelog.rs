//! The wire log: what is said on a line, without message bodies and without secrets.

use std::sync::Arc;

/// What stands in the log for what is kept out of it.
pub const NOT_SHOWN: &str = "<not shown>";

/// Tells whether a text holds a secret, in any form in which a server may repeat it.
pub type Mask = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Takes one line of the log: `C: ` or `S: `, no line end, nothing in it that a terminal would obey.
pub type WireLog = Arc<dyn Fn(&str) + Send + Sync>;

/// What of a line is shown at most.
const SHOWN_MAX: usize = 1000;

#[derive(Default)]
pub(super) struct Log {
    sink: Option<WireLog>,
    mask: Option<Mask>,
    /// A line of ours whose end was not written yet.
    line: Vec<u8>,
}

impl Log {
    pub(super) fn set_sink(&mut self, sink: Option<WireLog>) {
        self.sink = sink;
    }

    pub(super) fn set_mask(&mut self, mask: Option<Mask>) {
        if mask.is_some() != self.mask.is_some() {
            self.line.clear();
        }
        self.mask = mask;
    }

    /// The mask, which is taken off.
    pub(super) fn take_mask(&mut self) -> Option<Mask> {
        let mask = self.mask.clone();
        self.set_mask(None);
        mask
    }

    /// What is sent.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Some(sink) = &self.sink else { return };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = SHOWN_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let shown = match self.mask {
                    Some(_) => NOT_SHOWN.to_owned(),
                    None => without_login(&self.line),
                };
                sink(&format!("C: {shown}"));
                self.line.clear();
            }
        }
    }

    /// A piece of a message that is sent.
    pub(super) fn sent_body(&mut self, size: usize) {
        if let Some(sink) = &self.sink {
            sink(&format!("C: <{size} bytes>"));
        }
    }

    /// A line that came. A server may repeat what it did not understand.
    pub(super) fn received(&self, line: &[u8]) {
        let Some(sink) = &self.sink else { return };
        let repeats = |mask: &Mask| mask(&String::from_utf8_lossy(line));
        match self.mask.as_ref().is_some_and(repeats) {
            true => sink(&format!("S: {NOT_SHOWN}")),
            false => sink(&format!("S: {}", clean(line))),
        }
    }
}

/// Keeps a password out of the log even where nobody asked for it.
fn without_login(line: &[u8]) -> String {
    let mut words = line.split(|byte| *byte == b' ');
    let tag = words.next().unwrap_or_default();
    match words.next() {
        Some(word) if [b"LOGIN".as_slice(), b"AUTHENTICATE"].iter().any(|name| word.eq_ignore_ascii_case(name)) => {
            format!("{} {} {NOT_SHOWN}", clean(tag), clean(word))
        }
        _ => clean(line),
    }
}

fn clean(line: &[u8]) -> String {
    let shown = line.trim_ascii_end();
    let text = String::from_utf8_lossy(&shown[..shown.len().min(SHOWN_MAX)]);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
