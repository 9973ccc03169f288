//! A message on its way from one store to another: a file in LF form, and what is known of it.

use super::{Kind, Reach, StoreError, sys};
use crate::mail::Identity;
use blake3::Hasher;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of a message's start is looked through for its Message-ID.
const HEADER_LIMIT: usize = 64 * 1024;
/// How much is read at once: less than what the heap maps, and the kernel clears, for every message anew.
const BUFFER: usize = 64 * 1024;
/// How much is measured at once: what several looks at it leave in the nearest cache.
const PORTION: usize = 16 * 1024;

/// What a message's content is, once it was read.
#[derive(Clone)]
pub struct Measure {
    /// Bytes as they are in the file.
    pub bytes: u64,
    /// Whether there is a NUL byte, which no plain IMAP literal can carry.
    pub has_nul: bool,
    pub identity: Identity,
    /// Bytes in wire form: every bare LF counts as CRLF.
    pub wire_size: u64,
}

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measure").field("bytes", &self.bytes).field("identity", &self.identity).finish()
    }
}

/// Some content in LF form.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    pub text: &'a [u8],
    /// How many LFs it has: who made it knows.
    pub lfs: u64,
}

/// A message on its way: an open file, what is known of its content, and the path it can be taken from.
pub struct Draft {
    file: File,
    /// Where the file stands, if the store that gave it wants to rename it; removed on drop unless taken.
    path: Option<PathBuf>,
    /// How many bytes were written.
    written: u64,
    /// What has been seen of it, while it is measured as it is written.
    meter: Option<Box<Meter>>,
    measure: Option<Measure>,
}

impl Draft {
    /// A new draft that is written to `file`; `path` is removed if the draft is dropped without [`Draft::keep`].
    pub fn new(file: File, path: Option<PathBuf>) -> Draft {
        Draft { file, path, written: 0, meter: None, measure: None }
    }

    /// A draft that reads an existing file, which stays where it is. Line ends may be LF or CRLF.
    pub fn from_file(file: File) -> Draft {
        Draft::new(file, None)
    }

    /// A draft of an existing file whose content is known.
    pub fn known(file: File, measure: &Measure) -> Draft {
        Draft { file, path: None, written: 0, meter: None, measure: Some(measure.clone()) }
    }

    /// Adds content in LF form, at once: pieces should not be small. Does not sync.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.add(piece, |meter| meter.update(piece))
    }

    /// The same, where the LFs have been counted.
    pub fn write_lines(&mut self, lines: Lines<'_>) -> io::Result<()> {
        self.add(lines.text, |meter| meter.update_lines(lines))
    }

    /// Adds all that `from` gives, and leaves it to be measured by whoever wants to know what it is. Does not sync.
    pub fn fill(&mut self, mut from: impl Read) -> io::Result<()> {
        let mut piece = vec![0; BUFFER];
        (self.meter, self.measure) = (None, None);
        loop {
            match from.read(&mut piece)? {
                0 => return Ok(()),
                n => {
                    sys::write_all(&mut self.file, &piece[..n])?;
                    self.written += n as u64;
                }
            }
        }
    }

    fn add(&mut self, piece: &[u8], measure: impl FnOnce(&mut Meter)) -> io::Result<()> {
        let mut meter = match self.meter.take() {
            Some(meter) => meter,
            None if self.written == 0 => Box::default(),
            None => Box::new(self.read_through()?),
        };
        measure(&mut meter);
        self.meter = Some(meter);
        (self.written, self.measure) = (self.written + piece.len() as u64, None);
        sys::write_all(&mut self.file, piece)
    }

    /// Says what the content is, which must be whole by now; reads it once if it was not written by this draft. Fails where
    /// the file is not as long as what was written. Lets go of what was gathered for it: drafts wait in batches.
    pub fn measure(&mut self) -> io::Result<&Measure> {
        let measure = match (self.measure.take(), self.meter.take()) {
            (Some(measure), _) => measure,
            (None, Some(meter)) => {
                self.is_as_long_as(self.file.metadata()?.len())?;
                meter.measure()
            }
            (None, None) => self.read_through()?.measure(),
        };
        Ok(self.measure.insert(measure))
    }

    fn read_through(&mut self) -> io::Result<Meter> {
        let whole = if self.written > 0 { self.written } else { u64::MAX };
        let mut meter = Meter::default();
        let mut piece = vec![0; usize::try_from(whole).map_or(BUFFER, |whole| whole.min(BUFFER))];
        self.file.seek(SeekFrom::Start(0))?;
        while meter.bytes < whole {
            match self.file.read(&mut piece)? {
                0 => break,
                n => meter.update(&piece[..n]),
            }
        }
        if self.written > 0 {
            self.is_as_long_as(meter.bytes)?;
        }
        Ok(meter)
    }

    /// Fails where so many bytes are not what was written.
    fn is_as_long_as(&self, bytes: u64) -> io::Result<()> {
        if bytes == self.written {
            return Ok(());
        }
        let file = self.path.as_ref().map_or("a temporary file".to_owned(), |path| path.display().to_string());
        let cause = format!("{file} is not as long as what was written to it: another program changed it");
        Err(io::Error::other(cause))
    }

    /// How many bytes were written to it, or found in it so far.
    pub fn bytes(&self) -> u64 {
        self.written.max(self.measure.as_ref().map_or(0, |measure| measure.bytes))
    }

    /// The identity of the message; see [`Draft::measure`].
    pub fn identity(&mut self) -> io::Result<Identity> {
        self.measure().map(|measure| measure.identity.clone())
    }

    /// Reads the content from its start, as it is in the file.
    pub fn reader(&mut self) -> io::Result<impl Read + '_> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::with_capacity(BUFFER, &mut self.file))
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The file has been renamed or is wanted where it is: it is not removed.
    pub fn keep(&mut self) {
        self.path = None;
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("path", &self.path).field("bytes", &self.bytes()).finish()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // A file left behind in tmp/ is swept by a later run.
            let _ = sys::remove_file(path);
        }
    }
}

/// Turns a failure to read or write a draft into a store's error.
pub fn draft_error(action: &str, error: io::Error) -> StoreError {
    let hint = sys::hint(&error);
    let told = StoreError::new(Reach::Folder, Kind::Disk, action, error);
    hint.into_iter().fold(told, StoreError::with_hint)
}

/// Measures content as it passes: sizes, the hash of its canonical form, its Message-ID.
#[derive(Clone, Default)]
pub struct Meter {
    /// Bytes as they passed.
    pub bytes: u64,
    /// LFs with no CR before them: what the wire form is longer by.
    pub bare_lfs: u64,
    /// Whether there is a NUL byte, which no plain IMAP literal can carry.
    pub has_nul: bool,
    hash: Hasher,
    /// CRs seen but not hashed yet: left out of the canonical form if an LF follows.
    pending_crs: u64,
    header: Vec<u8>,
    header_done: bool,
}

impl Meter {
    /// Bytes in wire form: every bare LF counts as CRLF.
    pub fn wire_size(&self) -> u64 {
        self.bytes + self.bare_lfs
    }

    /// BLAKE3 over the canonical form: CRs that stand right before an LF are left out.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = self.hash.clone();
        feed_crs(&mut hash, self.pending_crs);
        hash.finalize().into()
    }

    /// All that is to be known of what passed.
    pub fn measure(&self) -> Measure {
        let (bytes, has_nul, wire_size) = (self.bytes, self.has_nul, self.wire_size());
        Measure { bytes, has_nul, identity: self.identity(), wire_size }
    }

    pub fn identity(&self) -> Identity {
        Identity {
            size: Some(self.wire_size()),
            message_id: message_id(&self.header),
            email_id: None,
            hash: Some(self.hash()),
        }
    }

    /// Takes the next piece of content, cut anywhere.
    pub fn update(&mut self, piece: &[u8]) {
        piece.chunks(PORTION).for_each(|portion| self.take(portion));
    }

    /// The same, where the LFs have been counted.
    pub fn update_lines(&mut self, Lines { text, lfs }: Lines<'_>) {
        if self.pending_crs > 0 || memchr::memchr2(b'\r', 0, text).is_some() {
            return self.update(text);
        }
        self.bytes += text.len() as u64;
        self.look_for_header(text);
        self.bare_lfs += lfs;
        self.hash.update(text);
    }

    fn look_for_header(&mut self, piece: &[u8]) {
        if !self.header_done {
            let within = &piece[..piece.len().min(HEADER_LIMIT - self.header.len())];
            let end = blank_line(within);
            self.header.extend_from_slice(&within[..end.unwrap_or(within.len())]);
            self.header_done = end.is_some() || self.header.len() == HEADER_LIMIT;
        }
    }

    fn take(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.has_nul |= memchr::memchr(0, piece).is_some();
        self.look_for_header(piece);
        let mut rest = piece;
        while !rest.is_empty() {
            if rest[0] == b'\r' {
                let crs = rest.iter().take_while(|b| **b == b'\r').count();
                self.pending_crs += crs as u64;
                rest = &rest[crs..];
                continue;
            }
            let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
            let (segment, after) = rest.split_at(end);
            let lfs = memchr::memchr_iter(b'\n', segment).count() as u64;
            if segment[0] == b'\n' {
                self.bare_lfs += lfs - u64::from(self.pending_crs > 0);
            } else {
                feed_crs(&mut self.hash, self.pending_crs);
                self.bare_lfs += lfs;
            }
            self.pending_crs = 0;
            self.hash.update(segment);
            rest = after;
        }
    }
}

/// Where the first empty line begins, if it is not cut off: to look for it saves work, and no more.
fn blank_line(piece: &[u8]) -> Option<usize> {
    let mut starts = memchr::memchr_iter(b'\n', piece).map(|at| at + 1);
    starts.find(|at| piece[*at..].starts_with(b"\n") || piece[*at..].starts_with(b"\r\n"))
}

fn feed_crs(hash: &mut Hasher, crs: u64) {
    for _ in 0..crs {
        hash.update(b"\r");
    }
}

/// The value of the first Message-ID of a header, folded lines joined, without blanks around it. Looks no further than the first
/// empty line. Only ever compared, so nothing else is asked of it.
pub fn message_id(header: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"message-id:";
    let mut value: Option<Vec<u8>> = None;
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', header).chain([header.len()]) {
        let line = header[from..end].trim_ascii_end();
        from = end + 1;
        if let Some(found) = value.as_mut() {
            match line.first() {
                Some(b' ' | b'\t') => found.extend_from_slice(line.trim_ascii()),
                _ => break,
            }
        } else if line.is_empty() {
            break;
        } else if line.len() >= NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            value = Some(line[NAME.len()..].trim_ascii().to_vec());
        }
    }
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut text = String::from_utf8(value?).unwrap_or_else(|err| lossy(err.into_bytes()));
    text.retain(|c| !c.is_control());
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(pieces: &[&[u8]]) -> Meter {
        let mut meter = Meter::default();
        pieces.iter().for_each(|piece| meter.update(piece));
        meter
    }

    #[test]
    fn counted_lines_are_measured_as_others_are() {
        let lf = |text: &[u8]| text.iter().filter(|b| **b == b'\n').count() as u64;
        for text in [&b"A: b\nMessage-ID: <x>\n\nc\n"[..], b"a\rb\r\r\nc\n", b"\0\n", b"\n\r", b"", b"a\r\n\n\r\n"] {
            for at in 0..=text.len() {
                let mut lines = Meter::default();
                for text in [&text[..at], &text[at..]] {
                    lines.update_lines(Lines { text, lfs: lf(text) });
                }
                let (found, expected) = (lines.measure(), meter(&[text]).measure());
                assert_eq!(found.identity, expected.identity, "{text:?} cut at {at}");
                assert_eq!(
                    (found.bytes, found.wire_size, found.has_nul),
                    (expected.bytes, expected.wire_size, expected.has_nul),
                    "{text:?} cut at {at}"
                );
            }
        }
    }

    #[test]
    fn the_hash_is_the_same_for_every_form_of_line_end_and_every_cut() {
        let lf = meter(&[b"a\nb\n\nc"]).hash();
        assert_eq!(meter(&[b"a\r\nb\r\n\r\nc"]).hash(), lf);
        assert_eq!(meter(&[b"a\r", b"\nb", b"\r", b"\n", b"\r\nc"]).hash(), lf);
        assert_eq!(meter(&[b"a\r\r\nb\n\nc"]).hash(), lf);
        assert_ne!(meter(&[b"a\rb\n\nc"]).hash(), lf);
        assert_ne!(meter(&[b"a\nb\n\nc\r"]).hash(), lf);
    }

    #[test]
    fn a_draft_is_the_same_whether_it_is_measured_as_it_is_written_or_read() {
        let line = b"a line of a message, and its end\n";
        for lines in [0, 1, 1000, 3 * BUFFER / line.len()] {
            let text = line.repeat(lines);
            let whole = meter(&[&text]).measure();
            for piece in [700, 1 << 16, 3 << 20] {
                let mut draft = Draft::new(tempfile::tempfile().expect("a file"), None);
                text.chunks(piece).for_each(|piece| draft.write(piece).expect("written"));
                assert_eq!(draft.bytes(), text.len() as u64);
                let read = Draft::from_file(draft.file().try_clone().expect("the file")).identity().expect("read");
                let found = draft.measure().expect("measured");
                assert_eq!((found.bytes, &found.identity), (whole.bytes, &whole.identity), "{lines} lines by {piece}");
                assert_eq!(read, whole.identity, "{lines} lines by {piece}");
                draft.file.seek(SeekFrom::End(0)).expect("its end");
                draft.write(b"more").expect("written");
                let more = [text.as_slice(), b"more"].concat();
                assert_eq!(draft.identity().expect("measured"), meter(&[&more]).identity());
                let mut content = Vec::new();
                draft.reader().expect("a reader").read_to_end(&mut content).expect("read");
                assert!(content == more, "{lines} lines by {piece}");
            }
        }
    }

    #[test]
    fn a_draft_that_somebody_else_changes_is_an_error() {
        for bytes in [4, 0] {
            let mut draft = Draft::new(tempfile::tempfile().expect("a file"), None);
            draft.write(b"some text").expect("written");
            draft.file().set_len(bytes).expect("another length");
            assert!(draft.measure().is_err());
            // Nor is that forgotten.
            assert!(draft.measure().is_err());
            assert!(draft.write(b"more").is_err());
        }
    }

    #[test]
    fn the_wire_size_counts_a_cr_for_every_bare_lf() {
        for (text, size) in
            [(&b"a\nb\r\nc\n"[..], 9), (b"\n", 2), (b"\r\n", 2), (b"\r\r\n", 3), (b"\n\n\r\n\n", 8), (b"", 0)]
        {
            assert_eq!(meter(&[text]).wire_size(), size, "{text:?}");
            let single: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(meter(&single).wire_size(), size, "{text:?} byte by byte");
        }
    }

    #[test]
    fn the_message_id_is_found_folded_and_in_any_case_but_never_in_the_body() {
        assert_eq!(message_id(b"A: b\nMESSAGE-ID:\n <a@b>\nX: y\n\n"), Some("<a@b>".to_owned()));
        assert_eq!(message_id(b"Message-Id: <x>\r\n\r\n"), Some("<x>".to_owned()));
        assert_eq!(message_id(b"A: b\n\nMessage-ID: <x>\n"), None);
        assert_eq!(message_id(b"Message-ID:  \nA: b\n"), None);
    }

    #[test]
    fn the_message_id_is_found_wherever_the_pieces_are_cut() {
        for text in
            [&b"A: b\nMessage-ID: <x>\n\nMessage-ID: <y>\n\n"[..], b"Message-ID: <x>\r\n\r\nb\n\nMessage-ID: <y>\r\n"]
        {
            for at in 0..text.len() {
                let found = meter(&[&text[..at], &text[at..]]).identity().message_id;
                assert_eq!(found.as_deref(), Some("<x>"), "cut at {at}");
            }
        }
        assert_eq!(meter(&[b"\nMessage-ID: <x>\n\n"]).identity().message_id, None);
    }
}
