//! Two links over a pipe in memory.

use simopen_protocol::peer_frame::{ChannelHeader, ChannelNumber, Flags, PartA, PeerFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};

use super::*;

/// Long enough for a machine that is busy; nothing here takes long.
const PATIENCE: Duration = Duration::from_secs(60);

fn opened(role: Role) -> Opened {
    let remote = Remote {
        peer: PeerId(1),
        user: UserId::new("bob").unwrap(),
        device: DeviceName::new("desk").unwrap(),
        key: PublicKey(vec![1]),
    };
    Opened { remote, technique: Technique::Direct, role }
}

fn start(stream: DuplexStream, role: Role) -> PeerLink {
    PeerLink::start(stream, opened(role), None)
}

fn linked() -> (PeerLink, PeerLink) {
    let (a, b) = duplex(64 * 1024);
    (start(a, Role::Originator), start(b, Role::Responder))
}

/// Says back what it hears, on every channel.
fn echo(link: PeerLink) {
    tokio::spawn(async move {
        while let Some(offered) = link.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = split(offered.accept());
                copy(&mut from, &mut to).await.unwrap();
                to.shutdown().await.unwrap();
            });
        }
    });
}

async fn echoed(mut channel: Channel, words: &[u8]) -> Vec<u8> {
    channel.write_all(words).await.unwrap();
    channel.shutdown().await.unwrap();
    let mut heard = Vec::new();
    timeout(PATIENCE, channel.read_to_end(&mut heard)).await.unwrap().unwrap();
    heard
}

#[tokio::test]
async fn a_thousand_channels_are_open_at_once_and_each_hears_its_own_words() {
    let (a, b) = linked();
    echo(b);
    let mut channels = Vec::new();
    for _ in 0..1000 {
        channels.push(timeout(PATIENCE, a.open("echo")).await.unwrap().unwrap());
    }
    let mut talks = tokio::task::JoinSet::new();
    for (number, channel) in channels.into_iter().enumerate() {
        talks.spawn(async move {
            let words = format!("{number} ").repeat(2000).into_bytes();
            assert_eq!(echoed(channel, &words).await, words);
        });
    }
    while let Some(talked) = talks.join_next().await {
        talked.unwrap();
    }
}

#[tokio::test]
async fn one_more_channel_than_a_link_takes_is_refused() {
    let (a, b) = linked();
    echo(b);
    let mut channels = Vec::new();
    let refused = loop {
        match a.open("echo").await {
            Ok(channel) => channels.push(channel),
            Err(error) => break error,
        }
    };
    assert_eq!((channels.len(), refused), (1024, OpenError::TooMany));
    channels.pop();
    // One that ended makes room, once the other side knows.
    let again = async {
        while a.open("echo").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn a_channel_that_nobody_reads_stalls_no_other() {
    let (a, b) = linked();
    let (mut ours, mut theirs) = channel(&a, &b).await;
    let filling = tokio::spawn(async move { ours.write_all(&vec![7; 8 << 20]).await });
    let (quick, echoing) = channel(&a, &b).await;
    let words = vec![1; 4 << 20];
    let (mut from, mut to) = split(quick);
    let (mut hears, mut answers) = split(echoing);
    let said = words.clone();
    tokio::spawn(async move {
        to.write_all(&said).await.unwrap();
        to.shutdown().await.unwrap();
    });
    tokio::spawn(async move {
        copy(&mut hears, &mut answers).await.unwrap();
        answers.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    timeout(PATIENCE, from.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(heard == words);
    assert!(!filling.is_finished(), "nobody has read what it writes");
    theirs.shutdown().await.unwrap();
    drop(theirs);
    let ended = timeout(PATIENCE, filling).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn each_direction_of_a_channel_ends_by_itself() {
    let (a, b) = linked();
    let (mut ours, mut theirs) = channel(&a, &b).await;
    ours.write_all(b"question").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut heard = Vec::new();
    timeout(PATIENCE, theirs.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, b"question");
    theirs.write_all(b"answer").await.unwrap();
    theirs.shutdown().await.unwrap();
    drop(theirs);
    heard.clear();
    timeout(PATIENCE, ours.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, b"answer");
}

#[tokio::test]
async fn a_channel_that_is_dropped_unfinished_or_broken_off_ends_as_broken_behind_its_words() {
    let (a, b) = linked();
    for is_finished in [false, true] {
        let (mut ours, mut theirs) = channel(&a, &b).await;
        theirs.write_all(b"partial").await.unwrap();
        if is_finished {
            theirs.shutdown().await.unwrap();
            theirs.break_off();
        } else {
            drop(theirs);
        }
        let told = async {
            while ours.write_all(b"x").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, told).await.unwrap();
        let mut heard = Vec::new();
        let read = timeout(PATIENCE, ours.read_to_end(&mut heard)).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(heard, b"partial");
        assert!(ours.shutdown().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_nobody_takes_ends_after_ten_seconds_and_leaves_nothing() {
    let (a, b) = linked();
    let since = tokio::time::Instant::now();
    let error = a.open("x").await.unwrap_err();
    assert_eq!(error, OpenError::NoAnswer { within: Duration::from_secs(10) });
    assert_eq!(since.elapsed(), Duration::from_secs(10));
    // Whoever takes it too late has a channel that is broken already, and the link goes on.
    let mut late = b.accept().await.unwrap().accept();
    assert!(late.read(&mut [0; 1]).await.is_err());
    let (_ours, _theirs) = channel(&a, &b).await;
}

#[tokio::test]
async fn an_offer_is_refused_with_a_word_or_by_dropping_it() {
    let (a, b) = linked();
    let refusing = async {
        b.accept().await.unwrap().refuse("no-such-service");
        drop(b.accept().await.unwrap());
    };
    let asking = async { [a.open("x").await.unwrap_err(), a.open("y").await.unwrap_err()] };
    let (_, [first, second]) =
        timeout(PATIENCE, async { tokio::join!(refusing, asking) }).await.unwrap();
    assert_eq!(first, OpenError::Refused("no-such-service".into()));
    assert_eq!(second, OpenError::Refused("refused".into()));
    assert_eq!(a.open("").await.unwrap_err(), OpenError::TooLong { limit: 256 });
}

#[tokio::test]
async fn a_link_that_closes_ends_everything_on_it_on_both_sides() {
    let (a, b) = linked();
    let (mut ours, mut theirs) = channel(&a, &b).await;
    let reading = tokio::spawn(async move { theirs.read(&mut [0; 8]).await });
    a.close();
    timeout(PATIENCE, b.closed()).await.unwrap();
    assert!(timeout(PATIENCE, reading).await.unwrap().unwrap().is_err());
    assert!(ours.write(b"x").await.is_err());
    assert_eq!(a.open("x").await.unwrap_err(), OpenError::LinkClosed);
    assert!(timeout(PATIENCE, b.accept()).await.unwrap().is_none());
    assert!(timeout(PATIENCE, b.heard()).await.unwrap().is_none());
    assert!(b.say(b"x").is_err());
}

#[tokio::test]
async fn what_was_written_has_arrived_when_a_link_has_settled() {
    let (a, b) = linked();
    let (mut ours, mut theirs) = channel(&a, &b).await;
    let words = vec![7; 200 * 1024];
    ours.write_all(&words).await.unwrap();
    ours.shutdown().await.unwrap();
    timeout(PATIENCE, a.settle()).await.unwrap().unwrap();
    a.close();
    timeout(PATIENCE, b.closed()).await.unwrap();
    let mut heard = Vec::new();
    timeout(PATIENCE, theirs.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(heard == words, "{} bytes have come", heard.len());
    assert_eq!(a.settle().await, Err(OpenError::LinkClosed));
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_other_side_hears_nothing_never_settles() {
    let (a, _unheard) = duplex(1024);
    let link = start(a, Role::Originator);
    assert_eq!(link.settle().await, Err(OpenError::LinkClosed));
}

#[tokio::test]
async fn instant_messages_arrive_in_order() {
    let (a, b) = linked();
    for text in ["one", "two"] {
        a.say(text.as_bytes()).unwrap();
    }
    for text in ["one", "two"] {
        let heard = timeout(PATIENCE, b.heard()).await.unwrap().unwrap();
        assert_eq!(heard, text.as_bytes());
    }
    assert!(a.say(&vec![0; MAX_PART_B + 1]).is_err());
}

#[tokio::test]
async fn messages_that_nobody_reads_do_not_pile_up() {
    let (a, _unread) = duplex(1024);
    let link = start(a, Role::Originator);
    let refused = (0..1000).find_map(|_| link.say(&[1; 4096]).err());
    assert_eq!(refused, Some(OpenError::Unread));
}

#[tokio::test]
async fn what_no_honest_peer_sends_closes_the_link() {
    let header = ChannelHeader {
        flags: Flags::NONE,
        source: ChannelNumber(1),
        destination: ChannelNumber(2),
    };
    let mut unknown_channel = Vec::new();
    let frame = PeerFrame { head: PartA::Channel(header), data: b"x".to_vec() };
    frame.encode(&mut unknown_channel);
    for words in [&unknown_channel[..], &[0xff; 64], b"GET / HTTP/1.1\r\n\r\n"] {
        let (a, mut b) = duplex(64 * 1024);
        let link = start(a, Role::Responder);
        b.write_all(words).await.unwrap();
        timeout(PATIENCE, link.closed()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_other_side_is_silent_is_asked_and_then_closed() {
    let (a, b) = duplex(64 * 1024);
    let link = start(a, Role::Originator);
    let since = tokio::time::Instant::now();
    link.closed().await;
    assert_eq!(since.elapsed(), Duration::from_secs(60));
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_link_stays() {
    let (a, b) = linked();
    let quiet = timeout(Duration::from_secs(3600), a.closed()).await;
    assert!(quiet.is_err(), "both sides answer");
    drop(b);
}

async fn channel(a: &PeerLink, b: &PeerLink) -> (Channel, Channel) {
    let both = async { tokio::join!(a.open("x"), async { b.accept().await.unwrap().accept() }) };
    let (ours, theirs) = timeout(PATIENCE, both).await.unwrap();
    (ours.unwrap(), theirs)
}
