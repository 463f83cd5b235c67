//! The way through an HTTP proxy, by environment and flags.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use simopen_netns_tests::{LoopbackProxy, Rule};

use crate::broker::Broker;
use crate::program::{Device, Ran, Running};

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn run_behind(device: &Device, proxy: SocketAddr, arguments: &[&str]) -> Ran {
    start_behind(device, &proxy.to_string(), arguments).end()
}

/// `proxy` may begin with a login.
fn start_behind(device: &Device, proxy: &str, arguments: &[&str]) -> Running {
    let mut command = device.command(arguments);
    command.env("HTTPS_PROXY", format!("http://{proxy}"));
    // Nothing goes straight, whatever the machine is set up for.
    command.env("NO_PROXY", "");
    Running::spawn(command)
}

/// One that has joined as a device of this user, behind this proxy.
fn joined_behind(broker: &Broker, proxy: &str, user: &str) -> Device {
    broker.add(user, &["club"]);
    let device = Device::new();
    let line = broker.invite(user).reveal();
    start_behind(&device, proxy, &["join", &line, "--device", "laptop"]).end().worked();
    device
}

/// Bytes go both ways between two; gives what the one that connects says of its way.
fn exchange(listens: (&Device, &str), connects: (&Device, &str), arguments: &[&str]) -> String {
    let mut listener = start_behind(listens.0, listens.1, &["listen"]);
    listener.wait_for_line("leads to");
    listener.say(b"hello from bob");
    let mut connecting = start_behind(connects.0, connects.1, arguments);
    connecting.say(b"hello from alice");
    let connected = connecting.end_by_itself().worked();
    assert_eq!(connected.out, b"hello from bob");
    assert_eq!(listener.end_by_itself().worked().out, b"hello from alice");
    connected.err
}

#[test]
fn a_proxy_of_the_environment_is_used_unless_a_flag_says_otherwise() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::of(&broker, "alice", "laptop");
    // Nobody is there: whoever goes that way does not arrive.
    let dead = free_port();
    let lost = run_behind(&device, dead, &["status"]);
    assert_eq!(lost.code, 1, "{}", lost.err);
    let named = format!("the HTTP proxy {dead} cannot be reached");
    assert!(lost.err.contains(&named), "{}", lost.err);
    run_behind(&device, dead, &["status", "--proxy", "none"]).worked();
    run_behind(&device, dead, &["status", "--no-proxy", "127.0.0.1"]).worked();
    let login = format!("http://alice:word@{dead}");
    let shown = device.run(&["status", "--proxy", &login]);
    assert!(shown.err.contains("warning") && shown.err.contains("HTTPS_PROXY"), "{}", shown.err);
    assert!(!shown.err.contains("word@"), "{}", shown.err);
    let hidden = start_behind(&device, &format!("alice:word@{dead}"), &["status"]).end();
    assert!(!lost.err.contains("warning") && !hidden.err.contains("warning"), "{}", hidden.err);
    let bad = device.run(&["status", "--proxy", "socks5://127.0.0.1:1"]);
    assert_eq!(bad.code, 2, "{}", bad.err);
}

#[test]
fn a_proxy_of_the_devices_file_goes_before_the_environment() {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let device = Device::of(&broker, "alice", "laptop");
    let (written, around) = (free_port(), free_port());
    let file = device.home().join("simopen.toml");
    let write = |text: String, mode| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    };
    write(format!("[network]\nproxy = \"{written}\"\n"), 0o644);
    let lost = run_behind(&device, around, &["status"]);
    assert_eq!(lost.code, 1, "{}", lost.err);
    assert!(lost.err.contains(&written.to_string()), "that of the file: {}", lost.err);
    run_behind(&device, around, &["status", "--proxy", "none"]).worked();
    write("[network]\nproxy = \"none\"\n".to_owned(), 0o644);
    run_behind(&device, around, &["status"]).worked();
    // A password that others can read is none.
    let login = format!("[network]\nproxy = \"alice:word@{written}\"\n");
    write(login.clone(), 0o640);
    let open = device.run(&["status"]);
    assert_eq!(open.code, 2, "{}", open.err);
    assert!(open.err.contains("chmod 600") && !open.err.contains("word@"), "{}", open.err);
    write(login, 0o600);
    assert_eq!(device.run(&["status"]).code, 1);
    let other = device.home().join("other.toml");
    fs::write(&other, "[network]\nproxies = 1\n").unwrap();
    let wrong = device.run(&["status", "--config", other.to_str().unwrap()]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("other.toml:2:1: found unknown field"), "{}", wrong.err);
}

#[test]
fn everything_goes_through_a_real_proxy() {
    let Some(proxy) = LoopbackProxy::tinyproxy(None) else { return };
    let broker = Broker::start("home");
    let [alice, bob] = ["alice", "bob"].map(|user| {
        broker.add(user, &["club"]);
        let device = Device::new();
        let line = broker.invite(user).reveal();
        run_behind(&device, proxy.address(), &["join", &line, "--device", "laptop"]).worked();
        device
    });
    let mut listen = bob.command(&["listen"]);
    listen.env("HTTPS_PROXY", format!("http://{}", proxy.address()));
    let mut listener = Running::spawn(listen);
    listener.wait_for_line("leads to");
    listener.say(b"hello from bob");
    let connected = run_behind(&alice, proxy.address(), &["connect", "bob"]).worked();
    assert_eq!(connected.out, b"hello from bob");
    assert!(connected.err.contains("by relay"), "{}", connected.err);
    listener.end().worked();
    let log = proxy.said();
    // Twice to join, twice to log in, twice to the relay.
    assert!(log.matches("CONNECT 127.0.0.1:").count() >= 6, "{log}");
}

#[test]
fn behind_a_proxy_that_refuses_connect_all_goes_inside_bodies_from_join_on() {
    let Some(mut squid) = LoopbackProxy::squid(Rule::NoConnect) else { return };
    let Some(others) = LoopbackProxy::squid(Rule::NoConnect) else { return };
    let broker = Broker::start("home");
    let (here, there) = (squid.address().to_string(), others.address().to_string());
    let alice = joined_behind(&broker, &here, "alice");
    squid.wait_for_answers("CONNECT", "403", 1);
    squid.wait_for_answers("GET", "200", 1);
    let bob = joined_behind(&broker, &there, "bob");
    let sent = ["note", "send", "bob", "by bodies"];
    run_behind(&alice, squid.address(), &sent).worked();
    let listed = run_behind(&bob, others.address(), &["note", "list"]).worked();
    assert!(listed.text().contains("by bodies"), "{}", listed.text());
    let way = exchange((&bob, &there), (&alice, &here), &["connect", "bob"]);
    assert!(way.contains("connected to bob/laptop by relay after"), "{way}");
    let forced = ["connect", "bob", "--techniques", "relay-http"];
    let way = exchange((&bob, &there), (&alice, &here), &forced);
    assert!(way.contains("connected to bob/laptop by relay (relay-http) after"), "{way}");
    // To join, for the note, and twice to connect: each time to log in, and to meet.
    squid.wait_for_answers("GET", "200", 6);
    assert_eq!(squid.answered("CONNECT", "200") + others.answered("CONNECT", "200"), 0);
    let by_connect = ["connect", "bob", "--techniques", "relay-connect"];
    // He gets through, so that it is her proxy alone that may be the first to refuse.
    let Some(tunnels) = LoopbackProxy::squid(Rule::Login) else { return };
    let through = format!("alice:word@{}", tunnels.address());
    let mut listener = start_behind(&bob, &through, &["listen"]);
    listener.wait_for_line("leads to");
    let refused = run_behind(&alice, squid.address(), &by_connect);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("403 Forbidden"), "{}", refused.err);

    // The control: nothing of this went around the proxy.
    squid.stop();
    broker.add("carol", &["club"]);
    let line = broker.invite("carol").reveal();
    for arguments in [&["join", &line][..], &sent, &["connect", "bob"], &forced] {
        let device = if arguments.contains(&line.as_str()) { &Device::new() } else { &alice };
        let lost = run_behind(device, squid.address(), arguments);
        assert_eq!(lost.code, 1, "{arguments:?}: {}", lost.err);
        assert!(lost.err.contains(&here), "the proxy is named: {}", lost.err);
    }
}

#[test]
fn a_proxy_that_refuses_all_is_heard_at_join() {
    let Some(squid) = LoopbackProxy::squid(Rule::Nothing) else { return };
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    let line = broker.invite("alice").reveal();
    let refused = run_behind(&Device::new(), squid.address(), &["join", &line]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("403 Forbidden"), "{}", refused.err);
    assert!(refused.err.contains("Access Denied"), "its own words: {}", refused.err);
}

#[test]
fn a_proxy_lets_those_through_that_log_in_and_tells_others_why_not() {
    let Some(squid) = LoopbackProxy::squid(Rule::Login) else { return };
    let broker = Broker::start("home");
    let right = format!("alice:word@{}", squid.address());
    broker.add("carol", &["club"]);
    let line = broker.invite("carol").reveal();
    for wrong in [format!("alice:guess@{}", squid.address()), squid.address().to_string()] {
        let refused = start_behind(&Device::new(), &wrong, &["join", &line]).end();
        assert_eq!(refused.code, 1, "{}", refused.err);
        let (said, words) = (&refused.err, ["407 Proxy Authentication Required", "Access Denied"]);
        assert!(words.iter().all(|word| said.contains(word)), "its own words: {said}");
        assert!(!said.contains("guess"), "{said}");
    }
    let alice = joined_behind(&broker, &right, "alice");
    let bob = joined_behind(&broker, &right, "bob");
    let way = exchange((&bob, &right), (&alice, &right), &["connect", "bob"]);
    assert!(way.contains("connected to bob/laptop by relay after"), "{way}");
    squid.wait_for_answers("CONNECT", "200", 6);
}
