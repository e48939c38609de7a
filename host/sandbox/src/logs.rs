//! What a guest prints and logs, within bounds that never stop the guest (T20).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use retake_core::failure::cut;
use retake_core::limits;
use retake_core::port::{Logs, TaskAttempt};
use retake_core::replay::Identity;
use retake_core::task::{Level, LogLine};
use retake_core::time::Clock;
use retake_core::value::Json;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::hidden::Hidden;

/// Of the bytes kept of an attempt, how many are kept for what came last.
const TAIL_BYTES: usize = 64 << 10;
/// Of the lines kept of an attempt, how many are kept for what came last.
const TAIL_LINES: usize = 1000;
/// How much of stderr is kept for the message of a trap.
const LAST_WORDS: usize = 2 << 10;

/// Where one attempt's lines go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sink(Arc<Mutex<Kept>>);

struct Kept {
    to: Arc<dyn Logs>,
    clock: Arc<dyn Clock>,
    call: u32,
    attempt: u32,
    /// Whose they are, when they are a task's.
    identity: Option<Arc<Identity>>,
    log_prints: bool,
    hidden: Hidden,
    head_bytes: usize,
    head_lines: usize,
    tail: VecDeque<LogLine>,
    tail_bytes: usize,
    dropped: u64,
    /// What was printed since the last line end, on stdout and on stderr.
    open: [Vec<u8>; 2],
    last_words: Vec<u8>,
}

/// What became of the lines.
pub(crate) struct Closed {
    /// Bytes handed on.
    pub(crate) kept: u64,
    /// Bytes dropped.
    pub(crate) dropped: u64,
    /// The end of what was printed on stderr.
    pub(crate) last_words: String,
}

impl Sink {
    pub(crate) fn new(
        to: Arc<dyn Logs>,
        clock: Arc<dyn Clock>,
        task: Option<&TaskAttempt>,
        attempt: u32,
        log_prints: bool,
    ) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            to,
            clock,
            call: task.map_or(0, |it| it.number),
            attempt,
            identity: task.map(|it| it.identity.clone()),
            log_prints,
            hidden: Hidden::default(),
            head_bytes: 0,
            head_lines: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            dropped: 0,
            open: [Vec::new(), Vec::new()],
            last_words: Vec::new(),
        })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line that the guest logged.
    pub(crate) fn write(&self, level: Level, message: String, fields: Option<Json>) {
        self.lock().line(level, message, fields);
    }

    /// Does something with the secrets that the guest was given.
    pub(crate) fn hidden<T>(&self, with: impl FnOnce(&mut Hidden) -> T) -> T {
        with(&mut self.lock().hidden)
    }

    /// Hands on what is still held back.
    pub(crate) fn close(&self) -> Closed {
        let mut kept = self.lock();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut kept.open[stream as usize]);
            if !rest.is_empty() {
                kept.printed(stream, &rest);
            }
        }
        if kept.dropped > 0 {
            let notice = format!("… {} more bytes were logged here and not kept", kept.dropped);
            let line = kept.stamp(Level::Warn, notice, None);
            kept.to.line(line);
        }
        while let Some(line) = kept.tail.pop_front() {
            kept.to.line(line);
        }
        Closed {
            kept: (kept.head_bytes + kept.tail_bytes) as u64,
            dropped: kept.dropped,
            last_words: kept.last_words(),
        }
    }

    /// Returns how many bytes were handed on or are held back, and how many were dropped.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        let kept = self.lock();
        ((kept.head_bytes + kept.tail_bytes) as u64, kept.dropped)
    }

    pub(crate) fn stdout(&self) -> Printed {
        Printed { sink: self.clone(), stream: Stream::Stdout }
    }

    pub(crate) fn stderr(&self) -> Printed {
        Printed { sink: self.clone(), stream: Stream::Stderr }
    }
}

impl Kept {
    fn stamp(&self, level: Level, message: String, fields: Option<Json>) -> LogLine {
        let task = self.identity.as_ref().map(|it| it.name.clone());
        LogLine { at: self.clock.now(), call: self.call, attempt: self.attempt, level, message, fields, task }
    }

    fn line(&mut self, level: Level, message: String, fields: Option<Json>) {
        let message = self.hidden.out_of(message);
        let fields = fields.map(|it| self.hidden.out_of_json(it));
        let whole = message.len();
        let message = cut(message, limits::LOG_LINE_BYTES);
        self.dropped += (whole - message.len()) as u64;
        let bytes = message.len() + fields.as_ref().map_or(0, |it| it.as_str().len());
        let line = self.stamp(level, message, fields);
        let fits = self.head_bytes + bytes <= limits::LOG_BYTES - TAIL_BYTES
            && self.head_lines < limits::LOG_LINES - TAIL_LINES;
        if fits && self.tail.is_empty() {
            self.head_bytes += bytes;
            self.head_lines += 1;
            self.to.line(line);
            return;
        }
        self.tail_bytes += bytes;
        self.tail.push_back(line);
        while self.tail_bytes > TAIL_BYTES || self.tail.len() > TAIL_LINES {
            let Some(old) = self.tail.pop_front() else { break };
            let bytes = old.message.len() + old.fields.as_ref().map_or(0, |it| it.as_str().len());
            self.tail_bytes -= bytes;
            self.dropped += bytes as u64;
        }
    }

    /// Returns the end of what went to stderr. A secret that stood across its beginning is gone whole.
    fn last_words(&self) -> String {
        let words = String::from_utf8_lossy(&self.last_words);
        let from = words.ceil_char_boundary(words.len().saturating_sub(LAST_WORDS));
        self.hidden.out_of_end(&words, from)
    }

    fn put(&mut self, stream: Stream, mut bytes: &[u8]) {
        if stream == Stream::Stderr {
            let most = LAST_WORDS + self.hidden.longest();
            self.last_words.extend_from_slice(&bytes[bytes.len().saturating_sub(most)..]);
            let over = self.last_words.len().saturating_sub(most);
            self.last_words.drain(..over);
        }
        if !self.log_prints && stream == Stream::Stdout {
            return;
        }
        while let Some(end) = bytes.iter().position(|it| *it == b'\n') {
            let mut line = std::mem::take(&mut self.open[stream as usize]);
            self.extend(&mut line, &bytes[..end]);
            self.printed(stream, &line);
            bytes = &bytes[end + 1..];
        }
        let mut open = std::mem::take(&mut self.open[stream as usize]);
        self.extend(&mut open, bytes);
        self.open[stream as usize] = open;
    }

    /// Adds to a line as much as a line may have, and a secret more: one that stands across its end is to be known.
    fn extend(&mut self, line: &mut Vec<u8>, bytes: &[u8]) {
        let room = (limits::LOG_LINE_BYTES + self.hidden.longest()).saturating_sub(line.len());
        line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.dropped += bytes.len().saturating_sub(room) as u64;
    }

    fn printed(&mut self, stream: Stream, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let level = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Error,
        };
        self.line(level, String::from_utf8_lossy(line).into_owned(), None);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

/// Stdout or stderr of a guest. Never fails and never fills up: what is over the bounds is counted and dropped.
#[derive(Clone)]
pub(crate) struct Printed {
    sink: Sink,
    stream: Stream,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.sink.lock().put(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl tokio::io::AsyncWrite for Printed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.sink.lock().put(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use retake_core::time::Timestamp;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);
    impl Logs for Lines {
        fn line(&self, line: LogLine) {
            self.0.lock().unwrap().push(line.message);
        }
    }
    struct Zero;
    impl Clock for Zero {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }
    }

    fn printed(pieces: &[&str]) -> (Vec<String>, Closed) {
        let lines = Arc::new(Lines::default());
        let sink = Sink::new(lines.clone(), Arc::new(Zero), None, 1, true);
        for piece in pieces {
            sink.stdout().write(Bytes::copy_from_slice(piece.as_bytes())).unwrap();
        }
        let closed = sink.close();
        (lines.0.lock().unwrap().clone(), closed)
    }

    #[test]
    fn pieces_become_lines() {
        assert_eq!(printed(&["a", "b\nc\r\n\nd"]).0, ["ab", "c", "", "d"]);
    }

    #[test]
    fn the_first_and_the_last_of_a_flood_are_kept_and_the_rest_is_counted() {
        let line = format!("{}\n", "x".repeat(999));
        let (lines, closed) = printed(&[&line.repeat(1000), "the end\n"]);
        assert_eq!(lines.last().unwrap(), "the end");
        assert!(lines.iter().any(|it| it.contains("more bytes were logged here")));
        assert!(closed.kept <= limits::LOG_BYTES as u64);
        assert_eq!(closed.kept + closed.dropped, 999_000 + 7);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let (lines, closed) = printed(&[&"x".repeat(1 << 20)]);
        assert_eq!(lines[0].len(), limits::LOG_LINE_BYTES);
        assert_eq!(closed.dropped as usize, (1 << 20) - limits::LOG_LINE_BYTES);
    }
}
