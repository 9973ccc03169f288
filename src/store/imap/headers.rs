//! What messages are, without their content: size, Message-ID, EMAILID.

use super::conn::{Conn, during};
use super::download::{email_id_item, email_id_of};
use super::error::ImapError;
use super::token::{Response, UidSet};
use super::wire::{Command, SET_MAX};
use crate::mail::{Identity, Key};
use crate::store::draft::message_id;
use crate::store::{Identified, Reach, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// What answers to questions for size, Message-ID and EMAILID say.
#[derive(Clone, Default)]
pub struct Headers(BTreeMap<u32, (bool, Identity)>);

impl Headers {
    pub fn take(&mut self, response: &Response) {
        let Response::Fetch(fetch) = response else { return };
        let Some(uid) = fetch.uid else { return };
        let email_id = email_id_of(fetch);
        if fetch.size.is_none() && fetch.header.is_none() && email_id.is_none() {
            return;
        }
        let (asked, identity) = self.0.entry(uid).or_default();
        // A line with flags alone is news from elsewhere, not an answer.
        *asked |= fetch.size.is_some() || fetch.header.is_some();
        identity.size = fetch.size.or(identity.size);
        identity.email_id = email_id.or(identity.email_id.take());
        if let Some(header) = &fetch.header {
            identity.message_id = message_id(header).or(identity.message_id.take());
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn answered(&self, uid: u32) -> Option<&Identity> {
        self.0.get(&uid).and_then(|(asked, identity)| asked.then_some(identity))
    }
}

/// The questions for what [`Headers`] takes.
pub fn header_commands(conn: &Conn, uids: &UidSet) -> Vec<Command> {
    uids.chunks(SET_MAX).iter().map(|set| header_command(conn, set, uids.len())).collect()
}

/// The question for what [`Headers`] takes, of a set of so many messages.
pub fn header_command(conn: &Conn, set: &str, count: u64) -> Command {
    let item = email_id_item(conn);
    let items = format!(" {set} (UID RFC822.SIZE{item} BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])");
    Command::new("UID FETCH").text(items).of_few(count)
}

/// Size, Message-ID and EMAILID of messages, without their content. Where the server refuses a set, it is halved until
/// it is clear which message is to blame.
pub fn headers(conn: &mut Conn, uids: &UidSet) -> Result<Identified, StoreError> {
    let mut found = Headers::default();
    let mut unread: Vec<(Key, StoreError)> = Vec::new();
    let mut sets = vec![uids.clone()];
    while !sets.is_empty() {
        let asked = sets.iter().enumerate();
        let asked = asked.flat_map(|(at, set)| header_commands(conn, set).into_iter().map(move |ask| (at, ask)));
        let (of, commands): (Vec<usize>, Vec<Command>) = asked.unzip();
        let ended = conn.run_all(&commands, &mut |response| found.take(&response));
        let mut refused = BTreeSet::new();
        for (at, status) in of.into_iter().zip(ended.map_err(during("identify"))?) {
            let Err(error) = ImapError::check("UID FETCH", status) else { continue };
            let error = error.into_store(Reach::Message, "identify");
            if error.reach > Reach::Message {
                return Err(error);
            }
            match sets[at].len() {
                1 => unread.extend(sets[at].iter().map(|uid| (Key::Uid(uid), error.clone()))),
                _ => drop(refused.insert(at)),
            }
        }
        let halves = |at: usize| {
            let all: Vec<u32> = sets[at].iter().collect();
            all.chunks(all.len().div_ceil(2)).map(|half| half.iter().copied().collect::<UidSet>()).collect::<Vec<_>>()
        };
        sets = refused.into_iter().flat_map(halves).collect();
    }
    // A server may refuse, and have sent it all the same.
    unread.retain(|(key, _)| key.uid().is_none_or(|uid| found.answered(uid).is_none()));
    let known = uids.iter().filter_map(|uid| Some((Key::Uid(uid), found.answered(uid)?.clone()))).collect();
    Ok(Identified { known, unread })
}
