//! A server of the real binary, and the smallest HTTP there is: what is sent and what comes back is all in sight.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::Retake;

/// A server that is killed when it is dropped.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// An admin's.
    pub token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, the names in it in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Answer {
    /// What a header says.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Server {
    /// Starts `retake server` on the data directory of `retake`.
    pub fn start(retake: &Retake) -> Self {
        Self::start_with(retake, &[])
    }

    /// The same with more arguments.
    pub fn start_with(retake: &Retake, more: &[&str]) -> Self {
        let args = [&["server", "--listen", "127.0.0.1:0"], more].concat();
        let child = retake.start(&args, "data in");
        let data = retake.dir.path().join("data");
        let sign: Value = serde_json::from_slice(&std::fs::read(data.join("server.json")).unwrap()).unwrap();
        let address = sign["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        // Only the server that makes the first token leaves it there.
        let token = std::fs::read_to_string(data.join("token")).unwrap_or_default();
        Self { child, address, token }
    }

    /// Kills it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and returns its exit code.
    pub fn stop(mut self) -> i32 {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }

    /// Returns the number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Returns how much memory it has, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Returns its threads by name, each with how far the kernel puts it behind others.
    pub fn threads(&self) -> Vec<(String, i32)> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let stat = |it: std::fs::DirEntry| std::fs::read_to_string(it.path().join("stat")).unwrap_or_default();
        let of = |stat: String| {
            // Between brackets stands the name, which may hold anything.
            let (head, tail) = stat.rsplit_once(") ")?;
            Some((head.split_once('(')?.1.to_owned(), tail.split(' ').nth(16)?.parse().ok()?))
        };
        threads.filter_map(|it| of(stat(it.ok()?))).collect()
    }

    /// The bytes of memory that the server has written and shares with nothing, not even with itself.
    pub fn written(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let line = rollup.lines().find_map(|it| it.strip_prefix("Private_Dirty:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Asks with the admin's token.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(Some(&self.token), method, path, body)
    }

    /// Asks with this token, or with none.
    pub fn ask_as(&self, token: Option<&str>, method: &str, path: &str, body: &str) -> Answer {
        let token = token.map(|it| format!("Authorization: Bearer {it}\r\n")).unwrap_or_default();
        self.request(&token, method, path, body)
    }

    /// Asks with the admin's token, and with more lines of the head.
    pub fn ask_with(&self, head: &str, method: &str, path: &str, body: &str) -> Answer {
        self.request(&format!("Authorization: Bearer {}\r\n{head}", self.token), method, path, body)
    }

    /// Asks with no token, and with more lines of the head.
    pub fn ask_bare(&self, head: &str, method: &str, path: &str, body: &str) -> Answer {
        self.request(head, method, path, body)
    }

    fn request(&self, head: &str, method: &str, path: &str, body: &str) -> Answer {
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        ))
    }

    /// Uploads a component.
    pub fn upload(&self, component: &[u8]) -> Answer {
        let head = format!(
            "POST /api/v1/components HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/wasm\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            self.token,
            component.len()
        );
        self.send_bytes(&[head.as_bytes(), component].concat())
    }

    /// Sends this and reads what comes back.
    pub fn send(&self, request: &str) -> Answer {
        self.send_bytes(request.as_bytes())
    }

    fn send_bytes(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        // Whoever refuses early may close before all was read.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
        let lower = |line: &str| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}\n", name.to_lowercase()),
            None => format!("{line}\n"),
        };
        let head: String = head.lines().map(lower).collect();
        let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
        Answer { status, head, body }
    }
}

fn unchunked(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 || rest.len() < length {
            break;
        }
        out.push_str(&rest[..length]);
        text = rest[length..].trim_start_matches("\r\n");
    }
    out
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message that a receiver took.
#[derive(Debug)]
pub struct Received {
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
    /// The same as it came, where it is no text.
    pub bytes: Vec<u8>,
}

/// A receiver of webhooks: what it takes, and the statuses that it answers one after the other, 200 at the end.
pub fn receiver(statuses: Vec<u16>) -> (String, mpsc::Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::sync_channel(1000);
    std::thread::spawn(move || {
        let mut statuses = statuses.into_iter();
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the head ended too early");
            }
            let length = head.lines().find_map(|it| it.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let status = statuses.next().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} Done\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if tell.send(Received { head, body: String::from_utf8_lossy(&body).into_owned(), bytes: body }).is_err() {
                return;
            }
        }
    });
    (url, told)
}
