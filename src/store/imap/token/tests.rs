use super::*;
use proptest::prelude::*;

fn fetched(line: &str) -> Fetch {
    match parse(line.as_bytes()) {
        Response::Fetch(fetch) => fetch,
        other => panic!("{line}: {other:?}"),
    }
}

fn listed(line: &[u8]) -> Listed {
    match parse(line) {
        Response::List(listed) => listed,
        other => panic!("{}: {other:?}", line.escape_ascii()),
    }
}

fn code(line: &str) -> Option<Code> {
    match parse(line.as_bytes()) {
        Response::Tagged { status, .. } | Response::Status(status) => status.code,
        other => panic!("{line}: {other:?}"),
    }
}

fn set(text: &str) -> UidSet {
    UidSet::parse(text.as_bytes()).expect("a set")
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn statuses_are_read_with_and_without_code_and_text() {
    for (line, kind, code, text) in [
        ("a1 OK done\r\n", StatusKind::Ok, None, "done"),
        ("a1 ok\n", StatusKind::Ok, None, ""),
        ("a1  NO  [OVERQUOTA] full \r\n", StatusKind::No, Some(Code::OverQuota), "full"),
        ("a1 NO [overquota]", StatusKind::No, Some(Code::OverQuota), ""),
        ("a1 OK Success [THROTTLED]\r\n", StatusKind::Ok, Some(Code::Throttled), "Success"),
        ("a1 BAD [", StatusKind::Bad, None, "["),
        ("a1 NO [X-NEW 1 (2 3)] text", StatusKind::No, Some(Code::Other("X-NEW".into())), "text"),
        ("a1 OK literal{5}\r\n", StatusKind::Ok, None, "literal{5}"),
    ] {
        let Response::Tagged { tag, status } = parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!((tag.as_str(), status), ("a1", Status { kind, code, text: text.to_owned() }), "{line}");
    }
    let latin1 = parse(b"* OK Mailbox ge\xf6ffnet\n");
    assert_eq!(latin1, Response::Status(Status { kind: StatusKind::Ok, code: None, text: "Mailbox geöffnet".into() }));
    assert!(matches!(parse(b"* BYE Too busy\r\n"), Response::Status(Status { kind: StatusKind::Bye, .. })));
    assert!(matches!(parse(b"* PREAUTH hi\r\n"), Response::Status(Status { kind: StatusKind::Preauth, .. })));
    assert!(matches!(parse(b"<body BAD Command Error. 10\r\n"), Response::Tagged { tag, .. } if tag == "<body"));
}

#[test]
fn codes_are_read() {
    let pairs = |pairs: &[(u32, u32)]| Code::CopyUid { validity: 14, pairs: pairs.to_vec() };
    for (text, want) in [
        ("[ALERT]", Code::Alert),
        ("[CAPABILITY IMAP4rev1  LITERAL+ ]", Code::Capability(strings(&["IMAP4REV1", "LITERAL+"]))),
        ("[PERMANENTFLAGS (\\Answered a]b \\*)]", Code::PermanentFlags(strings(&["\\Answered", "a]b", "\\*"]))),
        ("[PERMANENTFLAGS ()]", Code::PermanentFlags(vec![])),
        ("[UIDVALIDITY 3857529045]", Code::UidValidity(3_857_529_045)),
        ("[UIDVALIDITY 0]", Code::UidValidity(0)),
        ("[UIDNEXT 4294967296]", Code::Other("UIDNEXT".into())),
        ("[HIGHESTMODSEQ 1965828]", Code::HighestModSeq(1_965_828)),
        ("[NOMODSEQ]", Code::NoModSeq),
        ("[READ-ONLY]", Code::ReadOnly),
        ("[READ-WRITE]", Code::ReadWrite),
        ("[TRYCREATE]", Code::TryCreate),
        ("[CLOSED]", Code::Closed),
        ("[MAILBOXID (F2212ea87)]", Code::MailboxId("F2212ea87".into())),
        ("[APPENDUID 641429830 111]", Code::AppendUid { validity: 641_429_830, uids: vec![111] }),
        ("[APPENDUID 1 7:9,4]", Code::AppendUid { validity: 1, uids: vec![7, 8, 9, 4] }),
        ("[APPENDUID 1 1:4294967295]", Code::Other("APPENDUID".into())),
        ("[COPYUID 14 304,319:320 3956:3958]", pairs(&[(304, 3956), (319, 3957), (320, 3958)])),
        ("[COPYUID 14 5,3 10:11]", pairs(&[(5, 10), (3, 11)])),
        ("[COPYUID 14  ]", Code::Other("COPYUID".into())),
        ("[COPYUID 14 1:3 7:8]", Code::Other("COPYUID".into())),
        ("[MODIFIED 7,9]", Code::Modified(set("7,9"))),
        ("[AUTHENTICATIONFAILED]", Code::AuthenticationFailed),
        ("[ALREADYEXISTS]", Code::AlreadyExists),
        ("[NONEXISTENT]", Code::NonExistent),
        ("[LIMIT]", Code::Limit),
        ("[TOOBIG]", Code::TooBig),
        ("[UNAVAILABLE]", Code::Unavailable),
        ("[INUSE]", Code::InUse),
        ("[CANNOT]", Code::Cannot),
        ("[UNSEEN 27]", Code::Unseen(27)),
    ] {
        for line in [format!("* OK {text}\n"), format!("a NO {text} then some [text]\r\n")] {
            assert_eq!(code(&line), Some(want.clone()), "{line}");
        }
        assert!(text.to_ascii_uppercase().starts_with(&format!("[{}", want.name())), "{text} is {}", want.name());
    }
}

#[test]
fn fetch_reads_items_in_all_their_forms() {
    let line = "* 12 FETCH (FLAGS (\\Seen NonJunk a[b] 100% ) UID 3000000000 MODSEQ (65402) RFC822.SIZE 44 \
                INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" EMAILID (M6d99) X-GM-MSGID 1278455344230334865)\r\n";
    let fetch = fetched(line);
    assert_eq!((fetch.seq, fetch.uid, fetch.modseq, fetch.size), (12, Some(3_000_000_000), Some(65402), Some(44)));
    assert_eq!(fetch.flags, Some(strings(&["\\Seen", "NonJunk", "a[b]", "100%"])));
    assert_eq!(fetch.date, Some(837_596_665));
    assert_eq!((fetch.email_id.as_deref(), fetch.gm_msgid), (Some("M6d99"), Some(1_278_455_344_230_334_865)));
}

#[test]
fn odd_fetches_lose_only_what_makes_no_sense() {
    let uid = |line: &str| fetched(line).uid;
    assert_eq!(uid("* 11487 FETCH (UID 19436 )\n"), Some(19436));
    assert_eq!(uid("*  1  FETCH  ( FLAGS ( \\Seen  \\ )  UID  7 ) \r\n"), Some(7));
    assert_eq!(uid("* 1 FETCH (X-FOO (a (b \"c)\" {3}\r\n)((\r\n d)) PREVIEW NIL SAVEDATE \"x\" UID 7)\r\n"), Some(7));
    assert_eq!(uid("* 1 FETCH (MODSEQ 5 RFC822.SIZE -29 UID 7)"), Some(7));
    assert_eq!(fetched("* 1 FETCH (MODSEQ 5 RFC822.SIZE -29 UID 7)").size, None);
    assert_eq!(fetched("* 1 FETCH (MODSEQ 5)").modseq, Some(5));
    assert_eq!(fetched("* 1 FETCH (RFC822.SIZE 9999999999)").size, Some(9_999_999_999));
    assert_eq!(uid("* 1 FETCH (UID 0 FLAGS ())"), None);
    assert_eq!(uid("* 1 FETCH (UID 4294967296 FLAGS ())"), None);
    assert_eq!(uid("* 0 FETCH (UID 7"), Some(7));
    assert_eq!(fetched("* 1 FETCH ()"), Fetch { seq: 1, ..Fetch::default() });
    assert_eq!(fetched("* 1 FETCH"), Fetch { seq: 1, ..Fetch::default() });
    assert_eq!(fetched("* 1 FETCH (INTERNALDATE NIL UID 7)").date, None);
    assert_eq!(uid("* 1 FETCH (BODYSTRUCTURE ((\"TEXT\" \"PLAIN\" NIL)(NIL) \"MIXED\" UID 7) UID 8)"), Some(8));
    assert_eq!(uid("* 1 FETCH (ENVELOPE (NIL {2}\r\nab NIL) UID 8)"), Some(8));
    let eight_bit = parse(b"* 1 FETCH (FLAGS (f\xfcr \xc3\xa4) UID 7)");
    assert!(matches!(eight_bit, Response::Fetch(f) if f.flags == Some(strings(&["für", "ä"])) && f.uid == Some(7)));
}

#[test]
fn bodies_come_streamed_inline_or_not_at_all() {
    assert_eq!(fetched("* 1 FETCH (UID 1 BODY[] \"\")").body, Some(Body::Inline(vec![])));
    assert_eq!(fetched("* 1 FETCH (UID 1 BODY[] NIL)").body, Some(Body::Nil));
    assert_eq!(fetched("* 1 FETCH (BODY[]<0> {3}\r\na)b UID 1)").body, Some(Body::Inline(b"a)b".to_vec())));
    let header = fetched("* 1 FETCH (BODY[HEADER.FIELDS (MESSAGE-ID \"DATE\")] {6}\r\nA: b\r\n UID 4)");
    assert_eq!((header.header, header.uid), (Some(b"A: b\r\n".to_vec()), Some(4)));

    let mut frame = Frame::new();
    let next = frame.line(b"* 1 FETCH (FLAGS (\\Seen) BODY[HEADER.FIELDS (X)] {4}\r\n").expect("fits");
    assert_eq!(next, Next::Gather(4));
    frame.literal(b"\r\n\r\n").expect("fits");
    assert_eq!(frame.line(b" BODY[] {40000000}\r\n").expect("fits"), Next::Stream(40_000_000));
    assert_eq!(frame.line(b" UID 9)\r\n").expect("fits"), Next::End);
    let Response::Fetch(fetch) = frame.parse() else { panic!("{frame:?}") };
    assert_eq!((fetch.uid, fetch.header), (Some(9), Some(b"\r\n\r\n".to_vec())));
    assert_eq!(fetch.body, Some(Body::Streamed(40_000_000)));

    frame.clear();
    assert_eq!(frame.line(b"* 2 FETCH (BINARY[] ~{0}\r\n").expect("fits"), Next::Stream(0));
    assert_eq!(frame.line(b")\n").expect("fits"), Next::End);
    assert!(matches!(frame.parse(), Response::Fetch(Fetch { seq: 2, body: Some(Body::Streamed(0)), .. })));
}

#[test]
fn literals_are_seen_at_the_end_of_a_line_only_and_within_bounds() {
    for (line, want) in [
        ("* LIST () \"/\" {9}\r\n", Ok(Some(9))),
        ("x {9}\n", Ok(Some(9))),
        ("x {9+}", Ok(Some(9))),
        ("x ~{9}\r\n", Ok(Some(9))),
        ("BODY[]{9}\r\n", Ok(Some(9))),
        ("x {9} \r\n", Ok(None)),
        ("x {}\r\n", Ok(None)),
        ("x {-9}\r\n", Ok(None)),
        ("x foo{9}\r\n", Ok(None)),
        ("x \"{9}\"\r\n", Ok(None)),
        ("", Ok(None)),
        ("{4294967296}\r\n", Err(FrameError::Literal(4_294_967_296))),
        ("{99999999999}\r\n", Err(FrameError::Literal(99_999_999_999))),
        ("{99999999999999999999999}\r\n", Err(FrameError::Literal(u64::MAX))),
    ] {
        assert_eq!(literal_at_end(line.as_bytes(), u64::from(u32::MAX)), want, "{line:?}");
    }
    let mut frame = Frame::new();
    assert_eq!(frame.line(b"* 1 FETCH (BODY[] {4294967296}\r\n"), Err(FrameError::Literal(4_294_967_296)));
    frame.clear();
    assert_eq!(frame.line(b"* LIST () \"/\" {2000000}\r\n"), Err(FrameError::Literal(2_000_000)));
    for line in [b"* OK see {5}\r\n".as_slice(), b"a1 NO see {5}\r\n", b"+ see {5}\r\n"] {
        frame.clear();
        assert_eq!(frame.line(line), Ok(Next::End));
    }
}

#[test]
fn only_whole_messages_are_streamed() {
    for (prefix, want) in [
        ("* 1 FETCH (UID 1 BODY[] ", true),
        ("* 1 fetch (body[]<0>", true),
        ("* 1 FETCH (BINARY[] ~", true),
        ("* 1 FETCH (RFC822  ", true),
        ("* 1 FETCH (BODY[HEADER] ", false),
        ("* 1 FETCH (BODY[1] ", false),
        ("* 1 FETCH (X-BODY[] ", false),
        ("* LIST () \"/\" BODY[] ", false),
        ("a1 OK BODY[] ", false),
    ] {
        assert_eq!(is_body_literal(prefix.as_bytes()), want, "{prefix}");
    }
}

#[test]
fn lists_are_read_in_all_their_forms() {
    for (line, attrs, delimiter, name) in [
        (r#"* LIST (\HasNoChildren) "/" "INBOX""#, &["\\HasNoChildren"][..], Some(b'/'), "INBOX"),
        (r#"* LIST (\HasChildren \) "." "Archive""#, &["\\HasChildren"], Some(b'.'), "Archive"),
        (r#"* LIST () NIL INBOX"#, &[], None, "INBOX"),
        (r#"* LIST () "" x"#, &[], None, "x"),
        (r#"* LIST () "\\" "a\\b\"c""#, &[], Some(b'\\'), "a\\b\"c"),
        (r#"* LIST () "\" "Sent""#, &[], Some(b'\\'), "Sent"),
        (r#"* LIST () "/" Sent Items "#, &[], Some(b'/'), "Sent Items"),
        (r#"* LIST () "/" 100%]x"#, &[], Some(b'/'), "100%]x"),
        (r#"* LIST () "/" "FSF \\/ GNU""#, &[], Some(b'/'), "FSF \\/ GNU"),
        (r#"* LIST (\Noselect) "/" foo ("CHILDINFO" ("SUBSCRIBED"))"#, &["\\Noselect"], Some(b'/'), "foo"),
        (r#"* LIST () "/" "foo" ("CHILDINFO" ("SUBSCRIBED"))"#, &[], Some(b'/'), "foo"),
        (r#"* LIST () / a(b)"#, &[], Some(b'/'), "a(b)"),
        ("* LIST () \"/\" {9}\r\nwith \"(\\\n\r\n", &[], Some(b'/'), "with \"(\\\n"),
        ("* xlist () \"/\" NIL\n", &[], Some(b'/'), "NIL"),
    ] {
        let want = Listed { attrs: strings(attrs), delimiter, name: name.as_bytes().to_vec() };
        assert_eq!(listed(line.as_bytes()), want, "{line}");
    }
    assert_eq!(listed(b"* LIST () \"/\" Entw\xfcrfe\r\n").name, b"Entw\xfcrfe");
    let root = listed(b"* LIST (\\Noselect) \"/\" \"\"");
    assert_eq!((root.delimiter, root.name.as_slice()), (Some(b'/'), &b""[..]));
    assert_eq!(parse(b"* LIST () \"/\" "), Response::Junk);
    assert_eq!(parse(b"* LIST"), Response::Junk);
    assert!(matches!(parse(b"* LSUB () \".\" \"a.b\""), Response::Lsub(l) if l.name == b"a.b" && !l.has("\\x")));
}

#[test]
fn mailbox_statuses_are_read() {
    let status = |line: &str| match parse(line.as_bytes()) {
        Response::MailboxStatus(status) => status,
        other => panic!("{line}: {other:?}"),
    };
    let whole = status(
        "* STATUS \"a b\" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 5 UNSEEN 1 HIGHESTMODSEQ 9 MAILBOXID (F1) X-A (b c) SIZE 3)",
    );
    let want = MailboxStatus {
        name: b"a b".to_vec(),
        messages: Some(3),
        uidnext: Some(4),
        uidvalidity: Some(5),
        unseen: Some(1),
        highestmodseq: Some(9),
        mailboxid: Some("F1".into()),
    };
    assert_eq!(whole, want);
    assert_eq!(status("* STATUS INBOX ()\r\n"), MailboxStatus { name: b"INBOX".to_vec(), ..MailboxStatus::default() });
    assert_eq!(status("* STATUS INBOX (MESSAGES 0) \r\n").messages, Some(0));
    let blanks = status("* STATUS Sent Items (x) (MAILBOXID (F1) MESSAGES 2)");
    assert_eq!((blanks.name.as_slice(), blanks.messages), (b"Sent Items (x)".as_slice(), Some(2)));
    assert_eq!(status("* STATUS {3}\r\na(b (MESSAGES 2)").messages, Some(2));
}

#[test]
fn numbers_sets_and_words_are_read() {
    for (line, want) in [
        ("* 23 EXISTS\r\n", Response::Exists(23)),
        ("* 0 recent", Response::Recent(0)),
        ("* 44 EXPUNGE ", Response::Expunge(44)),
        ("* 0 EXPUNGE", Response::Junk),
        ("* 99999999999 EXISTS", Response::Junk),
        ("* VANISHED (EARLIER) 41,43:116", Response::Vanished { earlier: true, uids: set("41,43:116") }),
        ("* VANISHED 405", Response::Vanished { earlier: false, uids: set("405") }),
        ("* VANISHED (EARLIER) 1:*", Response::Junk),
        ("* VANISHED", Response::Junk),
        ("* SEARCH", Response::Search { numbers: vec![], modseq: None }),
        (
            "* SEARCH 2 84 0 2 99999999999 4294967295 ",
            Response::Search { numbers: vec![2, 84, 2, u32::MAX], modseq: None },
        ),
        ("* SEARCH 2 (MODSEQ 917)", Response::Search { numbers: vec![2], modseq: Some(917) }),
        (
            "* CAPABILITY IMAP4rev1 LITERAL+  STARTTLS ",
            Response::Capability(strings(&["IMAP4REV1", "LITERAL+", "STARTTLS"])),
        ),
        ("* ENABLED qresync", Response::Enabled(strings(&["QRESYNC"]))),
        ("* ENABLED", Response::Enabled(vec![])),
        ("* FLAGS (\\Answered $x \\*)", Response::Flags(strings(&["\\Answered", "$x", "\\*"]))),
        ("+\r\n", Response::Continue(vec![])),
        ("+ idling\r\n", Response::Continue(b"idling".to_vec())),
        ("* X-NEW foo", Response::Other("X-NEW".into())),
        ("", Response::Junk),
        ("\r\n", Response::Junk),
        ("*\r\n", Response::Junk),
        ("Received: from x\r\n", Response::Junk),
    ] {
        assert_eq!(parse(line.as_bytes()), want, "{line:?}");
    }
}

#[test]
fn extended_searches_are_read() {
    let search = |line: &str| match parse(line.as_bytes()) {
        Response::Esearch(search) => search,
        other => panic!("{line}: {other:?}"),
    };
    let full = search("* ESEARCH (TAG \"m7\") UID MIN 2 MAX 9 COUNT 3 X-Y (a b) ALL 2,8:9 MODSEQ 12");
    assert_eq!((full.tag.as_deref(), full.uid, full.count, full.modseq), (Some("m7"), true, Some(3), Some(12)));
    assert_eq!((full.min, full.max, full.all), (Some(2), Some(9), Some(set("2,8:9"))));
    let empty = search("* ESEARCH (TAG \"m7\") UID");
    assert_eq!((empty.uid, empty.all), (true, None));
    assert_eq!(search("* ESEARCH").tag, None);
}

#[test]
fn namespaces_and_ids_are_read() {
    let Response::Namespace(spaces) = parse(br#"* NAMESPACE (("INBOX." ".")("" NIL "X" ("y"))) NIL (("Shared/" "/"))"#)
    else {
        panic!("no namespace")
    };
    assert_eq!(spaces.personal, vec![(b"INBOX.".to_vec(), Some(b'.')), (vec![], None)]);
    assert_eq!((spaces.other, spaces.shared), (vec![], vec![(b"Shared/".to_vec(), Some(b'/'))]));
    let pairs = vec![("name".to_owned(), Some("Dove cot".to_owned())), ("version".to_owned(), None)];
    assert_eq!(parse(br#"* ID ("Name" "Dove cot" "version" NIL)"#), Response::Id(pairs));
    assert_eq!(parse(b"* ID NIL"), Response::Id(vec![]));
}

#[test]
fn a_bomb_of_parentheses_is_survived() {
    for unit in ["(", ")", "(\"", "({3}\r\n", "[", "{", "\\\""] {
        for head in
            ["* 1 FETCH (X ", "* LIST (", "* STATUS a (", "* NAMESPACE (", "* OK [", "* SEARCH (", "* ESEARCH ("]
        {
            parse(format!("{head}{}", unit.repeat(300_000)).as_bytes());
        }
    }
}

#[test]
fn internal_dates_are_read_and_written() {
    for (text, want) in [
        (" 1-Jan-1970 00:00:00 +0000", Some(0)),
        ("29-FEB-2024 23:59:59 +0100", Some(1_709_247_599)),
        ("1-jan-2024 00:00:00", Some(1_704_067_200)),
        ("01-Jan-2024 00:00 GMT", Some(1_704_067_200)),
        ("1-jan-1902 00:00:00 +0000", None),
        ("01-Jan-0102 00:00:00 +0000", None),
        ("32-Jan-2024 00:00:00 +0000", None),
        ("01-Foo-2024 00:00:00 +0000", None),
        ("01-Jan-20245 00:00:00 +0000", None),
        ("", None),
        ("1-Jan-2024", None),
    ] {
        assert_eq!(parse_internal_date(text.as_bytes()), want, "{text}");
    }
    assert_eq!(internal_date(1_709_247_599), "29-Feb-2024 22:59:59 +0000");
    assert_eq!(internal_date(0), " 1-Jan-1970 00:00:00 +0000");
    assert_eq!(internal_date(-5), internal_date(0));
}

#[test]
fn sets_are_sorted_merged_and_never_materialised() {
    assert_eq!(set("9:7,1:3,4,5").ranges(), &[(1, 5), (7, 9)]);
    assert_eq!(set("0,5").ranges(), &[(5, 5)]);
    assert_eq!(set("0:2,4294967296").ranges(), &[(1, 2)]);
    let all = set("1:4294967295");
    assert_eq!((all.len(), all.iter().nth(2), all.contains(u32::MAX)), (4_294_967_295, Some(3), true));
    assert_eq!(set("4294967294:4294967295").iter().collect::<Vec<_>>(), vec![4_294_967_294, u32::MAX]);
    for text in ["", "*", "1:*", "a", "1:2:3", "1;2"] {
        assert_eq!(UidSet::parse(text.as_bytes()), None, "{text}");
    }
    assert!(set("1:3,5").contains(5) && !set("1:3,5").contains(4) && !set("2").contains(1));
    assert_eq!(set("1:3,5,7,9:12").chunks(6), vec!["1:3,5", "7,9:12"]);
    assert_eq!(UidSet::new().chunks(10), Vec::<String>::new());
    assert_eq!(set("3,1").to_string(), "1,3");
}

const REAL: [&str; 8] = [
    "* 12 FETCH (FLAGS (\\Seen NonJunk) UID 30 MODSEQ (65402) RFC822.SIZE 44 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\n",
    "* 1 FETCH (UID 7 BODY[HEADER.FIELDS (MESSAGE-ID)] {6}\r\nA: b\r\n BODY[] {3}\r\nabc)\r\n",
    "* LIST (\\HasNoChildren) \"/\" {4}\r\na\"b(\r\n",
    "* STATUS \"a b\" (MESSAGES 3 UIDNEXT 4 MAILBOXID (F1))\r\n",
    "* ESEARCH (TAG \"m7\") UID MIN 2 COUNT 3 ALL 2,8:9 MODSEQ 12\r\n",
    "* NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"Shared/\" \"/\"))\r\n",
    "a1 OK [COPYUID 14 304,319:320 3956:3958] done\r\n",
    "* VANISHED (EARLIER) 41,43:116\r\n",
];

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for head in [b"".as_slice(), b"* ", b"* 1 FETCH (", b"* LIST (", b"* STATUS ", b"* OK [", b"* SEARCH "] {
            let line = [head, &bytes].concat();
            parse(&line);
            let mut frame = Frame::new();
            let _ = frame.line(&line);
            frame.parse();
        }
    }

    #[test]
    fn mutated_lines_never_panic(
        line in 0..REAL.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut bytes = REAL[line].as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b"() \"\\{}[]\r\n~*:,0"[usize::from(byte) % 16]),
                _ if bytes.len() > 1 => { bytes.remove(at); }
                _ => {}
            }
        }
        parse(&bytes);
        let mut frame = Frame::new();
        let _ = frame.line(&bytes);
        frame.parse();
    }

    #[test]
    fn sets_hold_what_was_put_in(uids in proptest::collection::vec(1..60_u32, 0..40)) {
        let collected: UidSet = uids.iter().copied().collect();
        let mut inserted = UidSet::new();
        uids.iter().for_each(|uid| inserted.insert(*uid));
        prop_assert_eq!(&collected, &inserted);
        let mut sorted = uids;
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(collected.iter().collect::<Vec<_>>(), sorted.clone());
        prop_assert_eq!(collected.len(), sorted.len() as u64);
        let chunks = collected.chunks(8);
        prop_assert!(chunks.iter().all(|chunk| chunk.len() <= 8));
        let back: UidSet = chunks.iter().flat_map(|c| set(c).iter().collect::<Vec<_>>()).collect();
        prop_assert_eq!(back, collected);
    }
}
