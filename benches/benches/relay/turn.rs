//! coturn's relaying over TCP (RFC 6062): a client that has an allocation, and a peer that connects
//! to its relayed address.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::forwarder::{Forwarder, file, free, reach, start};
use crate::is_joined;

const COOKIE: u32 = 0x2112_a442;
const ALLOCATE: u16 = 0x0003;
const CREATE_PERMISSION: u16 = 0x0008;
const CONNECTION_BIND: u16 = 0x000b;
const CONNECTION_ATTEMPT: u16 = 0x001c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const REQUESTED_TRANSPORT: u16 = 0x0019;
const CONNECTION_ID: u16 = 0x002a;

pub(crate) fn coturn() -> Result<Forwarder, String> {
    let at = free();
    let config = file(
        "turn.conf",
        &format!(
            "listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nlistening-port={}\nno-auth\nno-tls\nno-dtls\nno-udp\n\
             no-cli\nallow-loopback-peers\nrealm=bench\nlog-file=/dev/null\nsimple-log\npidfile=/tmp/simopen-bench-turn.pid\n\
             relay-threads=1\nuserdb={}\n",
            at.port(),
            std::env::temp_dir().join("simopen-bench-turn.db").display(),
        ),
    );
    let process = start(Command::new("turnserver").arg("-c").arg(config))?;
    drop(reach(at)?);
    let pair = move || {
        let mut control = TcpStream::connect(at).unwrap();
        let answer = ask(&mut control, ALLOCATE, &[(REQUESTED_TRANSPORT, vec![6, 0, 0, 0])]);
        let relayed = address(attribute(&answer, XOR_RELAYED_ADDRESS).expect("coturn allocates"));
        let permitted = xored(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
        ask(&mut control, CREATE_PERMISSION, &[(XOR_PEER_ADDRESS, permitted)]);
        let mut peer = TcpStream::connect(relayed).unwrap();
        let (kind, attempt) = receive(&mut control);
        assert_eq!(kind, CONNECTION_ATTEMPT);
        let id = attribute(&attempt, CONNECTION_ID).unwrap().to_vec();
        let mut data = TcpStream::connect(at).unwrap();
        ask(&mut data, CONNECTION_BIND, &[(CONNECTION_ID, id)]);
        is_joined(&mut data, &mut peer);
        // The allocation lives as long as its connection, which ends with this process.
        std::mem::forget(control);
        (data, peer)
    };
    Ok(Forwarder::new("coturn", vec![process], Box::new(pair)))
}

fn ask(stream: &mut TcpStream, kind: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(value);
    }
    let mut message = kind.to_be_bytes().to_vec();
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(COOKIE.to_be_bytes());
    message.extend([0; 8]);
    message.extend(NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    message.extend(body);
    stream.write_all(&message).unwrap();
    let (answered, answer) = receive(stream);
    assert_eq!(answered, kind | 0x0100, "coturn refuses {kind:#x}");
    answer
}

fn receive(stream: &mut TcpStream) -> (u16, Vec<u8>) {
    let mut head = [0; 20];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
    stream.read_exact(&mut body).unwrap();
    (u16::from_be_bytes([head[0], head[1]]), body)
}

fn attribute(mut body: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [high, low, first, second, rest @ ..] = body {
        let length = usize::from(u16::from_be_bytes([*first, *second]));
        if u16::from_be_bytes([*high, *low]) == wanted {
            return rest.get(..length);
        }
        body = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn xored(address: SocketAddrV4) -> Vec<u8> {
    let mut value = vec![0, 1];
    value.extend((address.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
    value.extend((u32::from(*address.ip()) ^ COOKIE).to_be_bytes());
    value
}

fn address(value: &[u8]) -> SocketAddr {
    let port = u16::from_be_bytes([value[2], value[3]]) ^ (COOKIE >> 16) as u16;
    let ip = u32::from_be_bytes([value[4], value[5], value[6], value[7]]) ^ COOKIE;
    (Ipv4Addr::from(ip), port).into()
}
