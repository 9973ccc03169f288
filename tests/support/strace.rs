//! The system calls of the program, as strace tells them.

use super::Home;
use std::path::Path;
use std::process::Command;

/// What is traced, in the names of every architecture (`?`: where it exists).
const CALLS: &str = "trace=?open,?openat,?openat2,?creat,?getdents,?getdents64,?fsync,?fdatasync,?sync,?syncfs,\
    ?sync_file_range,?read,?readv,?pread64,?preadv,?preadv2,?write,?writev,?pwrite64,?pwritev,?pwritev2,?ftruncate,\
    ?truncate,?rename,?renameat,?renameat2,?unlink,?unlinkat,?mkdir,?mkdirat,?link,?linkat,?symlink,?symlinkat,?mmap";

/// One system call that succeeded.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    /// As strace shows them, descriptors with their paths.
    pub args: String,
    pub result: i64,
    /// Where the result is a descriptor, what it stands for.
    pub opened: Option<String>,
}

impl Call {
    /// What the first argument, a descriptor, stands for.
    pub fn of(&self) -> &str {
        let inner = self.args.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        inner.map_or("", |(path, _)| path)
    }

    pub fn is_one_of(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }
}

/// All calls of one run.
#[derive(Clone, Debug)]
pub struct Trace(pub Vec<Call>);

impl Trace {
    /// Runs the program in this home, which must end well.
    pub fn of(home: &Home, args: &[&str]) -> Trace {
        let file = home.path().join("strace");
        let mut command = Command::new("strace");
        // -z: what succeeded; a failed call did nothing. -s 0: no contents.
        command.args(["-f", "-y", "-z", "-qq", "-s", "0", "-e", "signal=none", "-e", CALLS, "-o"]).arg(&file);
        command.arg(env!("CARGO_BIN_EXE_mailsync")).args(args);
        home.surround(&mut command);
        let out = command.output().expect("install strace: tests/run does it");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let trace = Trace::parse(&file);
        assert!(trace.0.iter().any(|call| call.opened.is_some()), "strace shows nothing opened");
        trace
    }

    fn parse(file: &Path) -> Trace {
        let text = std::fs::read(file).expect("read what strace wrote");
        let text = String::from_utf8_lossy(&text);
        // With -z strace holds a call back until its result is known, so that none is told in two parts.
        Trace(text.lines().map(call).collect())
    }

    /// The paths that were opened.
    pub fn opened(&self) -> Vec<&str> {
        self.0.iter().filter_map(|call| call.opened.as_deref()).collect()
    }

    /// The calls of these names.
    pub fn calls(&self, names: &[&str]) -> Vec<&Call> {
        self.0.iter().filter(|call| call.is_one_of(names)).collect()
    }
}

/// `123 openat(AT_FDCWD</home>, "name"..., O_RDONLY) = 3</home/name>`
fn call(line: &str) -> Call {
    let parsed = || {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let (name, rest) = line.split_once('(')?;
        let (args, result) = rest.rsplit_once(" = ")?;
        let (number, opened) = match result.split_once('<') {
            // A file without a name is told as deleted.
            Some((number, path)) => {
                (number, Some(path.trim_end().trim_end_matches("(deleted)").strip_suffix('>')?.to_owned()))
            }
            None => (result.split(' ').next()?, None),
        };
        let result = match number.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok()?,
            None => number.trim().parse().ok()?,
        };
        Some(Call { name: name.to_owned(), args: args.to_owned(), result, opened })
    };
    parsed().unwrap_or_else(|| panic!("a line of strace that the tests can't read: {line}"))
}
