//! What came in and was not taken yet.

use std::io::{self, Read};

/// What one read takes at most, and the buffer's usual size.
const SIZE: usize = 256 * 1024;

/// How much the buffer holds while a write must not wait for us to read.
const MAX: usize = 16 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Input {
    /// All of it initialised; what counts is `start..end`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(super) fn available(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Forgets all of it, and gives back what it grew by.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        self.bytes.truncate(SIZE);
        self.bytes.shrink_to(SIZE);
    }

    /// Gives the room back, if there is nothing in it.
    pub(super) fn give_back(&mut self) {
        if self.start == self.end {
            *self = Input::default();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.end - self.start >= MAX
    }

    /// Reads once; `Ok(0)` is the end. Makes room first, but never beyond the limit.
    pub(super) fn read_from(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                match self.bytes.len() {
                    // The system's zeros: of most of it no page is ever touched in a short conversation.
                    0 => self.bytes = vec![0; SIZE],
                    size => self.bytes.resize((size * 2).min(MAX), 0),
                }
            }
        }
        if self.end == self.bytes.len() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = stream.read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }
}
