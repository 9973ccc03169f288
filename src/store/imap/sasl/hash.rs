//! What SCRAM and CRAM-MD5 make of hash functions: HMAC, and the stretching of a password.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A hash function. All of them work on blocks of 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Md5,
    Sha1,
    Sha256,
}

const BLOCK: usize = 64;

impl Hash {
    pub fn digest(self, text: &[u8]) -> Vec<u8> {
        match self {
            Hash::Md5 => Md5::digest(text).to_vec(),
            Hash::Sha1 => Sha1::digest(text).to_vec(),
            Hash::Sha256 => Sha256::digest(text).to_vec(),
        }
    }

    /// HMAC (RFC 2104).
    pub fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self {
            Hash::Md5 => Keyed::<Md5>::new(key).sign(&[text]),
            Hash::Sha1 => Keyed::<Sha1>::new(key).sign(&[text]),
            Hash::Sha256 => Keyed::<Sha256>::new(key).sign(&[text]),
        }
    }

    /// `Hi` of RFC 5802 section 2.2: the first block of PBKDF2 (RFC 8018 section 5.2). Takes time by the `count`.
    pub fn stretch(self, password: &[u8], salt: &[u8], count: u32) -> Vec<u8> {
        match self {
            Hash::Md5 => Keyed::<Md5>::new(password).stretch(salt, count),
            Hash::Sha1 => Keyed::<Sha1>::new(password).stretch(salt, count),
            Hash::Sha256 => Keyed::<Sha256>::new(password).stretch(salt, count),
        }
    }
}

/// HMAC with a key that both hashes have already taken in, so that stretching costs two blocks a turn and not four.
struct Keyed<D> {
    inner: D,
    outer: D,
}

impl<D: Digest + Clone> Keyed<D> {
    fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        let short = D::digest(key);
        let key = if key.len() > BLOCK { short.as_slice() } else { key };
        block[..key.len()].copy_from_slice(key);
        let padded = |pad: u8| D::new().chain_update(block.map(|byte| byte ^ pad));
        Keyed { inner: padded(0x36), outer: padded(0x5c) }
    }

    fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let inner = parts.iter().fold(self.inner.clone(), |hash, part| hash.chain_update(part)).finalize();
        self.outer.clone().chain_update(inner).finalize().to_vec()
    }

    fn stretch(&self, salt: &[u8], count: u32) -> Vec<u8> {
        let mut last = self.sign(&[salt, &1_u32.to_be_bytes()]);
        let mut sum = last.clone();
        for _ in 1..count {
            last = self.sign(&[&last]);
            sum.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 2202 (MD5, SHA-1) and RFC 4231 (SHA-256): the second test case, and the one with a key beyond a block.
    #[test]
    fn hmac_is_that_of_the_standards() {
        let long = [0xaa; 131];
        for (hash, key, text, mac) in [
            (Hash::Md5, b"Jefe".as_slice(), "what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
            (
                Hash::Md5,
                &long[..80],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
            ),
            (Hash::Sha1, b"Jefe", "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                Hash::Sha1,
                &long[..80],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "aa4ae5e15272d00e95705637ce8a3b55ed402112",
            ),
            (
                Hash::Sha256,
                b"Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Hash::Sha256,
                &long,
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&hash.hmac(key, text.as_bytes())), mac, "{hash:?}");
        }
    }

    /// RFC 6070.
    #[test]
    fn stretching_is_pbkdf2() {
        for (count, sum) in [
            (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (4096, "4b007901b765489abead49d926f721d065a429c1"),
        ] {
            let stretched = hex(&Hash::Sha1.stretch(b"password", b"salt", count));
            assert_eq!(stretched, sum);
        }
    }
}
