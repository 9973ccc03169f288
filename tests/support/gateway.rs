//! A proxy that leads to where it is asked to: SOCKS5 and HTTP CONNECT, with or without a login.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Gateway {
    pub port: u16,
    /// Where it was asked to lead to, as it was asked.
    led: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Takes whoever comes, or those with this `USER:PASSWORD` only, whose base64 is given too.
    pub fn open(login: Option<(&'static str, &'static str)>) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind to loopback");
        let port = listener.local_addr().expect("an address").port();
        let led = Arc::new(Mutex::new(Vec::new()));
        let noted = led.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, noted) = (client.expect("accept"), noted.clone());
                // A client that goes away ends what is done for it.
                thread::spawn(move || drop(lead(client, login, &noted)));
            }
        });
        Gateway { port, led }
    }

    pub fn led(&self) -> Vec<String> {
        self.led.lock().expect("nobody panicked").clone()
    }
}

fn lead(client: TcpStream, login: Option<(&str, &str)>, led: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut writer = client;
    let socks = reader.fill_buf()?.first() == Some(&5);
    let asked = match socks {
        true => socks5(&mut reader, &mut writer, login.map(|(login, _)| login))?,
        false => connect(&mut reader, &mut writer, login.map(|(_, coded)| coded))?,
    };
    led.lock().expect("nobody panicked").push(asked.clone());
    let server = TcpStream::connect(asked);
    let answer: &[u8] = match (socks, &server) {
        (true, Ok(_)) => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        (true, Err(_)) => &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
        (false, Ok(_)) => b"HTTP/1.1 200 OK\r\n\r\n",
        (false, Err(_)) => b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    };
    writer.write_all(answer)?;
    let mut server = server?;
    let mut back = (server.try_clone()?, writer);
    thread::spawn(move || drop(io::copy(&mut back.0, &mut back.1)));
    io::copy(&mut reader, &mut server)?;
    server.shutdown(std::net::Shutdown::Write)
}

fn refuse(writer: &mut TcpStream, answer: &[u8]) -> io::Error {
    // It is refused whether it hears that or not.
    drop(writer.write_all(answer));
    io::Error::other("refused")
}

fn take(reader: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn socks5(reader: &mut impl Read, writer: &mut TcpStream, login: Option<&str>) -> io::Result<String> {
    let methods = take(reader, 2)?[1];
    let methods = take(reader, methods.into())?;
    let wanted = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&wanted) {
        return Err(refuse(writer, &[5, 0xff]));
    }
    writer.write_all(&[5, wanted])?;
    if let Some(login) = login {
        let _version = take(reader, 1)?;
        let mut text = || -> io::Result<String> {
            let length = take(reader, 1)?[0];
            Ok(String::from_utf8_lossy(&take(reader, length.into())?).into_owned())
        };
        if format!("{}:{}", text()?, text()?) != login {
            return Err(refuse(writer, &[1, 1]));
        }
        writer.write_all(&[1, 0])?;
    }
    let kind = take(reader, 4)?[3];
    let host = match kind {
        1 => take(reader, 4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => {
            let length = take(reader, 1)?[0];
            String::from_utf8_lossy(&take(reader, length.into())?).into_owned()
        }
        _ => return Err(refuse(writer, &[5, 8, 0, 1, 0, 0, 0, 0, 0, 0])),
    };
    let port = take(reader, 2)?;
    Ok(format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])))
}

fn connect(reader: &mut impl BufRead, writer: &mut TcpStream, login: Option<&str>) -> io::Result<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let wanted = login.map(|coded| format!("Proxy-Authorization: Basic {coded}"));
    if wanted.is_some_and(|wanted| !lines.contains(&wanted)) {
        return Err(refuse(writer, b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
    }
    let place = lines.first().and_then(|line| line.strip_prefix("CONNECT ")?.strip_suffix(" HTTP/1.1"));
    place.map(str::to_owned).ok_or_else(|| refuse(writer, b"HTTP/1.1 400 Bad Request\r\n\r\n"))
}
