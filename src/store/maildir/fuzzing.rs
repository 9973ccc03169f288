//! What the fuzz targets reach of file names and keywords, which nobody else sees: fuzz/README.md tells what for.

use super::filename::{self, Parsed};
use super::keywords::Keywords;
use crate::mail::{FlagSpace, Flags};

pub use super::layout::{is_wire, name_of};

/// The names of a folder's keywords, as `dovecot-keywords` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Keywords);

impl Names {
    pub fn parse(text: &[u8]) -> Names {
        Names(Keywords::parse(text))
    }

    /// The file that says the same.
    pub fn text(&self) -> String {
        self.0.text()
    }

    /// What a folder can hold where the letters in `nameless` are in use without a name.
    pub fn space(&self, nameless: u32) -> FlagSpace {
        self.0.space(nameless)
    }
}

/// A file name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<'a> {
    pub unique: &'a [u8],
    /// The separator and what stands behind `2,`.
    pub info: Option<(u8, &'a [u8])>,
    pub flags: Flags,
    /// Lower-case letters in use that have no name, as a bit each.
    pub nameless: u32,
}

pub fn read<'a>(name: &'a [u8], names: &Names) -> Read<'a> {
    let parsed: Parsed<'a> = filename::parse(name);
    let (flags, nameless) = (parsed.flags(&names.0), parsed.nameless(&names.0));
    Read { unique: parsed.unique, info: parsed.info, flags, nameless }
}

/// The name of the same file with these flags.
pub fn with_flags(name: &[u8], flags: &Flags, names: &Names, separator: u8) -> Vec<u8> {
    filename::parse(name).with_flags(flags, &names.0, separator)
}

/// The letters that a file takes along to a folder with other keywords, and what stands behind them.
pub fn carried<'a>(name: &'a [u8], source: &Names, target: &Names) -> (Vec<u8>, &'a [u8]) {
    filename::parse(name).carried(&source.0, &target.0)
}
