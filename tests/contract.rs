//! One suite for every store: what the traits `Store` and `Folder` promise.
//!
//! Every check gets a store of its own, or a folder of its own in a shared one; a second store opened on the same
//! place plays the other program that changes things meanwhile.

#[path = "contract/suite.rs"]
mod suite;
mod support;

use mailsync::mail::{FlagSpace, Flags, FolderName, Login, Secret};
use mailsync::net::{TlsMode, TlsSettings};
use mailsync::store::Stop;
use mailsync::store::imap::{ImapOpener, ImapSettings};
use mailsync::store::maildir::{Bin, Layout, MaildirOpener, MaildirSettings, path_of, wire_for};
use mailsync::store::memory::{MemorySettings, World};
use std::sync::Arc;
use std::time::Duration;
use suite::Subject;
use support::dovecot::{Dovecot, Options};

fn memory(settings: MemorySettings) -> Subject {
    let world = World::new(settings);
    let doomed = world.clone();
    Subject {
        opener: Box::new(world.opener()),
        settle: Some(Duration::ZERO).filter(|_| world.settings().condstore),
        bears_marks: world.settings().marks,
        holds_any_byte: true,
        remove_folder: Some(Box::new(move |name: &FolderName| assert!(doomed.remove_folder(name)))),
        keep: Box::new(()),
    }
}

fn maildir(layout: Layout, info_separator: u8) -> Subject {
    maildir_that(layout, info_separator, false)
}

/// A tree of Maildirs, which may keep what is removed.
fn maildir_that(layout: Layout, info_separator: u8, keeps: bool) -> Subject {
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("Mail");
    let bin = keeps.then(|| Bin::new(place.path().join("bin")));
    let settings = MaildirSettings { layout, info_separator, bin, ..MaildirSettings::new(&root) };
    Subject {
        opener: Box::new(MaildirOpener::new(settings)),
        settle: Some(Duration::from_millis(2200)),
        bears_marks: true,
        holds_any_byte: true,
        remove_folder: Some(Box::new(move |name: &FolderName| {
            let dir = path_of(&root, &wire_for(layout, name).expect("a wire name"));
            std::fs::remove_dir_all(dir).expect("removed");
        })),
        keep: Box::new(place),
    }
}

contract!(memory_as_a_server, memory(MemorySettings::server()));
contract!(memory_as_a_server_without_extensions, memory(MemorySettings::plain_server()));
contract!(memory_as_a_maildir, memory(MemorySettings::maildir()));
contract!(
    memory_with_few_flags,
    memory(MemorySettings {
        space: FlagSpace {
            fixed: Flags::from_iter(["\\Seen", "\\Flagged"].iter().filter_map(|f| mailsync::mail::Flag::from_imap(f))),
            more: 1
        },
        ..MemorySettings::server()
    })
);
contract!(maildir_nested, maildir(Layout::Nested, b':'));
contract!(maildir_that_keeps_what_is_removed, maildir_that(Layout::MaildirPlusPlus, b':', true));
contract!(maildir_nested_without_colons, maildir(Layout::Nested, b'!'));
contract!(maildir_plus_plus, maildir(Layout::MaildirPlusPlus, b':'));
contract!(maildir_flat_with_dots, maildir(Layout::Flat('.'), b':'));
contract!(maildir_flat_with_another_separator, maildir(Layout::Flat('+'), b':'));

/// Dovecot as `options` say, with only those of its capabilities that are not named in `without`.
fn imap(options: Options, without: &[&str], condstore: bool) -> Subject {
    let (prefix, separator) = (options.prefix.clone(), options.separator.to_string());
    let server = Arc::new(Dovecot::with(options));
    let password = server.password("alice").to_owned();
    let login = Arc::new(move || Ok(Login { user: "alice".to_owned(), password: Secret::new(password.as_str()) }));
    let settings = ImapSettings {
        port: server.port,
        tls: TlsSettings { mode: TlsMode::None, ..TlsSettings::default() },
        disable_capabilities: without.iter().map(|name| (*name).to_owned()).collect(),
        ..ImapSettings::new("127.0.0.1", login)
    };
    let outside = server.clone();
    let server_name = move |name: &FolderName| format!("{prefix}{}", name.parts().join(&separator));
    Subject {
        opener: Box::new(ImapOpener::new(settings, Stop::new())),
        settle: Some(Duration::ZERO).filter(|_| condstore),
        bears_marks: false,
        holds_any_byte: false,
        remove_folder: Some(Box::new(move |name: &FolderName| {
            outside.login("alice").delete_folder(&server_name(name))
        })),
        keep: Box::new(server),
    }
}

// With all extensions and with none: tests/imap_store.rs.
contract!(
    dovecot_with_condstore_alone,
    imap(Options::default(), &["QRESYNC", "LIST-STATUS", "MULTIAPPEND", "LITERAL+", "MOVE"], true)
);
contract!(
    dovecot_with_dots_and_a_prefix,
    imap(
        Options {
            separator: '.',
            prefix: "INBOX.".to_owned(),
            mail_location: "maildir:~/mail".to_owned(),
            ..Options::default()
        },
        &[],
        true
    )
);
