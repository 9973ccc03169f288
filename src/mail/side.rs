//! The two sides of a pair, and whatever exists on both.

use std::fmt;
use std::ops::{Index, IndexMut};

/// One of the two sides that are kept in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Local,
    Remote,
}

impl Side {
    /// Both sides, in the order in which they are reported.
    pub const BOTH: [Side; 2] = [Side::Local, Side::Remote];

    /// The opposite side.
    pub fn other(self) -> Side {
        match self {
            Side::Local => Side::Remote,
            Side::Remote => Side::Local,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Local => "local",
            Side::Remote => "remote",
        })
    }
}

/// A value for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sides<T> {
    pub local: T,
    pub remote: T,
}

impl<T> Sides<T> {
    pub fn new(local: T, remote: T) -> Self {
        Sides { local, remote }
    }

    /// Builds both values with one function.
    pub fn from_fn(mut f: impl FnMut(Side) -> T) -> Self {
        Sides { local: f(Side::Local), remote: f(Side::Remote) }
    }

    /// Builds both values with one function; the first failure ends it.
    pub fn try_from_fn<E>(mut f: impl FnMut(Side) -> Result<T, E>) -> Result<Self, E> {
        Ok(Sides { local: f(Side::Local)?, remote: f(Side::Remote)? })
    }

    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Sides<U> {
        Sides { local: f(self.local), remote: f(self.remote) }
    }

    pub fn as_ref(&self) -> Sides<&T> {
        Sides { local: &self.local, remote: &self.remote }
    }

    pub fn as_mut(&mut self) -> Sides<&mut T> {
        Sides { local: &mut self.local, remote: &mut self.remote }
    }

    /// The same values with the sides exchanged.
    pub fn swap(self) -> Self {
        Sides { local: self.remote, remote: self.local }
    }

    /// The two values, that of `side` first.
    pub fn from(self, side: Side) -> (T, T) {
        match side {
            Side::Local => (self.local, self.remote),
            Side::Remote => (self.remote, self.local),
        }
    }

    /// A pair whose value on `side` is `one`.
    pub fn with(side: Side, one: T, other: T) -> Self {
        match side {
            Side::Local => Sides { local: one, remote: other },
            Side::Remote => Sides { local: other, remote: one },
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Side, &T)> {
        [(Side::Local, &self.local), (Side::Remote, &self.remote)].into_iter()
    }
}

impl<T> Index<Side> for Sides<T> {
    type Output = T;
    fn index(&self, side: Side) -> &T {
        match side {
            Side::Local => &self.local,
            Side::Remote => &self.remote,
        }
    }
}

impl<T> IndexMut<Side> for Sides<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }
}
