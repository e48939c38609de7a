//! A mail server that takes what it is handed, as RFC 5321 says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::Files;

/// An e-mail that was handed over.
#[derive(Debug, Default, Clone)]
pub struct Mail {
    /// What was said before it, a line each.
    pub said: Vec<String>,
    /// The message, with its head.
    pub message: String,
    /// Whether it came over TLS.
    pub secured: bool,
}

impl Mail {
    /// Returns a field of the head.
    pub fn field(&self, name: &str) -> &str {
        let line = self.message.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no `{name}` in {}", self.message))
    }
}

/// A mail server, which speaks TLS once it is asked to (STARTTLS) where it has a certificate. `answers` are what it says
/// to one message after the other; it takes all others.
pub fn receiver(files: Option<&Files>, answers: Vec<&'static str>) -> (String, mpsc::Receiver<Mail>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let config = files.map(|it| {
        let chain = CertificateDer::pem_file_iter(&it.certificate).unwrap().map(Result::unwrap).collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::from_pem_file(&it.key).unwrap();
        Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
    });
    let (tell, told) = mpsc::sync_channel(100);
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut mail = Mail::default();
            // Whoever does not trust the certificate leaves.
            let _ = talk(stream.unwrap(), config.as_ref(), &mut answers, &mut mail);
            if tell.send(mail).is_err() {
                return;
            }
        }
    });
    (address, told)
}

fn talk(
    mut stream: TcpStream,
    config: Option<&Arc<ServerConfig>>,
    answers: &mut std::vec::IntoIter<&'static str>,
    mail: &mut Mail,
) -> std::io::Result<()> {
    stream.write_all(b"220 here\r\n")?;
    let offered = if config.is_some() { "250-here\r\n250 STARTTLS" } else { "250 here" };
    let wants_tls = commands(&mut stream, offered, answers, mail)?;
    let Some(config) = config.filter(|_| wants_tls) else { return Ok(()) };
    let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
    mail.said.clear();
    let mut stream = StreamOwned::new(connection, stream);
    commands(&mut stream, "250-here\r\n250 AUTH PLAIN", answers, mail)?;
    mail.secured = true;
    Ok(())
}

/// Answers commands until the other side leaves, or wants TLS.
fn commands(
    stream: &mut (impl Read + Write),
    offered: &str,
    answers: &mut std::vec::IntoIter<&'static str>,
    mail: &mut Mail,
) -> std::io::Result<bool> {
    loop {
        let line = line(stream)?;
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => offered,
            "AUTH" => "235 welcome",
            "STARTTLS" => "220 go on",
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                while !mail.message.ends_with("\r\n.\r\n") {
                    mail.message += &self::line(stream)?;
                    mail.message += "\r\n";
                }
                answers.next().unwrap_or("250 taken")
            }
            _ => "250 yes",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
        stream.flush()?;
        mail.said.push(line);
        match mail.said.last().map(String::as_str) {
            Some("STARTTLS") => return Ok(true),
            Some("QUIT") => return Ok(false),
            _ => {}
        }
    }
}

/// Reads a line, and nothing beyond it.
fn line(stream: &mut impl Read) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(std::io::Error::other)
}
