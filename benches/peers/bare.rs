//! The least that a first sync can take: fetching all bodies and throwing them away, and writing the same files so that
//! they would survive a loss of power.

use crate::measure::MYSELF;
use crate::message;
use crate::options::Options;
use crate::programs::Seat;
use crate::server::Template;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The first argument with which this program starts itself as the bare client.
pub const CHILD: &str = "--bare-fetch";

/// Files that one syncfs makes durable.
const BATCH: usize = 100;

/// The command that fetches everything of the seat's mailbox through the line.
pub fn command(seat: &Seat, template: &Template, line: u16) -> Command {
    let mut command = Command::new(MYSELF);
    command.arg(CHILD).arg(line.to_string()).args([&seat.user.name, &seat.user.password]);
    command.arg(template.bytes.to_string());
    command.args(template.folders.iter().map(|(name, _)| name));
    command
}

/// The bare client: `PORT USER PASSWORD BYTES FOLDER...`. One connection, one command after the other without waiting.
pub fn child(args: &[String]) -> ExitCode {
    let [port, user, password, bytes, folders @ ..] = args else { panic!("{CHILD} lacks arguments") };
    let port: u16 = port.parse().expect("a port");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect to the line");
    stream.set_nodelay(true).expect("set TCP_NODELAY");
    let mut buffer = vec![0; 256 * 1024];
    let greeting = stream.read(&mut buffer).expect("read the greeting");
    assert!(buffer[..greeting].starts_with(b"* OK"), "odd greeting");
    let mut commands = format!("L LOGIN {user} {password}\r\n");
    for folder in folders {
        commands.push_str(&format!("E EXAMINE \"{folder}\"\r\nF UID FETCH 1:* BODY.PEEK[]\r\n"));
    }
    commands.push_str("Q LOGOUT\r\n");
    stream.write_all(commands.as_bytes()).expect("send the commands");
    let mut read = 0u64;
    let mut end = Vec::new();
    loop {
        let count = stream.read(&mut buffer).expect("read messages");
        if count == 0 {
            break;
        }
        read += count as u64;
        end.extend_from_slice(&buffer[count.saturating_sub(200)..count]);
        end.drain(..end.len().saturating_sub(200));
    }
    let all: u64 = bytes.parse().expect("a number of bytes");
    let logged_out = String::from_utf8_lossy(&end).contains("Q OK");
    if read >= all && logged_out { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes the messages of the template below `dir` and says how long that took: into `tmp`, one syncfs for each
/// hundred, a rename for each, and one syncfs for the renames.
pub fn write(template: &Template, dir: &Path, first: u64, options: &Options) -> Duration {
    let folders = template.folders.len();
    let mut took = Duration::ZERO;
    for at in 0..folders {
        for sub in ["tmp", "cur"] {
            fs::create_dir_all(dir.join(at.to_string()).join(sub)).expect("make a Maildir");
        }
    }
    let numbers: Vec<u64> = (0..template.messages() as u64).collect();
    for batch in numbers.chunks(BATCH) {
        // Made outside the time.
        let content: Vec<(u64, Vec<u8>)> = batch.iter().map(|n| (*n, message::bytes(first + n))).collect();
        let start = Instant::now();
        write_batch(dir, folders as u64, &content);
        took += start.elapsed();
    }
    assert!(took.as_secs() < options.timeout, "writing the files takes for ever");
    took
}

fn write_batch(dir: &Path, folders: u64, content: &[(u64, Vec<u8>)]) {
    let path = |sub: &str, n: u64| dir.join((n % folders).to_string()).join(sub).join(n.to_string());
    for (n, bytes) in content {
        let mut file = fs::File::create(path("tmp", *n)).expect("make a file");
        file.write_all(bytes).expect("write a file");
    }
    let target = fs::File::open(dir).expect("open a directory");
    rustix::fs::syncfs(&target).expect("sync a file system");
    for (n, _) in content {
        fs::rename(path("tmp", *n), path("cur", *n)).expect("rename a file");
    }
    rustix::fs::syncfs(&target).expect("sync a file system");
}
