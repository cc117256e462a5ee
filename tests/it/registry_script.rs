//! A server on loopback that answers as a test says, and records every request. Each connection
//! carries one request.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names are in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// What arrived of the body.
    pub(crate) body: Vec<u8>,
    /// Whether the body is as long as `Content-Length` says.
    pub(crate) complete: bool,
}

/// What is sent in return.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the whole answer after which the connection is closed.
    pub(crate) cut_at: Option<usize>,
    /// Sends one byte, then waits for this time, until the client goes away.
    pub(crate) drip: Option<Duration>,
    /// Whether `Content-Length` is left out.
    pub(crate) endless: bool,
}

/// The server. Drop ends it.
pub(crate) struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is `METHOD PATH`, where the path may end with a star.
    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        let own = self.target.split('?').next().unwrap();
        let same = path.strip_suffix('*').map_or(own == path, |start| own.starts_with(start));
        self.method == method && same
    }
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut_at: None,
            drip: None,
            endless: false,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.into(), value.to_string()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    fn bytes(&self, method: &str) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        let has_length = self.headers.iter().any(|(name, _)| name == "Content-Length");
        if !self.endless && !has_length && self.status != 204 {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        let mut bytes = (text + "\r\n").into_bytes();
        if method != "HEAD" {
            bytes.extend(&self.body);
        }
        bytes
    }
}

impl Server {
    /// Starts a server that reads at most `cut` bytes of each body and closes the connection then;
    /// what `handle` answers to such a request is not sent. `GET /v2/`, by which a client finds out
    /// how a host is spoken to, is answered with 200 and not recorded.
    pub(crate) fn start(
        cut: Option<usize>,
        handle: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let server = Self { port, requests: Arc::clone(&requests), ended: Arc::clone(&ended) };
        let handle = Arc::new(Mutex::new(handle));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (handle, requests) = (Arc::clone(&handle), Arc::clone(&requests));
                thread::spawn(move || {
                    let Ok(mut stream) = stream else { return };
                    let Some(request) = receive(&mut stream, cut) else { return };
                    if request.is("GET", "/v2/") {
                        let answer = Answer::new(200);
                        return send(&mut stream, &answer.bytes("GET"), &answer);
                    }
                    let answer = {
                        let mut handle = handle.lock().unwrap();
                        requests.lock().unwrap().push(request.clone());
                        handle(&request)
                    };
                    if request.complete {
                        send(&mut stream, &answer.bytes(&request.method), &answer);
                    }
                });
            }
        });
        server
    }

    /// Host and port, as an image's name has them.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The number of requests that are `METHOD PATH`.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        self.requests().iter().filter(|request| request.is(method, path)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Reads one request; `None` if it is not HTTP.
fn receive(stream: &mut TcpStream, cut: Option<usize>) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 || head.len() > 1 << 16 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    let mut request = Request { method, target, headers: headers.collect(), ..Request::default() };
    let len = request.header("content-length").map_or(0, |len| len.parse().unwrap());
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let wanted = cut.map_or(len, |cut| cut.min(len));
    let mut body = stream.take(wanted as u64);
    let _ = body.read_to_end(&mut request.body);
    request.complete = request.body.len() == len;
    Some(request)
}

fn send(stream: &mut TcpStream, bytes: &[u8], answer: &Answer) {
    if let Some(pause) = answer.drip {
        for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    }
    let end = answer.cut_at.map_or(bytes.len(), |cut| cut.min(bytes.len()));
    let _ = stream.write_all(&bytes[..end]);
    // A body without an end.
    while answer.endless && answer.cut_at.is_none() && stream.write_all(&[b'x'; 4096]).is_ok() {}
    let _ = stream.shutdown(Shutdown::Write);
    // What the client still sends is read, so that its last bytes do not reset the connection.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let _ = std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink());
}
