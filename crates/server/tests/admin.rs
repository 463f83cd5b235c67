//! The operator's socket and the probes' listener, with a broker that answers from a list.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex};

use simopen_broker::{AdminError, AdminReply, AdminRequest};
use simopen_protocol::invitation::Invitation;
use simopen_protocol::token::Token;
use simopen_server::admin::{
    AdminSocket, Administered, Answer, Attendant, Introduction, Refused, SocketError, Told, Word,
    ask,
};
use simopen_server::figures::{Exposition, Figure, Readiness, ReadinessWatch, router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Knows alice, takes everything, and remembers what it was asked.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Vec<AdminRequest>>>);

impl Administered for Scripted {
    async fn admin(&self, request: AdminRequest) -> Option<Result<AdminReply, AdminError>> {
        self.0.lock().unwrap().push(request.clone());
        Some(if let AdminRequest::Invite { user, .. } = request {
            let invited = AdminReply::Invited { secret: Token::from_random([9; 32]), until: 77 };
            if user.as_str() == "nobody" { Err(AdminError::UnknownUser) } else { Ok(invited) }
        } else if matches!(request, AdminRequest::AddUser { user, .. } if user.as_str() == "alice")
        {
            Err(AdminError::Exists)
        } else {
            Ok(AdminReply::Done)
        })
    }

    async fn figures(&self) -> Vec<Figure> {
        vec![Figure::gauge("simopen_peers", "Logged-in devices", 3)]
    }
}

fn desk() -> (Scripted, Attendant<Scripted>) {
    let introduction = Introduction {
        name: "home".parse().unwrap(),
        addresses: vec!["192.0.2.1:7443".parse().unwrap()],
        authority: [5; 32],
    };
    let broker = Scripted::default();
    (broker.clone(), Attendant::new(broker, introduction))
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("simopen-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn an_invitation_is_a_whole_line_and_a_user_that_exists_is_no_hindrance() {
    let (broker, desk) = desk();
    let word = r#"{"do":"invite","user":"alice","communities":["home"],"seconds":60}"#;
    let answer: Answer = serde_json::from_str(&desk.answer_line(word).await).unwrap();
    let Answer::Ok(Told::Invited(invited)) = answer else { panic!("{answer:?}") };
    let invitation: Invitation = invited.line.parse().unwrap();
    assert_eq!((invitation.broker.as_str(), invitation.until), ("home", 77));
    assert_eq!(invitation.secret, Token::from_random([9; 32]));
    let asked = broker.0.lock().unwrap().clone();
    assert!(matches!(
        asked[..],
        [AdminRequest::AddUser { .. }, AdminRequest::AddMember { .. }, AdminRequest::Invite { .. }]
    ));
    // Without communities nobody is added by the way, and whoever exists is told so.
    let word = r#"{"do":"add-user","user":"alice"}"#;
    let refused: Answer = serde_json::from_str(&desk.answer_line(word).await).unwrap();
    assert!(matches!(refused, Answer::Error(Refused { word, .. }) if word == "exists"));
    let word = r#"{"do":"invite","user":"nobody","seconds":60}"#;
    let refused: Answer = serde_json::from_str(&desk.answer_line(word).await).unwrap();
    assert!(matches!(refused, Answer::Error(Refused { word, .. }) if word == "unknown-user"));
}

#[tokio::test]
async fn a_line_that_is_none_is_answered_and_nothing_is_asked() {
    let (broker, desk) = desk();
    for (line, word) in [
        ("", "bad-request"),
        ("{}", "bad-request"),
        (r#"{"do":"users","extra":1}"#, "bad-request"),
        (r#"{"do":"add-user","user":"a b"}"#, "bad-name"),
        (r#"{"do":"invite","user":"bob","seconds":0}"#, "bad-lifetime"),
    ] {
        let answer: Answer = serde_json::from_str(&desk.answer_line(line).await).unwrap();
        assert!(matches!(&answer, Answer::Error(refused) if refused.word == word), "{answer:?}");
    }
    assert!(broker.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_socket_is_its_owners_and_takes_the_place_of_a_stale_one() {
    let scratch = Scratch::new("admin-socket");
    let path = scratch.0.join("admin.sock");
    drop(UnixListener::bind(&path).unwrap());
    let socket = AdminSocket::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(AdminSocket::bind(&path), Err(SocketError::Taken(_))));
    let (_, desk) = desk();
    let asking = path.clone();
    let answer = tokio::select! {
        _ = socket.serve(desk) => panic!("it serves until it is dropped"),
        answer = tokio::task::spawn_blocking(move || ask(&asking, &Word::Stats {})) => answer,
    };
    let Answer::Ok(Told::Stats(counts)) = answer.unwrap().unwrap() else { panic!("no figures") };
    assert_eq!((counts[0].name.as_str(), counts[0].value), ("simopen_peers", 3));
    drop(socket);
    assert!(!path.exists());
    assert!(matches!(ask(&path, &Word::Users {}), Err(SocketError::Nobody(_))));
}

#[tokio::test]
async fn probes_are_answered_and_learn_of_draining() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let readiness = ReadinessWatch::new();
    let routes = router(Scripted::default(), Arc::new(Exposition::new()), &readiness);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let got = async |path: &str| {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(got("/metrics").await.contains("\nsimopen_peers 3\n"));
    assert!(got("/healthz").await.starts_with("HTTP/1.1 200 "));
    assert!(got("/readyz").await.starts_with("HTTP/1.1 200 "));
    assert!(got("/elsewhere").await.starts_with("HTTP/1.1 404 "));
    readiness.set(Readiness::Draining);
    assert!(got("/readyz").await.starts_with("HTTP/1.1 503 "));
    assert!(got("/healthz").await.starts_with("HTTP/1.1 200 "));
}
