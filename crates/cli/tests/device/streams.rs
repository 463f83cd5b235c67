//! Connections between two devices.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use simopen_broker::AdminRequest;

use crate::broker::Broker;
use crate::program::{Device, Running};

const MEBIBYTE: usize = 1024 * 1024;

/// Who logs in for whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Managers {
    None,
    Both,
}

/// Two devices of two users in one community.
pub(crate) fn pair() -> (Broker, Device, Device) {
    let broker = Broker::start("home");
    broker.add("alice", &["club"]);
    broker.add("bob", &["club"]);
    let alice = Device::of(&broker, "alice", "laptop");
    let bob = Device::of(&broker, "bob", "desk");
    (broker, alice, bob)
}

/// Bytes that repeat nowhere nearby.
fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// `simopen listen`, once it is reachable.
fn listening(device: &Device, arguments: &[&str]) -> Running {
    let mut listening = device.start(&[&["listen"], arguments].concat());
    listening.wait_for_line("leads to");
    listening
}

fn megabytes_go_both_ways(managers: Managers) {
    let (_broker, alice, bob) = pair();
    let managed = match managers {
        Managers::None => Vec::new(),
        Managers::Both => vec![alice.manage(1), bob.manage(1)],
    };
    let mut listener = listening(&bob, &[]);
    let [asked, answered] = [pattern(3 * MEBIBYTE, 1), pattern(5 * MEBIBYTE + 17, 2)];
    listener.say(&answered);
    let connected = alice.run_with(&["connect", "bob"], &asked).worked();
    assert!(connected.out == answered, "{} bytes came", connected.out.len());
    assert!(connected.err.contains("connected to bob/desk"), "{}", connected.err);
    let listened = listener.end().worked();
    assert!(listened.out == asked, "{} bytes came", listened.out.len());
    assert!(listened.err.contains("alice/laptop came by"), "{}", listened.err);
    for manager in managed {
        manager.terminate().worked();
    }
}

#[test]
fn megabytes_go_both_ways_between_two_that_log_in_for_themselves() {
    megabytes_go_both_ways(Managers::None);
}

#[test]
fn megabytes_go_both_ways_between_two_managers() {
    megabytes_go_both_ways(Managers::Both);
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    let (_broker, alice, bob) = pair();
    let _manager = bob.manage(1);
    let mut listener = listening(&bob, &[]);
    let mut connected = alice.start(&["connect", "bob"]);
    // The listener's direction ends at once, the other one has not even begun.
    listener.say(b"");
    connected.wait_for_end_of_output();
    connected.say_some(b"still here");
    assert_eq!(listener.read_some(), b"still here");
    connected.end().worked();
    listener.end().worked();
}

#[test]
fn everything_that_was_sent_arrives_although_the_sender_ends_at_once() {
    let (_broker, alice, bob) = pair();
    let mut listener = listening(&bob, &[]);
    // The answer has ended before the question begins: nothing keeps the sender.
    listener.say(b"");
    let mut connected = alice.start(&["connect", "bob"]);
    connected.wait_for_end_of_output();
    let sent = pattern(7 * MEBIBYTE + 3, 5);
    connected.say(&sent);
    connected.end().worked();
    let listened = listener.end().worked();
    assert!(listened.out == sent, "{} of {} bytes came", listened.out.len(), sent.len());
}

#[test]
fn a_local_port_leads_to_a_local_port_there() {
    let (_broker, alice, bob) = pair();
    let echo = Echo::start();
    let managers = [alice.manage(1), bob.manage(1)];
    let to = echo.address.to_string();
    let _listener = listening(&bob, &["--to", &to, "--service", "echo"]);
    let mut connecting =
        alice.start(&["connect", "bob/desk", "--service", "echo", "--listen", "127.0.0.1:0"]);
    let line = connecting.wait_for_line("whoever connects to");
    let local: SocketAddr =
        line.split(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    let callers: Vec<_> = (0..4)
        .map(|seed| {
            thread::spawn(move || {
                let sent = pattern(MEBIBYTE + 1, seed);
                let mut stream = TcpStream::connect(local).unwrap();
                let mut writing = stream.try_clone().unwrap();
                let copy = sent.clone();
                let writer = thread::spawn(move || {
                    writing.write_all(&copy).unwrap();
                    writing.shutdown(Shutdown::Write).unwrap();
                });
                let mut back = Vec::new();
                stream.read_to_end(&mut back).unwrap();
                writer.join().unwrap();
                assert!(back == sent, "{} bytes came back", back.len());
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    connecting.wait_for_line("on the link that stood");
    let status = alice.run(&["status"]).worked();
    assert!(status.text().contains("linked to bob/desk"), "{}", status.text());
    let stopped = connecting.terminate();
    assert_eq!(stopped.code, 130, "{}", stopped.err);
    for manager in managers {
        manager.terminate().worked();
    }
}

#[test]
fn each_device_of_a_user_is_reached_by_its_name_and_each_reaches_the_others() {
    let (broker, alice, desk) = pair();
    let phone = Device::of(&broker, "bob", "phone");
    let managers = [&desk, &phone].map(|device| device.manage(1));
    let shown = alice.run(&["status"]).worked();
    assert!(shown.text().contains("desk") && shown.text().contains("phone"), "{}", shown.text());
    for (from, to, device) in
        [(&alice, "desk", &desk), (&alice, "phone", &phone), (&phone, "desk", &desk)]
    {
        let mut listener = listening(device, &[]);
        listener.say(to.as_bytes());
        let name = format!("bob/{to}");
        let connected = from.run(&["connect", &name]).worked();
        assert_eq!(connected.out, to.as_bytes());
        assert!(connected.err.contains(&name), "{}", connected.err);
        listener.end().worked();
    }
    for manager in managers {
        manager.terminate().worked();
    }
}

#[test]
fn a_manager_offers_a_local_port_by_itself() {
    let (_broker, alice, bob) = pair();
    let echo = Echo::start();
    let offer = format!("default={}", echo.address);
    let mut manager = bob.start(&["peer", "--offer", &offer]);
    manager.wait_for_output("logged in");
    for _ in 0..2 {
        let connected = alice.run_with(&["connect", "bob"], b"ping").worked();
        assert_eq!(connected.out, b"ping");
    }
    let other = alice.run(&["connect", "bob", "--service", "other"]);
    assert_eq!(other.code, 1, "{}", other.err);
    manager.terminate().worked();
}

/// A server that says what it hears.
struct Echo {
    address: SocketAddr,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut stream, &mut back);
                    let _ = back.shutdown(Shutdown::Write);
                });
            }
        });
        Self { address }
    }
}

#[test]
fn it_is_told_which_way_a_connection_goes_or_nothing_at_all() {
    let (_broker, alice, bob) = pair();
    let _managers = [alice.manage(1), bob.manage(1)];
    let echo = Echo::start();
    let _listener = listening(&bob, &["--to", &echo.address.to_string()]);
    let quiet = alice.run_with(&["connect", "bob", "-q"], b"ping").worked();
    assert_eq!((quiet.out.as_slice(), quiet.err.as_str()), (&b"ping"[..], ""));
    let told = alice.run_with(&["connect", "bob", "--json"], b"ping").worked();
    let route: serde_json::Value = serde_json::from_str(told.err.trim()).unwrap();
    assert_eq!((&route["peer"], &route["reused"]), (&"bob/desk".into(), &true.into()));
    assert!(route["technique"].is_string() && route["milliseconds"].is_u64(), "{route}");
}

#[test]
fn a_peer_that_is_not_there_or_offers_nothing_is_said_so() {
    let (_broker, alice, bob) = pair();
    let absent = alice.run(&["connect", "bob"]);
    assert_eq!(absent.code, 1, "{}", absent.err);
    assert!(absent.err.contains("no such peer is online"), "{}", absent.err);
    let manager = bob.manage(1);
    let nothing = alice.run(&["connect", "bob"]);
    assert_eq!(nothing.code, 1, "{}", nothing.err);
    assert!(nothing.err.contains("offers no service 'default'"), "{}", nothing.err);
    let log = bob.run(&["log"]).worked();
    assert!(log.text().contains("alice/laptop asked for default"), "{}", log.text());
    manager.terminate().worked();
}

#[test]
fn a_service_is_offered_once_at_a_time() {
    let (_broker, _alice, bob) = pair();
    let manager = bob.manage(1);
    let first = listening(&bob, &["--service", "chat"]);
    let second = bob.run(&["listen", "--service", "chat"]);
    assert_eq!(second.code, 2, "{}", second.err);
    assert!(second.err.contains("offered already"), "{}", second.err);
    let other = listening(&bob, &["--service", "other"]);
    first.terminate();
    let mut again = bob.start(&["listen", "--service", "chat"]);
    again.wait_for_line("leads to");
    for listener in [other, again] {
        listener.terminate();
    }
    manager.terminate().worked();
}

#[test]
fn there_is_one_manager_for_a_device_also_after_one_was_killed() {
    let (_broker, _alice, bob) = pair();
    let first = bob.manage(1);
    let second = bob.run(&["peer"]);
    assert_eq!(second.code, 2, "{}", second.err);
    assert!(second.err.contains("runs already"), "{}", second.err);
    // Killed: its socket is still there.
    drop(first);
    assert!(bob.home().join("manager.sock").exists());
    assert_eq!(bob.run(&["status", "--json"]).worked().json()["manager"], false);
    let third = bob.manage(1);
    assert_eq!(bob.run(&["status", "--json"]).worked().json()["manager"], true);
    third.terminate().worked();
    assert!(!bob.home().join("manager.sock").exists());
}

#[test]
fn a_connection_that_breaks_is_no_success() {
    let (_broker, alice, bob) = pair();
    let manager = alice.manage(1);
    let mut listener = listening(&bob, &[]);
    let mut connected = alice.start(&["connect", "bob"]);
    listener.say_some(b"hello");
    assert_eq!(connected.read_some(), b"hello");
    // Killed, without a word on the link.
    drop(listener);
    let broken = connected.end();
    assert_eq!(broken.code, 1, "{}", broken.err);
    assert!(broken.err.contains("broke"), "{}", broken.err);
    manager.terminate().worked();
}

/// A server that says a few words and resets the connection when it hears some.
fn resetting() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.write_all(b"partial").unwrap();
            // What is left unread when a socket is closed resets the connection.
            let _ = stream.peek(&mut [0; 1]);
        }
    });
    address
}

fn a_break_at_the_far_end_is_no_success(managers: Managers) {
    let (_broker, alice, bob) = pair();
    let to = resetting().to_string();
    let managed = match managers {
        Managers::None => Vec::new(),
        Managers::Both => vec![alice.manage(1), bob.manage(1)],
    };
    let mut listener = listening(&bob, &["--service", "rst", "--to", &to]);
    let mut connected = alice.start(&["connect", "bob", "--service", "rst"]);
    assert_eq!(connected.read_some(), b"partial");
    connected.say_some(b"x");
    let broken = connected.end_by_itself();
    assert_eq!(broken.code, 1, "{}", broken.err);
    assert!(broken.err.contains("broke"), "{}", broken.err);
    listener.wait_for_line("broke");
    for manager in managed {
        manager.terminate().worked();
    }
}

#[test]
fn a_break_at_the_far_end_is_no_success_between_two_that_log_in_for_themselves() {
    a_break_at_the_far_end_is_no_success(Managers::None);
}

#[test]
fn a_break_at_the_far_end_is_no_success_between_two_managers() {
    a_break_at_the_far_end_is_no_success(Managers::Both);
}

#[test]
fn an_offer_of_a_port_where_nobody_listens_is_no_success() {
    let (_broker, alice, bob) = pair();
    // A port that nobody listens at for as long as this is kept.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let offer = format!("dead={}", closed.local_addr().unwrap());
    drop(closed);
    let mut manager = bob.start(&["peer", "--offer", &offer]);
    manager.wait_for_output("logged in");
    let connected = alice.run(&["connect", "bob", "--service", "dead"]);
    assert_eq!(connected.code, 1, "{}", connected.err);
    assert!(connected.err.contains("broke"), "{}", connected.err);
    manager.terminate().worked();
}

fn a_sender_that_is_killed_has_not_sent_everything(managers: Managers) {
    let (_broker, alice, bob) = pair();
    let managed = match managers {
        Managers::None => Vec::new(),
        Managers::Both => vec![alice.manage(1), bob.manage(1)],
    };
    let mut listener = listening(&bob, &[]);
    // The listener's own direction has ended, so that only the sender's is left.
    listener.say(b"");
    let mut connected = alice.start(&["connect", "bob"]);
    connected.wait_for_end_of_output();
    connected.say_some(b"the first half");
    assert_eq!(listener.read_some(), b"the first half");
    drop(connected);
    let listened = listener.end_by_itself();
    assert_eq!(listened.code, 1, "{}", listened.err);
    assert!(listened.err.contains("broke"), "{}", listened.err);
    for manager in managed {
        manager.terminate().worked();
    }
}

#[test]
fn a_sender_that_is_killed_has_not_sent_everything_where_it_logs_in_for_itself() {
    a_sender_that_is_killed_has_not_sent_everything(Managers::None);
}

#[test]
fn a_sender_that_is_killed_has_not_sent_everything_where_managers_run() {
    a_sender_that_is_killed_has_not_sent_everything(Managers::Both);
}

#[test]
fn a_caller_of_a_local_port_sees_its_connection_reset_where_the_stream_broke() {
    let (_broker, alice, bob) = pair();
    let to = resetting().to_string();
    let _managers = [alice.manage(1), bob.manage(1)];
    let _listener = listening(&bob, &["--to", &to]);
    let mut connecting = alice.start(&["connect", "bob", "--listen", "127.0.0.1:0"]);
    let line = connecting.wait_for_line("whoever connects to");
    let local: SocketAddr =
        line.split(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    let mut caller = TcpStream::connect(local).unwrap();
    let mut heard = [0; 7];
    caller.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"partial");
    caller.write_all(b"x").unwrap();
    let end = caller.read(&mut heard).unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_connection_to_somebody_who_is_revoked_ends_and_is_no_success() {
    let (broker, alice, bob) = pair();
    let managers = [alice.manage(1), bob.manage(1)];
    let mut listener = listening(&bob, &[]);
    let mut connected = alice.start(&["connect", "bob"]);
    listener.say_some(b"hello");
    assert_eq!(connected.read_some(), b"hello");
    broker.admin(AdminRequest::RevokeUser("bob".parse().unwrap()));
    let broken = connected.end_by_itself();
    assert_eq!(broken.code, 1, "{}", broken.err);
    let log = alice.run(&["log"]).worked();
    assert!(log.text().contains("bob was revoked"), "{}", log.text());
    for manager in managers {
        manager.terminate();
    }
}

#[test]
fn a_device_with_another_key_is_refused_until_its_key_is_accepted() {
    let (broker, alice, bob) = pair();
    let echo = Echo::start();
    let to = echo.address.to_string();
    let manager = bob.manage(1);
    let listener = listening(&bob, &["--to", &to]);
    alice.run_with(&["connect", "bob"], b"ping").worked();
    let met = alice.run(&["peers", "--json"]).worked().json();
    let own = bob.run(&["peers", "--json"]).worked().json();
    let (pinned, words) = (&met["brokers"][0]["peers"][0], &own["brokers"][0]["words"]);
    assert_eq!((&pinned["words"], &pinned["verified"]), (words, &false.into()));
    alice.run(&["peers", "--verify", "bob/desk"]).worked();
    let shown = alice.run(&["peers"]).worked();
    assert!(shown.text().contains("(verified)"), "{}", shown.text());
    listener.terminate();
    manager.terminate().worked();
    let none = alice.run(&["peers", "--accept", "bob/desk"]);
    assert_eq!(none.code, 1, "{}", none.err);

    // Somebody else's machine, under the same name.
    let (user, device) = ("bob".parse().unwrap(), "desk".parse().unwrap());
    broker.admin(AdminRequest::RevokeDevice { user, device });
    let other = Device::of(&broker, "bob", "desk");
    let manager = other.manage(1);
    let listener = listening(&other, &["--to", &to]);
    let refused = alice.run_with(&["connect", "bob"], b"ping");
    assert_eq!((refused.code, refused.out.as_slice()), (1, &b""[..]), "{}", refused.err);
    assert!(refused.err.contains("WARNING"), "{}", refused.err);
    let shown = alice.run(&["peers"]).worked();
    assert!(shown.text().contains("ANOTHER KEY"), "{}", shown.text());
    // To compare the old words again would not help: there are two keys, and that is said.
    let met = alice.run(&["peers", "--json"]).worked().json();
    let pin = &met["brokers"][0]["peers"][0];
    let unclear = alice.run(&["peers", "--verify", "bob/desk"]);
    assert_eq!(unclear.code, 2, "{}", unclear.text());
    for words in [&pin["words"], &pin["refused"]["words"]] {
        let words = words.as_str().unwrap();
        assert!(unclear.err.contains(words) && refused.err.contains(words), "{}", unclear.err);
    }
    alice.run(&["peers", "--accept", "bob/desk"]).worked();
    let accepted = alice.run_with(&["connect", "bob"], b"ping").worked();
    assert_eq!(accepted.out, b"ping");
    listener.terminate();
    manager.terminate().worked();
}
