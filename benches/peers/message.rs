//! Messages as a mailbox has them: most of some KB, a few of MBs, half text and half what attachments look like.

use crate::support::corpus::Random;

/// Median of the sizes, in bytes.
const MEDIAN: f64 = 8_000.0;
/// Of the logarithm. The mean is then 34 KB, and one in 10,000 is beyond 4 MB.
const SIGMA: f64 = 1.7;
const LARGEST: f64 = 20e6;

const WORDS: [&str; 24] = [
    "the", "report", "of", "Monday", "is", "attached", "please", "look", "at", "it", "before", "we", "meet", "and",
    "tell", "me", "what", "you", "think", "budget", "server", "about", "next", "week",
];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Letters of flags that every program can carry, and one in how many messages has each: Draft, Flagged, Replied.
const LETTERS: [(char, u64); 3] = [('D', 100), ('F', 20), ('R', 5)];

/// The message of this number: always the same bytes, and no other's. LF line ends.
pub fn bytes(number: u64) -> Vec<u8> {
    let mut random = Random(number);
    let size = size(&mut random);
    let mut out = format!(
        "Return-Path: <ann.{number}@example.org>\n\
         Received: from mx.example.org (mx.example.org [192.0.2.7])\n\tby mail.example.net with ESMTPS id {:016x}\n\t\
         for <me@example.net>; Tue, 1 Jul 2025 10:00:00 +0000\n\
         From: Ann <ann.{number}@example.org>\nTo: me@example.net\nSubject: measured {number}\n\
         Message-ID: <{number}.{:x}@example.org>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n",
        random.below(u64::MAX),
        random.below(u64::MAX),
    )
    .into_bytes();
    let text = out.len() + (size.saturating_sub(out.len())).min(6_000);
    while out.len() < text {
        let from = out.len();
        while out.len() < from + 70 {
            out.extend_from_slice(WORDS[random.below(WORDS.len() as u64) as usize].as_bytes());
            out.push(b' ');
        }
        out.push(b'\n');
    }
    while out.len() < size {
        for _ in 0..8 {
            let mut bits = random.below(u64::MAX);
            for _ in 0..9 {
                out.push(BASE64[(bits & 63) as usize]);
                bits >>= 6;
            }
        }
        out.push(b'\n');
    }
    out
}

/// The flags of a message as Maildir letters, sorted.
pub fn letters(number: u64) -> String {
    let mut random = Random(!number);
    // Most of a mailbox has been read.
    let mut letters: String =
        LETTERS.iter().filter(|(_, one_in)| random.below(*one_in) == 0).map(|(c, _)| *c).collect();
    if random.below(10) > 0 {
        letters.push('S');
    }
    letters
}

/// When a message arrived, in seconds since 1970.
pub fn date(number: u64) -> i64 {
    1_600_000_000 + (number % 100_000_000) as i64
}

fn size(random: &mut Random) -> usize {
    let mut unit = || (random.below(1 << 53) + 1) as f64 / (1u64 << 53) as f64;
    let (a, b) = (unit(), unit());
    let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
    (MEDIAN * (SIGMA * normal).exp()).min(LARGEST) as usize
}
