//! The way of the README: a broker without configuration, its first line, and the next one.

use serde_json::Value;

use crate::program::{Device, Running};

/// `simopen broker` with a data directory of its own.
struct Server {
    data: Device,
    running: Option<Running>,
    invitation: String,
}

impl Server {
    fn start() -> Self {
        let data = Device::new();
        let path = data.home().display().to_string();
        let arguments = ["broker", "--json", "--name", "home", "--listen", "127.0.0.1:0", "--data"];
        let mut running = data.start(&[&arguments[..], &[&path]].concat());
        let said = running.wait_for_output("simopen://");
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let invitation = lines.filter_map(|line| line_in(&line)).next();
        let invitation = invitation.unwrap_or_else(|| panic!("no invitation in {said}"));
        Self { data, running: Some(running), invitation }
    }

    /// What `simopen admin` answers.
    fn admin(&self, arguments: &[&str]) -> Value {
        let path = self.data.home().display().to_string();
        let arguments = [&["admin", "--json", "--data", &path], arguments].concat();
        self.data.run(&arguments).worked().json()
    }

    fn stop(mut self) {
        self.running.take().unwrap().terminate().worked();
    }
}

/// The first text in a JSON value that is an invitation.
fn line_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.starts_with("simopen://") => Some(text.clone()),
        Value::Array(values) => values.iter().find_map(line_in),
        Value::Object(fields) => fields.values().find_map(line_in),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[test]
fn from_a_broker_without_configuration_to_a_connection_by_name() {
    let server = Server::start();
    let owner = Device::new();
    owner.run_with(&["join", "-", "--device", "laptop"], server.invitation.as_bytes()).worked();
    let line = line_in(&server.admin(&["invite", "bob", "--community", "home"])).unwrap();
    let bob = Device::new();
    bob.run(&["join", &line, "--device", "desk"]).worked();
    let manager = bob.manage(1);
    let shown = owner.run(&["status"]).worked();
    assert!(shown.text().contains("* bob                       desk"), "{}", shown.text());
    let mut listener = bob.start(&["listen"]);
    listener.wait_for_line("leads to");
    listener.say(b"hello");
    let connected = owner.run(&["connect", "bob"]).worked();
    assert_eq!(connected.out, b"hello");
    listener.end().worked();

    owner.run(&["note", "send", "bob", "are you there?"]).worked();
    let notes = bob.run(&["note", "list"]).worked();
    assert!(notes.text().contains("are you there?"), "{}", notes.text());
    server.admin(&["revoke", "bob"]);
    let refused = owner.run(&["connect", "bob"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    manager.terminate();
    assert_eq!(bob.run(&["status"]).code, 1);
    server.stop();
}

#[test]
fn a_manager_comes_back_to_a_broker_that_was_started_again() {
    let server = Server::start();
    let port = line_port(&server.invitation);
    let owner = Device::new();
    owner.run(&["join", &server.invitation, "--device", "laptop"]).worked();
    let mut manager = owner.manage(1);
    let Server { data, running, .. } = server;
    // Killed, as by -9.
    drop(running);
    manager.wait_for_output("not logged in");
    let path = data.home().display().to_string();
    let listen = format!("127.0.0.1:{port}");
    let again =
        data.start(&["broker", "--json", "--name", "home", "--listen", &listen, "--data", &path]);
    manager.wait_for_output("logged in under number");
    owner.run(&["status"]).worked();
    manager.terminate().worked();
    again.terminate().worked();
}

fn line_port(line: &str) -> u16 {
    let place = line.trim_start_matches("simopen://").split('/').next().unwrap();
    place.rsplit(':').next().unwrap().parse().unwrap()
}
