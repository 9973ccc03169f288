# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mailsync_global_optspecs
    string join \n c/config= o/set= v/verbose d/debug= info h/help V/version
end

function __fish_mailsync_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mailsync_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mailsync_using_subcommand
    set -l cmd (__fish_mailsync_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mailsync -n "__fish_mailsync_needs_command" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_needs_command" -s o -l set -d 'Set a key of the config for this run, as in general.max_sync_accounts=1' -r
complete -c mailsync -n "__fish_mailsync_needs_command" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_needs_command" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_needs_command" -l info -d 'The same as the command info'
complete -c mailsync -n "__fish_mailsync_needs_command" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_needs_command" -s V -l version -d 'Print version'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "sync" -d 'Bring accounts in step'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "watch" -d 'Keep accounts in step for as long as it runs'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "info" -d 'Show servers, folders and what the rules make of them; changes nothing'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "status" -d 'Tell how things are with the accounts that a running `mailsync watch` keeps'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "trigger" -d 'Have a running `mailsync watch` sync an account now, and wait for nothing'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "problems" -d 'List messages that wait after errors, or try them again'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "undelete" -d 'List messages that were deleted here and are still kept, or put them back; asks no server'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "check" -d 'Verify what is remembered against both sides, message by message; changes neither'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "password" -d 'Store a password in the keyring, write to standard output the one that is used, or forget it'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "login" -d 'Get OAuth2 tokens: somebody logs in with a browser, or on another device'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "mutt-mailboxes" -d 'Write mutt\'s `mailboxes` commands, from what the last sync learned'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "completions" -d 'Write completions for a shell'
complete -c mailsync -n "__fish_mailsync_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s f -l folder -d 'Only this folder, by its name on either side; a pattern as in the config' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s u -l ui -d 'How the run is shown [default: `ui` of the config]' -r -f -a "auto\t'Bars where standard error is a terminal, else lines'
basic\t'A line for each thing done'
quiet\t'Nothing unless something failed or was held'"
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s n -l dry-run -d 'Show what would be done, and do nothing'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s q -l quiet -d 'Say nothing unless something fails'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -l allow-delete -d 'Do deletions that were held because there are so many of them, this once'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -l restore -d 'Copy back what is gone on one side, where that was held, this once'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -l retry -d 'Try messages again now that wait after errors'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -l full -d 'Compare every message of both sides, whatever they say of what changed'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand sync" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mailsync -n "__fish_mailsync_using_subcommand watch" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand watch" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand watch" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand watch" -s q -l quiet -d 'Say nothing unless something fails'
complete -c mailsync -n "__fish_mailsync_using_subcommand watch" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand watch" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand info" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand info" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand info" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand info" -l json -d 'Write JSON'
complete -c mailsync -n "__fish_mailsync_using_subcommand info" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand info" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand status" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand status" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand status" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand status" -l json -d 'Write JSON, for status bars'
complete -c mailsync -n "__fish_mailsync_using_subcommand status" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand status" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand trigger" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand trigger" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand trigger" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand trigger" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand trigger" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand problems" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand problems" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand problems" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand problems" -l json -d 'Write JSON'
complete -c mailsync -n "__fish_mailsync_using_subcommand problems" -l retry -d 'Sync the folders of these messages, and try them again now'
complete -c mailsync -n "__fish_mailsync_using_subcommand problems" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand problems" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -s f -l folder -d 'Only what was deleted in this folder; a pattern as in the config' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -l since -d 'Only what was deleted within this time, as 2d or 12h' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -l all -d 'Put back all that the list shows'
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -s n -l dry-run -d 'Show what would be put back, and do nothing'
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -l json -d 'Write the list as JSON'
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand undelete" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -s f -l folder -d 'Only this folder, by its name on either side; a pattern as in the config' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -l deep -d 'Compare the content of every message: downloads all of them'
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -l repair -d 'Mend what is remembered; messages are never changed'
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -l json -d 'Write JSON'
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand check" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -l local -d 'The server on the local side, of an account that has one there'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -f -a "set" -d 'Ask for it, or read a line of standard input where that is no terminal, and store it in the keyring'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -f -a "get" -d 'Find it where a sync would, and write it to standard output'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -f -a "forget" -d 'Remove it from the keyring, or the tokens that a login gave'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and not __fish_seen_subcommand_from set get forget help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from set" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from set" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from set" -l local -d 'The server on the local side, of an account that has one there'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from get" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from get" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from get" -l local -d 'The server on the local side, of an account that has one there'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from get" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from forget" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from forget" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from forget" -l local -d 'The server on the local side, of an account that has one there'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from help" -f -a "set" -d 'Ask for it, or read a line of standard input where that is no terminal, and store it in the keyring'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from help" -f -a "get" -d 'Find it where a sync would, and write it to standard output'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Remove it from the keyring, or the tokens that a login gave'
complete -c mailsync -n "__fish_mailsync_using_subcommand password; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mailsync -n "__fish_mailsync_using_subcommand login" -s o -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand login" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand login" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand login" -l device -d 'Log in on another device: for machines without a browser'
complete -c mailsync -n "__fish_mailsync_using_subcommand login" -l local -d 'For the account\'s local side, where that is an IMAP server too'
complete -c mailsync -n "__fish_mailsync_using_subcommand login" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand login" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -l template -d 'Template to use: a name (default, named, mbnames, hooks, or one of your own) or a file' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -l dialect -d 'Program that reads the result' -r -f -a "mutt\t''
neomutt\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -s o -l output -d 'File to replace, if its content changes; standard output where none is given' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -l set -d 'Set a key of the config for this run' -r
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand mutt-mailboxes" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand completions" -s c -l config -d 'The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]' -r -F
complete -c mailsync -n "__fish_mailsync_using_subcommand completions" -s d -l debug -d 'Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked' -r -f -a "imap\t''
maildir\t''
state\t''
sync\t''"
complete -c mailsync -n "__fish_mailsync_using_subcommand completions" -s v -l verbose -d 'Say on standard error what is done; twice for all topics of -d'
complete -c mailsync -n "__fish_mailsync_using_subcommand completions" -s h -l help -d 'Print help'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "sync" -d 'Bring accounts in step'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "watch" -d 'Keep accounts in step for as long as it runs'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "info" -d 'Show servers, folders and what the rules make of them; changes nothing'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "status" -d 'Tell how things are with the accounts that a running `mailsync watch` keeps'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "trigger" -d 'Have a running `mailsync watch` sync an account now, and wait for nothing'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "problems" -d 'List messages that wait after errors, or try them again'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "undelete" -d 'List messages that were deleted here and are still kept, or put them back; asks no server'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "check" -d 'Verify what is remembered against both sides, message by message; changes neither'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "password" -d 'Store a password in the keyring, write to standard output the one that is used, or forget it'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "login" -d 'Get OAuth2 tokens: somebody logs in with a browser, or on another device'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "mutt-mailboxes" -d 'Write mutt\'s `mailboxes` commands, from what the last sync learned'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "completions" -d 'Write completions for a shell'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and not __fish_seen_subcommand_from sync watch info status trigger problems undelete check password login mutt-mailboxes completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and __fish_seen_subcommand_from password" -f -a "set" -d 'Ask for it, or read a line of standard input where that is no terminal, and store it in the keyring'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and __fish_seen_subcommand_from password" -f -a "get" -d 'Find it where a sync would, and write it to standard output'
complete -c mailsync -n "__fish_mailsync_using_subcommand help; and __fish_seen_subcommand_from password" -f -a "forget" -d 'Remove it from the keyring, or the tokens that a login gave'
