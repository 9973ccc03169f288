//! A line under DEFLATE (COMPRESS, RFC 4978): both directions, one stream each for as long as the line lasts.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::io::{self, Read};

/// How much compressed input is read at once.
const WIRE_SIZE: usize = 64 * 1024;

/// How much room is made for output before the library is asked for more of it.
const PACK_STEP: usize = 32 * 1024;

/// What a line needs to speak DEFLATE.
pub(super) struct Deflate {
    inflate: Decompress,
    /// All of it initialised; what counts is `start..end`: came in, and was not inflated yet.
    wire: Vec<u8>,
    start: usize,
    end: usize,
    /// The peer has ended its stream.
    ended: bool,
    pack: Compress,
    /// Compressed, and not sent yet.
    packed: Vec<u8>,
}

impl Deflate {
    /// Begins with what came in already, which was compressed.
    pub(super) fn begin(came: &[u8]) -> Deflate {
        let mut wire = came.to_vec();
        wire.resize(came.len().max(WIRE_SIZE), 0);
        Deflate {
            inflate: Decompress::new(false),
            wire,
            start: 0,
            end: came.len(),
            ended: false,
            pack: Compress::new(Compression::default(), false),
            packed: Vec::new(),
        }
    }

    /// Compresses `bytes`, so that the peer can read all of them as soon as it has got what is [`Deflate::packed`].
    pub(super) fn pack(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            self.packed.reserve(PACK_STEP);
            let before = self.pack.total_in();
            let status = self.pack.compress_vec(bytes, &mut self.packed, FlushCompress::Sync);
            let status = status.map_err(io::Error::other)?;
            let taken = self.pack.total_in() - before;
            bytes = &bytes[usize::try_from(taken).map_or(bytes.len(), |taken| taken.min(bytes.len()))..];
            // Room that is left means that there is nothing more to come.
            if bytes.is_empty() && self.packed.len() < self.packed.capacity() || status == Status::BufError {
                return Ok(());
            }
        }
    }

    /// What is to be sent.
    pub(super) fn packed(&mut self) -> &mut Vec<u8> {
        &mut self.packed
    }

    pub(super) fn unsent(&self) -> usize {
        self.packed.len()
    }

    /// What the line says, read from its stream. Bytes that come over it are added to `count`.
    pub(super) fn reader<'a, R: Read>(&'a mut self, stream: &'a mut R, count: &'a mut u64) -> Inflating<'a, R> {
        Inflating { deflate: self, stream, count }
    }
}

/// Reads inflated bytes: never more at once than there is room for, whatever a stream blows up to.
pub(super) struct Inflating<'a, R> {
    deflate: &'a mut Deflate,
    stream: &'a mut R,
    count: &'a mut u64,
}

impl<R: Read> Read for Inflating<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let deflate = &mut *self.deflate;
        loop {
            if deflate.ended || into.is_empty() {
                return Ok(0);
            }
            let (taken, made) = (deflate.inflate.total_in(), deflate.inflate.total_out());
            let input = &deflate.wire[deflate.start..deflate.end];
            let status = deflate.inflate.decompress(input, into, FlushDecompress::Sync);
            let status = status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            deflate.start += (deflate.inflate.total_in() - taken) as usize;
            deflate.ended = status == Status::StreamEnd;
            let made = (deflate.inflate.total_out() - made) as usize;
            if made > 0 {
                return Ok(made);
            }
            if deflate.ended || deflate.start < deflate.end {
                continue;
            }
            deflate.wire.resize(WIRE_SIZE, 0);
            (deflate.start, deflate.end) = (0, 0);
            let count = self.stream.read(&mut deflate.wire)?;
            if count == 0 {
                return Ok(0);
            }
            *self.count += count as u64;
            deflate.end = count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn noise(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..size).map(|_| next()).collect()
    }

    /// Gives a few bytes at a time, and then nothing yet.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(into.len());
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    /// All that can be read before the stream has nothing more.
    fn read_all(deflate: &mut Deflate, mut stream: impl Read, room: usize) -> io::Result<Vec<u8>> {
        let (mut all, mut count) = (Vec::new(), 0);
        let mut into = vec![0; room];
        loop {
            match deflate.reader(&mut stream, &mut count).read(&mut into) {
                Ok(0) => return Ok(all),
                Ok(some) => all.extend_from_slice(&into[..some]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(all),
                Err(error) => return Err(error),
            }
        }
    }

    #[test]
    fn what_is_packed_can_be_read_at_once_however_it_is_cut() {
        let parts = [b"a1 NOOP\r\n".to_vec(), vec![b'x'; 300_000], noise(200_000), b"a2 NOOP\r\n".to_vec()];
        for (drop, room) in [(1, 1000), (700, 1), (100_000, 100_000)] {
            let (mut here, mut there) = (Deflate::begin(b""), Deflate::begin(b""));
            for part in &parts {
                here.pack(part).expect("packs");
                let packed = std::mem::take(here.packed());
                let read = read_all(&mut there, Drops(&packed, drop), room).expect("reads");
                assert!(read == *part, "{} of {} bytes", read.len(), part.len());
            }
        }
    }

    #[test]
    fn what_came_beforehand_is_the_beginning() {
        let mut here = Deflate::begin(b"");
        here.pack(&noise(200_000)).expect("packs");
        let packed = std::mem::take(here.packed());
        let (first, rest) = packed.split_at(150_000);
        let read = read_all(&mut Deflate::begin(first), Drops(rest, 999), 4096).expect("reads");
        assert!(read == noise(200_000));
    }

    #[test]
    fn a_bomb_gives_no_more_than_there_is_room_for() {
        let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        for _ in 0..64 {
            bomb.write_all(&vec![0; 1024 * 1024]).expect("packs");
        }
        let bomb = bomb.finish().expect("packs");
        let mut deflate = Deflate::begin(&bomb[..1000]);
        let (mut stream, mut count, mut into) = (&bomb[1000..], 0, vec![1; 4096]);
        for _ in 0..100 {
            assert_eq!(deflate.reader(&mut stream, &mut count).read(&mut into).expect("reads"), 4096);
        }
        // A thousandth of it was needed for that.
        assert!(count <= WIRE_SIZE as u64);
    }

    #[test]
    fn the_end_of_the_stream_is_the_end_and_junk_is_an_error() {
        let mut whole = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        whole.write_all(b"* BYE\r\n").expect("packs");
        let whole = whole.finish().expect("packs");
        let mut deflate = Deflate::begin(&whole);
        assert_eq!(read_all(&mut deflate, Drops(b"more", 9), 100).expect("reads"), b"* BYE\r\n");
        let error = read_all(&mut Deflate::begin(b"* OK not compressed\r\n"), Drops(b"", 1), 100).expect_err("junk");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
