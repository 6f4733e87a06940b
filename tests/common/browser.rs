//! A headless Chromium, driven by the DevTools protocol: pages are opened, looked at, and worked with mouse and keyboard as people do.

use image::RgbImage;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// Names under which it is found, unless `NEARFIELD_BROWSER` says another.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// Anything that a page should do is done after so long, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Width and height of the window.
pub const WINDOW: (u32, u32) = (1100, 760);

/// A browser with one page.
pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    calls: u64,
    /// What the page said or did that it should not: errors, warnings, requests.
    pub complaints: Vec<String>,
    profile: tempfile::TempDir,
}

/// Where Chromium is, or why a test cannot run.
fn program() -> Result<PathBuf, String> {
    let named = std::env::var_os("NEARFIELD_BROWSER").map(PathBuf::from);
    let folders: Vec<PathBuf> =
        std::env::var_os("PATH").iter().flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>()).collect();
    let found = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    named
        .into_iter()
        .chain(found)
        .find(|path| path.is_file())
        .ok_or_else(|| format!("none of {} is here", NAMES.join(", ")))
}

impl Browser {
    /// Starts one; `None`, after saying why, where there is none and none is required.
    pub fn start() -> Option<Browser> {
        match program() {
            Ok(program) => Some(Browser::of(&program)),
            Err(cause) if std::env::var_os("NEARFIELD_REQUIRE_BROWSER").is_some() => {
                panic!("a browser is required, and {cause}")
            }
            Err(cause) => {
                // Not by a macro that the test's harness would capture.
                let _ = writeln!(std::io::stderr(), "skipped: {cause}; install chromium");
                None
            }
        }
    }

    fn of(program: &Path) -> Browser {
        let profile = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .args(["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let url = lines
            .find_map(|line| Some(line.ok()?.strip_prefix("DevTools listening on ")?.to_owned()))
            .expect("the browser says where it listens");
        // Nobody else reads what it goes on to say, and a full pipe would stop it.
        #[expect(clippy::disallowed_methods, reason = "it waits for the browser to end, and computes nothing")]
        std::thread::spawn(move || lines.for_each(drop));
        let host = url.trim_start_matches("ws://").split('/').next().expect("a host").to_owned();
        let stream = TcpStream::connect(host).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let (socket, _) = tungstenite::client(url.as_str(), stream).expect("it speaks WebSocket");
        let mut browser =
            Browser { process, socket, session: String::new(), calls: 0, complaints: Vec::new(), profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session =
            browser.call("Target.attachToTarget", target)["sessionId"].as_str().expect("an id").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let (width, height) = WINDOW;
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", screen);
        let downloads = json!({ "behavior": "allow", "downloadPath": browser.profile.path() });
        browser.call("Browser.setDownloadBehavior", downloads);
        browser
    }

    /// Calls a method of the protocol and waits for its answer; what happens meanwhile is noted.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if !self.session.is_empty() && !method.starts_with("Browser.") {
            message["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(message.to_string())).expect("the browser runs");
        loop {
            let Message::Text(text) = self.socket.read().expect("the browser answers in time") else { continue };
            let answer: Value = serde_json::from_str(&text).expect("JSON");
            if answer["id"] == json!(self.calls) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        let complaint = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => Some(format!("exception: {}", parameters["exceptionDetails"])),
            "Runtime.consoleAPICalled" => match parameters["type"].as_str() {
                Some("error" | "warning" | "assert") => Some(format!("console: {}", parameters["args"])),
                _ => None,
            },
            "Log.entryAdded" => match parameters["entry"]["level"].as_str() {
                Some("error" | "warning") => Some(format!("log: {}", parameters["entry"]["text"])),
                _ => None,
            },
            "Network.requestWillBeSent" => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                let own = ["file:", "data:", "blob:", "about:"].iter().any(|scheme| url.starts_with(scheme));
                (!own).then(|| format!("request: {url}"))
            }
            _ => None,
        };
        // A software renderer that is read from is slow, and says so.
        self.complaints.extend(complaint.filter(|text| !text.contains("GPU stall due to ReadPixels")));
    }

    /// Opens a file and waits until the viewer in it says that it is ready.
    pub fn open(&mut self, page: &Path) {
        let url = format!("file://{}", page.display());
        self.call("Page.navigate", json!({ "url": url }));
        self.wait("window.nearfield && window.nearfield.ready === true");
    }

    /// The value of an expression of JavaScript.
    pub fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The same as a whole number.
    pub fn count(&mut self, expression: &str) -> u64 {
        let value = self.eval(expression);
        value.as_f64().unwrap_or_else(|| panic!("{expression} is {value}")) as u64
    }

    /// The same as text.
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Waits until an expression is true.
    pub fn wait(&mut self, expression: &str) {
        let begun = Instant::now();
        while self.eval(&format!("!!({expression})")) != json!(true) {
            assert!(begun.elapsed() < PATIENCE, "waited for {expression}: {:?}", self.complaints);
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Lets the page draw what was asked of it: two pictures, and the timers in between.
    pub fn settle(&mut self) {
        let frames = "new Promise(r => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(r)), 120))";
        self.eval(&format!("{frames}.then(() => 1)"));
    }

    /// The page as it is seen.
    pub fn screenshot(&mut self) -> RgbImage {
        self.settle();
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let png = base64(shot["data"].as_str().expect("base64"));
        image::load_from_memory(&png).expect("a PNG").into_rgb8()
    }

    fn mouse(&mut self, kind: &str, [x, y]: [f64; 2], modifiers: u32) {
        let pressed = u32::from(kind != "mouseReleased");
        let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": pressed, "clickCount": 1, "modifiers": modifiers });
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Moves the pointer there, no button pressed.
    pub fn hover(&mut self, [x, y]: [f64; 2]) {
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
        self.settle();
    }

    /// Drags along a path; `modifiers` 8 is Shift, 1 Alt.
    pub fn drag(&mut self, path: &[[f64; 2]], modifiers: u32) {
        self.mouse("mousePressed", path[0], modifiers);
        path[1..].iter().for_each(|&at| self.mouse("mouseMoved", at, modifiers));
        self.mouse("mouseReleased", path[path.len() - 1], modifiers);
        self.settle();
    }

    /// Presses at the start of a path, moves along it, holds still for a moment and releases at its end: nothing glides on.
    pub fn drag_to_rest(&mut self, path: &[[f64; 2]]) {
        self.mouse("mousePressed", path[0], 0);
        path[1..].iter().for_each(|&at| self.mouse("mouseMoved", at, 0));
        std::thread::sleep(Duration::from_millis(250));
        self.mouse("mouseReleased", path[path.len() - 1], 0);
        self.settle();
    }

    /// Clicks there.
    pub fn click(&mut self, at: [f64; 2], modifiers: u32) {
        self.mouse("mousePressed", at, modifiers);
        self.mouse("mouseReleased", at, modifiers);
        self.settle();
    }

    /// Clicks the middle of the element that a selector finds.
    pub fn click_on(&mut self, selector: &str, modifiers: u32) {
        let found = self.eval(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'nearest'}}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        self.click([found[0].as_f64().expect("x"), found[1].as_f64().expect("y")], modifiers);
    }

    /// Turns the wheel there; negative moves closer.
    pub fn wheel(&mut self, [x, y]: [f64; 2], by: f64) {
        let event = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by });
        self.call("Input.dispatchMouseEvent", event);
        self.settle();
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        let text = if key.chars().count() == 1 { key } else { "" };
        // What the browser itself does at a key it knows by its number.
        let number = match key {
            "Escape" => 27,
            "Enter" => 13,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": number });
            self.call("Input.dispatchKeyEvent", event);
        }
        self.settle();
    }

    /// Types into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
        self.settle();
    }

    /// The file that the page gave, once it is whole.
    pub fn downloaded(&mut self, name: &str) -> Vec<u8> {
        let (path, begun) = (self.profile.path().join(name), Instant::now());
        loop {
            // It is written beside its name and renamed.
            if let Ok(bytes) = std::fs::read(&path) {
                return bytes;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} was not downloaded");
            self.settle();
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The bytes of base64 (RFC 4648).
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&c| c != b'=').map(digit).collect();
    let four = |some: &[u8]| {
        let bits = some.iter().fold(0u32, |bits, &d| bits << 6 | u32::from(d)) << (6 * (4 - some.len()));
        bits.to_be_bytes()[1..some.len()].to_vec()
    };
    digits.chunks(4).flat_map(four).collect()
}
