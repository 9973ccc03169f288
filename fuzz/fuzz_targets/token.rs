//! Any bytes are read as one response of a server: nothing panics, and what comes out is no larger than what went in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailsync::store::imap::token::{
    Body, Code, Frame, Next, Response, UidSet, internal_date, parse, parse_internal_date,
};

fuzz_target!(|response: &[u8]| {
    check(&parse(response), response.len());
    frame(response);
    set(response);
    date(response);
});

/// Numbers that come from the server are bounded, and texts are not longer than the response, Latin-1 made UTF-8.
fn check(response: &Response, size: usize) {
    let bounded = |text: usize| assert!(text <= 2 * size, "{text} bytes out of {size}: {response:?}");
    match response {
        Response::Tagged { tag, status } => {
            assert!(!tag.is_empty());
            bounded(tag.len() + status.text.len());
        }
        Response::Status(status) => {
            bounded(status.text.len());
            match &status.code {
                Some(Code::CopyUid { pairs, .. }) => {
                    assert!(pairs.len() <= 1_000_000);
                    assert!(pairs.iter().all(|(from, to)| *from > 0 && *to > 0));
                }
                Some(Code::AppendUid { uids, .. }) => {
                    assert!((1..=1_000_000).contains(&uids.len()) && !uids.contains(&0));
                }
                Some(code) => assert!(!code.name().is_empty()),
                None => {}
            }
        }
        Response::Expunge(number) => assert!(*number > 0),
        Response::Vanished { uids, .. } => orderly(uids),
        Response::Fetch(fetch) => {
            assert!(fetch.uid != Some(0) && fetch.date.is_none_or(|date| date >= 0));
            let header = fetch.header.as_ref().map_or(0, Vec::len);
            let body = match &fetch.body {
                Some(Body::Inline(body)) => body.len(),
                // Nobody said that anything was streamed.
                Some(Body::Streamed(_)) => panic!("{response:?}"),
                _ => 0,
            };
            assert!(header + body <= size);
        }
        Response::Search { numbers, .. } => assert!(numbers.len() <= size && !numbers.contains(&0)),
        Response::Esearch(found) => found.all.iter().for_each(orderly),
        Response::List(listed) | Response::Lsub(listed) => assert!(listed.name.len() <= size),
        Response::MailboxStatus(status) => assert!(status.name.len() <= size),
        Response::Namespace(spaces) => {
            let all = spaces.personal.iter().chain(&spaces.other).chain(&spaces.shared);
            assert!(all.map(|(prefix, _)| prefix.len()).sum::<usize>() <= size);
        }
        Response::Flags(words) | Response::Enabled(words) | Response::Capability(words) => {
            bounded(words.iter().map(String::len).sum());
        }
        _ => {}
    }
}

fn orderly(uids: &UidSet) {
    let ranges = uids.ranges();
    assert!(ranges.iter().all(|(first, last)| *first > 0 && first <= last), "{uids:?}");
    assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{uids:?}");
}

/// A whole response in one piece and the same response in lines and literals say the same, but for streamed bodies.
fn frame(response: &[u8]) {
    let mut frame = Frame::new();
    let mut rest = response;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        match frame.line(line) {
            Ok(Next::Gather(size)) if size <= rest.len() as u64 => {
                let (literal, after) = rest.split_at(size as usize);
                frame.literal(literal).expect("it is smaller than any limit");
                rest = after;
            }
            Ok(Next::Stream(size)) if size <= rest.len() as u64 => rest = &rest[size as usize..],
            Ok(Next::End) => break,
            Ok(Next::Gather(_) | Next::Stream(_)) | Err(_) => return,
        }
    }
    assert!(frame.bytes().len() <= response.len());
    let framed = frame.parse();
    if frame.bytes().len() == response.len() - rest.len() && !matches!(&framed, Response::Fetch(_)) {
        assert_eq!(framed, parse(frame.bytes()));
    }
}

/// A set says the same when it is written and read again, cut into commands of any length.
fn set(text: &[u8]) {
    let Some(set) = UidSet::parse(text) else { return };
    orderly(&set);
    if set.is_empty() {
        return;
    }
    assert_eq!(UidSet::parse(set.to_string().as_bytes()).as_ref(), Some(&set));
    let chunks = set.chunks(30);
    assert!(chunks.iter().all(|chunk| chunk.len() <= 30));
    let pieces = chunks.iter().map(|chunk| UidSet::parse(chunk.as_bytes()).expect("a chunk is a set"));
    let whole = UidSet::from_ranges(pieces.flat_map(|piece| piece.ranges().to_vec()));
    assert_eq!(whole, set);
    assert!(set.iter().take(100).all(|uid| set.contains(uid)));
    assert!(set.iter().take(1000).count() as u64 == set.len().min(1000));
}

/// A date that is understood is written so that it is understood in the same way.
fn date(text: &[u8]) {
    let Some(seconds) = parse_internal_date(text) else { return };
    if seconds <= 253_402_300_799 {
        assert_eq!(parse_internal_date(internal_date(seconds).as_bytes()), Some(seconds));
    }
}
