//! Lengths and documents that would take much memory, if anybody believed them.

use simopen_benches::client::Client;
use simopen_benches::memory::resident;
use simopen_benches::stand::Stand;
use simopen_protocol::control::Message;
use tokio::io::AsyncWriteExt;

use crate::honest::{HONEST, assert_within_bound, block_on, in_time, logged_in, requests};

/// Links that bomb, one after another and some beside each other.
const LINKS: usize = 200;

/// What all of them together may leave behind: a few hundred bytes a link.
const GROWTH: u64 = 32 << 20;

pub(crate) fn lengths() {
    let stand = Stand::start(4, |builder| builder).unwrap();
    block_on(async {
        let mut honest = logged_in(&stand, 0).await;
        let before = resident();
        for length in [u32::MAX, i32::MAX as u32, 64 << 20, 4097] {
            let mut open = Vec::new();
            for _ in 0..LINKS / 4 {
                let mut link = bomber(&stand).await;
                let announced = [&length.to_be_bytes()[..], &[b'<'; 2000]].concat();
                link.stream().write_all(&announced).await.unwrap();
                link.stream().flush().await.unwrap();
                open.push(link);
            }
            assert_within_bound("requests beside them", &requests(&mut honest, 100).await);
            for mut link in open {
                assert!(is_refused_and_closed(&mut link).await, "{length} bytes were announced");
            }
        }
        assert_flat(before);
    });
}

pub(crate) fn documents() {
    let stand = Stand::start(4, |builder| builder).unwrap();
    block_on(async {
        let mut honest = logged_in(&stand, 0).await;
        let before = resident();
        for (what, document) in bombs() {
            assert!(document.len() <= 4096, "{what}: it must get past the limit of lengths");
            let mut link = bomber(&stand).await;
            let mut wire = (document.len() as u32).to_be_bytes().to_vec();
            wire.extend(document.as_bytes());
            link.stream().write_all(&wire).await.unwrap();
            link.stream().flush().await.unwrap();
            assert!(is_refused_and_closed(&mut link).await, "{what}");
            assert_within_bound(what, &requests(&mut honest, 50).await);
        }
        assert_flat(before);
    });
}

/// Documents that grow when they are read, or that have no end of something.
fn bombs() -> Vec<(&'static str, String)> {
    let mut laughs = String::from("<!DOCTYPE PBReq [<!ENTITY l0 \"lol\">");
    for level in 1..40 {
        let references = format!("&l{};", level - 1).repeat(8);
        laughs.push_str(&format!("<!ENTITY l{level} \"{references}\">"));
    }
    laughs.push_str("]><PBReq Action=\"Ping\" ID=\"1\">&l39;</PBReq>");
    let attributes: String = (0..300).map(|number| format!(" a{number}=\"\"")).collect();
    vec![
        ("entities within entities", laughs),
        ("an entity of somebody else", "<PBReq Action=\"Ping\" ID=\"1\">&x;</PBReq>".into()),
        (
            "a file as an entity",
            "<!DOCTYPE a [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><PBReq Action=\"Ping\" ID=\"1\">&f;</PBReq>"
                .into(),
        ),
        ("elements within elements", "<a>".repeat(1000)),
        ("closed elements within elements", "<a>".repeat(500) + &"</a>".repeat(500)),
        ("no end of attributes", format!("<PBReq Action=\"Ping\" ID=\"1\"{attributes}/>")),
        ("two roots", "<PBReq Action=\"Ping\" ID=\"1\"/><PBReq Action=\"Ping\" ID=\"2\"/>".into()),
        ("no document", "\0".repeat(4000)),
    ]
}

async fn bomber(stand: &Stand) -> Client {
    let connect = Client::connect(stand.address, &stand.devices[1], Some(HONEST));
    in_time("a connection", connect).await.unwrap()
}

/// One error, and the end of the link.
async fn is_refused_and_closed(link: &mut Client) -> bool {
    let mut errors = 0;
    loop {
        match in_time("the end of the link", link.read()).await {
            Ok(Message::Response(response)) if response.result.is_err() => errors += 1,
            Ok(_) => return false,
            Err(_) => return errors <= 1,
        }
    }
}

fn assert_flat(before: u64) {
    let after = resident();
    println!("  memory before {} KiB, after {} KiB", before >> 10, after >> 10);
    assert!(after < before + GROWTH, "memory grew from {before} to {after} bytes");
}
