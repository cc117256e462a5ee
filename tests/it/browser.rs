//! Headless Chromium, driven by its DevTools protocol over two pipes: messages of JSON that end
//! with a NUL.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{engines::have, sandbox::PATH};

/// No answer takes this long: the limit turns a hang into a failure.
const LIMIT: Duration = Duration::from_secs(600);

/// A browser with one page, which drop ends.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    events: Vec<Value>,
    _home: TempDir,
}

impl Browser {
    /// A browser; `None`, with a message, if there is none.
    pub(crate) fn start() -> Option<Self> {
        have(&["chromium"]).then(Self::new)
    }

    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("imgb-it-").tempdir().unwrap();
        // The browser reads commands from descriptor 3 and writes answers to 4.
        let script = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script, "sh", "--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"])
            .args(["--remote-debugging-pipe", "--force-device-scale-factor=1"])
            .arg(format!("--user-data-dir={}", home.path().display()))
            .env_clear()
            .envs([("PATH", PATH.as_ref()), ("HOME", home.path().as_os_str())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                let _ = sender.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            session: None,
            calls: 0,
            events: Vec::new(),
            _home: home,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", target);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", size);
        let still = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
        browser.call("Emulation.setEmulatedMedia", still);
        browser
    }

    /// Calls a method of the protocol; its result.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.receive();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn receive(&self) -> Value {
        self.messages.recv_timeout(LIMIT).expect("chromium does not answer")
    }

    /// Opens a file and waits until it is loaded.
    pub(crate) fn open(&mut self, page: &Path) {
        self.events.clear();
        let url = format!("file://{}", page.display());
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{answer}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.receive();
            self.events.push(event);
        }
    }

    /// The value of an expression; of a promise, what it becomes.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait(&mut self, condition: &str) {
        self.eval(&format!(
            "new Promise((done) => {{
               const look = () => ({condition}) ? done(true) : setTimeout(look, 20);
               look();
             }})"
        ));
    }

    /// Clicks on the middle of the first element that a selector finds.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.eval(&format!(
            "(() => {{
               const element = document.querySelector({});
               element.scrollIntoView({{block: 'center'}});
               const box = element.getBoundingClientRect();
               return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
             }})()",
            Value::from(selector)
        ));
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let count = u32::from(kind != "mouseMoved");
            let params = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": count,
            });
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Presses a key: `Enter`, `Escape`, `ArrowDown` and the like.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "Backspace" => (8, ""),
            "Tab" => (9, ""),
            "End" => (35, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            other => panic!("{other} is not a key that the tests press"),
        };
        for kind in ["keyDown", "keyUp"] {
            let params = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Types text where the focus is.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Everything that the page should not have done since it was opened: errors, messages on the
    /// console, and requests other than for itself.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let is_bad = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded") => true,
            Some("Network.requestWillBeSent") => {
                let url = event["params"]["request"]["url"].as_str().unwrap();
                !url.starts_with("data:") && event["params"]["type"] != "Document"
            }
            _ => false,
        };
        self.events.iter().filter(is_bad).map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // The browser ends its own processes; if it does not answer any more, it is killed.
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        while let Ok(answer) = self.messages.recv_timeout(Duration::from_secs(30)) {
            if answer["id"] == 0 {
                break;
            }
        }
        let is_ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
        let ended = (0..300).any(|_| {
            thread::sleep(Duration::from_millis(50));
            is_ended(&mut self.child)
        });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
