//! Runs the binary in a directory of its own with a clean environment, and always looks at the exit code.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A directory to run commands in; it goes when the test ends.
pub(crate) struct Home(tempfile::TempDir);

/// One command line, not run yet.
pub(crate) struct Irsa<'a> {
    home: &'a Home,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
}

/// What a command left.
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        name.to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A key pair `NAME.key`, `NAME.pub`.
    pub(crate) fn key(&self, name: &str, algorithm: &str) {
        self.key_in(".", name, algorithm);
    }

    /// The same in a folder.
    pub(crate) fn key_in(&self, folder: &str, name: &str, algorithm: &str) {
        self.irsa(&[
            "keys",
            "generate",
            "--out",
            folder,
            "--name",
            name,
            "--algorithm",
            algorithm,
        ])
        .ok();
    }

    pub(crate) fn irsa(&self, args: &[&str]) -> Irsa<'_> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Irsa {
            home: self,
            args,
            env: Vec::new(),
            stdin: Vec::new(),
        }
    }

    /// Every file below, for a test that failed.
    fn tree(&self) -> String {
        let mut text = String::new();
        let mut todo = vec![self.0.path().to_owned()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    todo.push(path);
                } else {
                    writeln!(
                        text,
                        "  {}",
                        path.strip_prefix(self.0.path()).unwrap().display()
                    )
                    .unwrap();
                }
            }
        }
        text
    }
}

impl Irsa<'_> {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.stdin = text.as_ref().to_vec();
        self
    }

    /// Runs it and demands success.
    pub(crate) fn ok(self) -> Ran {
        self.code(0)
    }

    /// Runs it and demands this exit code.
    pub(crate) fn code(self, expected: i32) -> Ran {
        let (args, tree) = (self.args.join(" "), self.home);
        let (ran, code) = self.run();
        assert_eq!(
            code,
            Some(expected),
            "irsa {args}\n--- stdout\n{}\n--- stderr\n{}\n--- files\n{}",
            ran.stdout,
            ran.stderr,
            tree.tree()
        );
        ran
    }

    /// Runs it, whatever comes; only for tests that look at something else.
    pub(crate) fn any(self) -> Ran {
        self.run().0
    }

    fn run(self) -> (Ran, Option<i32>) {
        let mut child = self.spawn();
        let mut stdin = child.stdin.take().unwrap();
        let input = self.stdin.clone();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        (ran, output.status.code())
    }

    /// Starts it as a server.
    pub(crate) fn start(self) -> Server {
        Server::new(self.spawn())
    }

    fn spawn(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_irsa"))
            .args(&self.args)
            .current_dir(self.home.0.path())
            .env_clear()
            .env("HOME", self.home.0.path())
            .envs(self.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// A running server; it is stopped when the test ends.
pub(crate) struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Server {
    fn new(mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has this text, and returns the log.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let what = format!("\"{text}\" in the log");
        eventually(&what, || {
            let log = self.log();
            log.contains(text).then_some(log)
        })
    }

    /// The address that it serves on.
    pub(crate) fn address(&self) -> String {
        let log = self.wait_for("serving on ");
        let after = log.split("serving on ").nth(1).unwrap();
        let url = after.split_whitespace().next().unwrap();
        url.split_once("://").unwrap().1.to_owned()
    }

    /// The address of its status page and metrics.
    pub(crate) fn admin(&self) -> String {
        let words = "livez, readyz and metrics on http://";
        let log = self.wait_for(words);
        let after = log.split(words).nth(1).unwrap();
        after.split_whitespace().next().unwrap().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end; standard output and the exit code.
    pub(crate) fn finish(mut self) -> (String, Option<i32>) {
        let mut stdout = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        (stdout, self.child.wait().unwrap().code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks again and again, for at most half a minute: a starved machine is no failure.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "waited in vain for {what}"
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "a test that looks at another process"
        )]
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One plain HTTP request; status line and headers, and body.
pub(crate) fn get(address: &str, path: &str) -> (String, String) {
    get_of("localhost", address, path)
}

/// The same, asked under a name.
pub(crate) fn get_of(host: &str, address: &str, path: &str) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The commands that a help lists.
pub(crate) fn commands(help: &str) -> Vec<&str> {
    let listed = help.split("Commands:\n").nth(1).unwrap();
    let lines = listed.split("\n\n").next().unwrap().lines();
    lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect()
}

/// The path of a file of the repository.
pub(crate) fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
