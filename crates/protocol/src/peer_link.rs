//! What the documents on a link between two peers mean (seed 001 ¶159-163).
//!
//! Either side sends `<PBPeerReq Action=… ID=…>`, and the other answers `<PBPeerResp Error=… …>`
//! with all the request's attributes repeated. `<PBPeerMsg/>` has an instant message in the frame's
//! part B.

use thiserror::Error;

use crate::control::{ErrorName, Head, TransactionId};
use crate::document::{Attribute, DocumentError, Element, MAX_ATTRIBUTES};
use crate::peer_frame::ChannelNumber;

/// The longest name of a service, in bytes.
pub const MAX_SERVICE_LEN: usize = 256;

/// One document on a link between two peers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// Something that one side asks of the other.
    Request(Request),
    /// The answer to a request.
    Response(Response),
    /// Part B of the frame is an instant message from user to user (¶163).
    Instant,
}

/// `<PBPeerReq>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// Comes back in the response.
    pub id: TransactionId,
    /// What is asked.
    pub action: Action,
    /// Attributes that this version does not know; they are repeated in the response.
    pub unknown: Vec<Attribute>,
}

/// What a peer asks of another. May grow; an unknown action is answered with `unknown-action`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Opens a channel (¶157).
    Open {
        /// The asking side's number of it.
        channel: ChannelNumber,
        /// What is to be at the other end, by a name that both sides know: at most
        /// [`MAX_SERVICE_LEN`] bytes.
        service: String,
    },
    /// Shows that the link lives.
    Ping,
}

/// `<PBPeerResp>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Response {
    /// The request's attributes.
    pub head: Head,
    /// The data elements, or the string that names the failure.
    pub result: Result<Reply, ErrorName>,
}

/// The data elements of a response that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// To `Open`: the answering side's number of the channel.
    Opened(ChannelNumber),
    /// To every other action.
    Done,
}

impl Request {
    /// What a response to this request repeats.
    #[must_use]
    pub fn head(&self) -> Head {
        let name = match self.action {
            Action::Open { .. } => "Open",
            Action::Ping => "Ping",
        };
        let head = Element::new("PBPeerReq").with("Action", name).with("ID", self.id.0);
        let head = match &self.action {
            Action::Open { channel, service } => {
                head.with("Channel", channel.0).with("Service", service)
            }
            Action::Ping => head,
        };
        let known = head.attributes.into_iter();
        let known = known.map(|(name, value)| (name.into_owned().into(), value.into_owned()));
        Head { attributes: known.chain(self.unknown.iter().cloned()).collect() }
    }
}

impl Message {
    /// Writes the document.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => {
                let mut element = Element::new("PBPeerReq");
                let head = request.head();
                for (name, value) in &head.attributes {
                    element.push((**name).into(), value.as_str().into());
                }
                element.to_bytes()
            }
            Self::Response(response) => {
                let error = response.result.as_ref().err().map_or("0", |name| name.0.as_str());
                let mut element = Element::new("PBPeerResp").with("Error", error);
                for (name, value) in &response.head.attributes {
                    if name != "Error" {
                        element.push((**name).into(), value.as_str().into());
                    }
                }
                match response.result {
                    Ok(Reply::Opened(channel)) => {
                        element.with_child(Element::new("Opened").with("Channel", channel.0))
                    }
                    Ok(Reply::Done) | Err(_) => element,
                }
                .to_bytes()
            }
            Self::Instant => Element::new("PBPeerMsg").to_bytes(),
        }
    }

    /// Reads one document. Unknown elements and attributes are ignored.
    ///
    /// # Errors
    ///
    /// [`PeerMessageError`] says what is wrong, and lets a request be answered all the same.
    pub fn parse(bytes: &[u8]) -> Result<Self, PeerMessageError> {
        let root = Element::parse(bytes)?;
        match &*root.name {
            "PBPeerReq" => request(&root).map(Self::Request),
            "PBPeerResp" => response(&root).map(Self::Response),
            "PBPeerMsg" => Ok(Self::Instant),
            _ => Err(PeerMessageError::UnknownRoot),
        }
    }
}

fn request(root: &Element<'_>) -> Result<Request, PeerMessageError> {
    let missing = |attribute| PeerMessageError::Missing { head: head(root), attribute };
    let id = number(root, "ID").map(TransactionId).ok_or_else(|| missing("ID"))?;
    let (action, known): (_, &[&str]) = match root.attribute("Action") {
        Some("Open") => {
            let channel = number(root, "Channel").ok_or_else(|| missing("Channel"))?;
            let service = root.attribute("Service").filter(|service| is_service(service));
            let service = service.ok_or_else(|| missing("Service"))?.to_owned();
            let channel = ChannelNumber(channel);
            (Action::Open { channel, service }, &["Action", "ID", "Channel", "Service"])
        }
        Some("Ping") => (Action::Ping, &["Action", "ID"]),
        Some(_) => return Err(PeerMessageError::UnknownAction(head(root))),
        None => return Err(missing("Action")),
    };
    let unknown = head(root).attributes.into_iter();
    let unknown = unknown.filter(|(name, _)| !known.contains(&&**name)).collect();
    Ok(Request { id, action, unknown })
}

fn is_service(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_SERVICE_LEN
}

fn response(root: &Element<'_>) -> Result<Response, PeerMessageError> {
    let head = head(root);
    let missing = |attribute| PeerMessageError::Missing { head: Head::default(), attribute };
    let result = match root.attribute("Error").ok_or_else(|| missing("Error"))? {
        "0" if head.action() == Some("Open") => {
            let opened = root.child("Opened").and_then(|opened| number(opened, "Channel"));
            Ok(Reply::Opened(ChannelNumber(opened.ok_or_else(|| missing("Channel"))?)))
        }
        "0" => Ok(Reply::Done),
        name => Err(ErrorName(name.to_owned())),
    };
    Ok(Response { head, result })
}

/// All attributes but `Error`, which a response adds; room is left for it.
fn head(root: &Element<'_>) -> Head {
    let attributes = root.attributes.iter().filter(|(name, _)| name != "Error");
    let attributes = attributes.take(MAX_ATTRIBUTES - 1);
    let owned = attributes.map(|(name, value)| (name.to_string().into(), value.to_string()));
    Head { attributes: owned.collect() }
}

fn number(element: &Element<'_>, name: &str) -> Option<u32> {
    element.attribute(name).and_then(|text| text.parse().ok())
}

/// A document that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerMessageError {
    /// It is no document by the rules.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its root is none of the three.
    #[error("the document is none that peers exchange")]
    UnknownRoot,
    /// It asks for something that this version does not know.
    #[error("the action is unknown")]
    UnknownAction(Head),
    /// An attribute or child is missing or has no proper value.
    #[error("the attribute {attribute} is missing or has no proper value")]
    Missing {
        /// What an answer repeats.
        head: Head,
        /// Which attribute.
        attribute: &'static str,
    },
}

impl PeerMessageError {
    /// The answer that a request gets all the same; `None` where it was none, or is unreadable.
    #[must_use]
    pub fn answer(&self) -> Option<Response> {
        let (head, name) = match self {
            Self::UnknownAction(head) => (head, "unknown-action"),
            Self::Missing { head, .. } if *head != Head::default() => (head, "incomplete"),
            Self::Missing { .. } | Self::Document(_) | Self::UnknownRoot => return None,
        };
        Some(Response { head: head.clone(), result: Err(ErrorName(name.to_owned())) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(unknown: Vec<Attribute>) -> Request {
        let action = Action::Open { channel: ChannelNumber(17), service: "files".into() };
        Request { id: TransactionId(3), action, unknown }
    }

    #[test]
    fn an_open_and_its_answer_are_as_the_page_shows_them() {
        let text = r#"<PBPeerReq Action="Open" ID="3" Channel="17" Service="files"/>"#;
        let request = Message::Request(open(vec![]));
        assert_eq!(String::from_utf8(request.to_bytes()).unwrap(), text);
        let head = open(vec![]).head();
        let answer = Response { head, result: Ok(Reply::Opened(ChannelNumber(5))) };
        let text = "<PBPeerResp Error=\"0\" Action=\"Open\" ID=\"3\" Channel=\"17\" \
                    Service=\"files\"><Opened Channel=\"5\"/></PBPeerResp>";
        let answer = Message::Response(answer);
        assert_eq!(String::from_utf8(answer.to_bytes()).unwrap(), text);
        assert_eq!(Message::parse(text.as_bytes()), Ok(answer));
        assert_eq!(Message::parse(b"<PBPeerMsg x='1'/>"), Ok(Message::Instant));
    }

    #[test]
    fn attributes_of_a_newer_version_are_repeated() {
        let request = open(vec![("Priority".into(), "7".into())]);
        let read = Message::parse(&Message::Request(request.clone()).to_bytes());
        assert_eq!(read, Ok(Message::Request(request.clone())));
        let answer = Response { head: request.head(), result: Err(ErrorName("no".into())) };
        let text = String::from_utf8(Message::Response(answer).to_bytes()).unwrap();
        assert!(text.contains(r#"Priority="7""#), "{text}");
    }

    #[test]
    fn what_cannot_be_done_is_answered_and_what_is_no_request_is_not() {
        let answered = |text: &str| {
            let error = Message::parse(text.as_bytes()).unwrap_err();
            error.answer().map(|answer| (answer.head.id(), answer.result.unwrap_err().0))
        };
        let id = Some(TransactionId(4));
        assert_eq!(
            answered("<PBPeerReq Action='Dance' ID='4'/>"),
            Some((id, "unknown-action".into()))
        );
        for text in [
            "<PBPeerReq Action='Open' ID='4' Channel='1'/>",
            "<PBPeerReq Action='Open' ID='4' Channel='x' Service='a'/>",
            "<PBPeerReq Action='Open' ID='4' Channel='1' Service=''/>",
        ] {
            assert_eq!(answered(text), Some((id, "incomplete".into())), "{text}");
        }
        for text in ["<PBReq/>", "x", "<PBPeerResp Action='Open' ID='1'/>"] {
            assert_eq!(answered(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(text in "<PBPeer(Req|Resp|Msg)( (Action|ID|Channel|Service|Error|x)='(Open|Ping|0|1|77|a b)'){0,5}(/>|><Opened Channel='2'/></PBPeer(Req|Resp|Msg)>)") {
            if let Ok(message) = Message::parse(text.as_bytes()) {
                prop_assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Message::parse(&bytes);
        }
    }
}
