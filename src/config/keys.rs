//! Every key that the config file knows, by the table it stands in.

/// A table of the file: what it is called in messages and the manual, and its keys.
pub struct Table {
    pub name: &'static str,
    pub keys: &'static [&'static str],
}

pub const ROOT: Table = Table { name: "the file", keys: &["general", "account", "mutt", "hooks", "watch"] };

pub const GENERAL: Table = Table {
    name: "[general]",
    keys: &["state_dir", "max_sync_accounts", "ui", "max_delete", "max_delete_folder", "retain_deleted"],
};

pub const ACCOUNT: Table = Table {
    name: "[account.NAME]",
    keys: &[
        "enabled",
        "remote",
        "local",
        "folders",
        "mode",
        "trash",
        "max_delete",
        "max_delete_folder",
        "retain_deleted",
        "hooks",
        "watch",
    ],
};

pub const WATCH: Table =
    Table { name: "[watch] or [account.NAME.watch]", keys: &["interval", "idle", "full_every", "pause_on"] };

pub const IMAP: Table = Table {
    name: "an IMAP side",
    keys: &[
        "type",
        "host",
        "port",
        "user",
        "tls",
        "allow_plaintext",
        "ca_file",
        "pin",
        "tls_min_version",
        "client_cert",
        "client_key",
        "client_cert_password",
        "proxy",
        "address_family",
        "connections",
        "timeout",
        "auth",
        "authzid",
        "password",
        "password_command",
        "token_command",
        "oauth2",
        "password_file",
        "password_env",
        "keyring",
        "netrc",
        "command",
        "disable_capabilities",
        "send_id",
        "pipeline",
        "compress",
    ],
};

pub const OAUTH2: Table = Table { name: "`oauth2`", keys: &["provider", "client_id", "client_secret", "store"] };

pub const PROVIDER: Table =
    Table { name: "`provider` of `oauth2`", keys: &["auth_url", "token_url", "device_url", "scope"] };

pub const MAILDIR: Table =
    Table { name: "a Maildir side", keys: &["type", "path", "layout", "separator", "info_separator"] };

pub const FOLDERS: Table = Table {
    name: "[account.NAME.folders]",
    keys: &["include", "exclude", "rename", "subscribed_only", "delete", "roles", "modes"],
};

pub const RENAME: Table =
    Table { name: "a rename rule", keys: &["lower", "from", "to", "prefix", "folder", "re", "back"] };

pub const RENAME_BACK: Table = Table { name: "`back` of a rename rule", keys: &["re", "to"] };

pub const FOLDER_MODE: Table = Table { name: "an entry of `modes`", keys: &["folder", "mode"] };

pub const MUTT: Table = Table {
    name: "[mutt]",
    keys: &[
        "file",
        "template",
        "dialect",
        "paths",
        "folder",
        "accounts",
        "sort",
        "header",
        "item",
        "separator",
        "footer",
    ],
};

pub const HOOKS: Table = Table {
    name: "[hooks] or [account.NAME.hooks]",
    keys: &["pre_sync", "post_sync", "new_mail", "error", "timeout", "subjects"],
};

/// All tables but those whose keys the user names.
pub const ALL: [&Table; 13] = [
    &ROOT,
    &GENERAL,
    &ACCOUNT,
    &IMAP,
    &OAUTH2,
    &PROVIDER,
    &MAILDIR,
    &FOLDERS,
    &RENAME,
    &RENAME_BACK,
    &FOLDER_MODE,
    &MUTT,
    &HOOKS,
];

/// The tables in which `key` may stand, in words.
pub fn homes(key: &str) -> Option<String> {
    let homes: Vec<&str> = ALL.iter().filter(|table| table.keys.contains(&key)).map(|table| table.name).collect();
    if homes.is_empty() { None } else { Some(homes.join(" or ")) }
}
