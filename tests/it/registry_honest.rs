//! A registry that keeps what it gets, for the server of `registry_script`. Its only repository is
//! `app`.

use std::sync::{Arc, Mutex};

use imgb::{digest::Digest, registry::Notices};

use crate::registry_script::{Answer, Request};

/// Notices, and where they are collected.
pub(crate) fn collected() -> (Notices, Arc<Mutex<Vec<String>>>) {
    let all = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&all);
    (Notices::to(move |text| into.lock().unwrap().push(text.to_owned())), all)
}

/// Bytes that do not repeat.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let blocks = (0..len.div_ceil(32)).flat_map(|at| Digest::of(at.to_string()).hex().into_bytes());
    blocks.take(len).collect()
}

/// Answers as a registry that keeps what it gets: sessions, blobs, manifests.
#[derive(Default)]
pub(crate) struct Honest {
    /// The bytes of each session, by its number; `None` for one that has ended.
    pub(crate) sessions: Vec<Option<Vec<u8>>>,
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) manifests: Vec<(String, Vec<u8>)>,
    /// Whether a session whose connection broke is forgotten, as by distribution 2.8.
    pub(crate) forgetful: bool,
    /// Bytes of a body that are taken.
    pub(crate) max_body: Option<usize>,
    /// Whether chunks are answered with 204, as by go-containerregistry.
    pub(crate) says_no_content: bool,
}

impl Honest {
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        let path = request.target.split('?').next().unwrap().to_owned();
        let last = path.rsplit('/').next().unwrap();
        if self.max_body.is_some_and(|max| request.body.len() > max) {
            return Answer::new(413);
        }
        if request.is("POST", "/v2/app/blobs/uploads/") {
            self.sessions.push(Some(Vec::new()));
            let location =
                format!("/v2/app/blobs/uploads/{}?_state=a%2Fb", self.sessions.len() - 1);
            return Answer::new(202).header("Location", location).header("Range", "0-0");
        }
        if path.contains("/blobs/uploads/") {
            return self.session(request, last.parse().unwrap());
        }
        if path.contains("/blobs/") {
            let found = self.blobs.iter().find(|blob| Digest::of(blob).to_string() == last);
            return found.map_or(Answer::new(404), |blob| ranged(request, blob));
        }
        if request.is("PUT", "/v2/app/manifests/*") {
            self.manifests.retain(|(name, _)| name != last);
            self.manifests.push((Digest::of(&request.body).to_string(), request.body.clone()));
            self.manifests.push((last.to_owned(), request.body.clone()));
            return Answer::new(201);
        }
        let found = self.manifests.iter().find(|(name, _)| name == last);
        found.map_or(Answer::new(404), |(_, bytes)| {
            Answer::new(200).header("Docker-Content-Digest", Digest::of(bytes)).body(bytes.clone())
        })
    }

    fn session(&mut self, request: &Request, at: usize) -> Answer {
        let Some(bytes) = &mut self.sessions[at] else { return Answer::new(404) };
        assert!(request.target.contains("_state=a%2Fb"), "{}", request.target);
        let range = |len: usize| format!("0-{}", len.saturating_sub(1));
        let location = format!("/v2/app/blobs/uploads/{at}?_state=a%2Fb");
        if request.method == "GET" {
            let answer = Answer::new(204).header("Location", location);
            return answer.header("Range", range(bytes.len()));
        }
        if let Some(range) = request.header("content-range") {
            let start: usize = range.split('-').next().unwrap().parse().unwrap();
            if start != bytes.len() {
                return Answer::new(416);
            }
        }
        bytes.extend(&request.body);
        if !request.complete {
            if self.forgetful {
                self.sessions[at] = None;
            }
            return Answer::new(500);
        }
        if request.method == "PATCH" {
            let status = if self.says_no_content { 204 } else { 202 };
            let answer = Answer::new(status).header("Location", location);
            return answer.header("Range", range(bytes.len()));
        }
        let (_, digest) = request.target.split_once("&digest=").unwrap();
        let bytes = self.sessions[at].take().unwrap();
        if Digest::of(&bytes).to_string() != digest {
            return Answer::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
        }
        self.blobs.push(bytes);
        Answer::new(201)
    }
}

/// The blob, or the part of it that `Range` asks for.
pub(crate) fn ranged(request: &Request, blob: &[u8]) -> Answer {
    match request.header("range").and_then(|range| range.strip_prefix("bytes=")) {
        Some(range) => {
            let (start, end) = range.split_once('-').unwrap();
            assert_eq!(end, (blob.len() - 1).to_string());
            let start: usize = start.parse().unwrap();
            let all = format!("bytes {start}-{}/{}", blob.len() - 1, blob.len());
            Answer::new(206).header("Content-Range", all).body(&blob[start..])
        }
        None => Answer::new(200).body(blob),
    }
}
