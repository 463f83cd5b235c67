//! The XML inside a frame, read strictly.
//!
//! One root and nothing after it; no document type, no processing instruction, no entity beyond
//! the five of XML and character references, no character that XML 1.0 does not have. Depth and
//! attribute counts are bounded while reading. What is written keeps to the same.

mod text;

use std::borrow::Cow;

use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use thiserror::Error;

pub use self::text::is_character;
use self::text::{Place, is_space, write_escaped};

/// The deepest nesting of elements that is read.
pub const MAX_DEPTH: usize = 16;
/// The most attributes of one element that are read.
pub const MAX_ATTRIBUTES: usize = 64;

/// Room for a document as most are, in bytes.
const USUAL_LEN: usize = 512;

/// Room for the attributes of an element as most are.
const USUAL_ATTRIBUTES: usize = 8;

/// Name and value of an attribute that is kept. Names that this version writes are its own
/// constants.
pub type Attribute = (Cow<'static, str>, String);

/// One XML element with all that is in it; what was read borrows from the document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element<'text> {
    /// The tag.
    pub name: Cow<'text, str>,
    /// Attributes in the order in which they were written.
    pub attributes: Vec<(Cow<'text, str>, Cow<'text, str>)>,
    /// Child elements in order.
    pub children: Vec<Self>,
    /// All character data directly inside the element, joined and trimmed. What was written as a
    /// character reference is not trimmed.
    pub text: Cow<'text, str>,
}

impl<'text> Element<'text> {
    /// An empty element.
    #[must_use]
    pub fn new(name: impl Into<Cow<'text, str>>) -> Self {
        Self {
            name: name.into(),
            attributes: Vec::new(),
            children: Vec::new(),
            text: Cow::Borrowed(""),
        }
    }

    /// The element with an attribute added.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.push(name.into(), value.to_string().into());
        self
    }

    /// The element with a child added.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The element with a child added that holds nothing but `text`.
    #[must_use]
    pub fn with_text_child(self, name: &'static str, text: impl Into<Cow<'text, str>>) -> Self {
        self.with_child(Self { text: text.into(), ..Self::new(name) })
    }

    /// Adds an attribute.
    pub(crate) fn push(&mut self, name: Cow<'text, str>, value: Cow<'text, str>) {
        if self.attributes.is_empty() {
            self.attributes.reserve(USUAL_ATTRIBUTES);
        }
        self.attributes.push((name, value));
    }

    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Reads one document.
    ///
    /// # Errors
    ///
    /// [`DocumentError`] names the rule that the document breaks.
    pub fn parse(bytes: &'text [u8]) -> Result<Self, DocumentError> {
        let text = core::str::from_utf8(bytes).map_err(|_| DocumentError::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::from_str(text);
        if !text.chars().all(is_character) {
            return Err(DocumentError::NoCharacter);
        }
        let mut open: Vec<Open<'text>> = Vec::new();
        let mut root: Option<Self> = None;
        loop {
            match reader.read_event().map_err(|error| malformed(&error))? {
                Event::Start(start) => {
                    refuse_second_root(root.as_ref())?;
                    if open.len() == MAX_DEPTH {
                        return Err(DocumentError::TooDeep);
                    }
                    let tag = tag_before(text, reader.buffer_position(), &start, ">")?;
                    let element = element_of(tag, start.name().as_ref().len())?;
                    open.push(Open { element, kept: 0 });
                }
                Event::Empty(start) => {
                    refuse_second_root(root.as_ref())?;
                    let tag = tag_before(text, reader.buffer_position(), &start, "/>")?;
                    let element = element_of(tag, start.name().as_ref().len())?;
                    close(element, &mut open, &mut root);
                }
                Event::End(_) => {
                    let ended = open.pop().ok_or(DocumentError::Malformed)?;
                    close(ended.trimmed(), &mut open, &mut root);
                }
                Event::Text(text) => character_data(text.xml10_content(), &mut open)?,
                Event::CData(text) => character_data(text.xml10_content(), &mut open)?,
                Event::GeneralRef(reference) => {
                    let character = resolve(&reference)?;
                    open.last_mut().ok_or(DocumentError::AfterRoot)?.keep(character);
                }
                Event::Comment(_) => {}
                Event::Decl(_) if root.is_none() && open.is_empty() => {}
                Event::Decl(_) | Event::PI(_) => return Err(DocumentError::ProcessingInstruction),
                Event::DocType(_) => return Err(DocumentError::DocumentType),
                Event::Eof if open.is_empty() => return root.ok_or(DocumentError::Empty),
                Event::Eof => return Err(DocumentError::Malformed),
            }
        }
    }

    /// Writes the document.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::with_capacity(USUAL_LEN);
        self.write(&mut text);
        text.into_bytes()
    }

    fn write(&self, into: &mut String) {
        into.push('<');
        into.push_str(&self.name);
        for (name, value) in &self.attributes {
            for part in [" ", name, "=\""] {
                into.push_str(part);
            }
            write_escaped(value, Place::Attribute, into);
            into.push('"');
        }
        if self.children.is_empty() && self.text.is_empty() {
            into.push_str("/>");
            return;
        }
        into.push('>');
        write_escaped(&self.text, Place::Content, into);
        for child in &self.children {
            child.write(into);
        }
        for part in ["</", &self.name, ">"] {
            into.push_str(part);
        }
    }
}

fn malformed(_: &quick_xml::Error) -> DocumentError {
    DocumentError::Malformed
}

const fn refuse_second_root(root: Option<&Element<'_>>) -> Result<(), DocumentError> {
    if root.is_some() { Err(DocumentError::AfterRoot) } else { Ok(()) }
}

/// The tag that was read last, as it stands in the text before `position`, without its brackets.
fn tag_before<'text>(
    text: &'text str,
    position: u64,
    tag: &BytesStart<'_>,
    closing: &str,
) -> Result<&'text str, DocumentError> {
    let read = usize::try_from(position).ok().and_then(|position| text.get(..position));
    let until = read.and_then(|read| read.strip_suffix(closing));
    let from = until.and_then(|until| until.get(until.len().checked_sub(tag.len())?..));
    from.filter(|found| **found == **tag).ok_or(DocumentError::Malformed)
}

fn element_of(tag: &str, name_len: usize) -> Result<Element<'_>, DocumentError> {
    let name = tag.get(..name_len).filter(|name| is_name(name));
    let mut element = Element::new(name.ok_or(DocumentError::Malformed)?);
    let mut attributes = Attributes::new(tag, name_len);
    // That no name stands twice is checked below, without a list of them.
    attributes.with_checks(false);
    for attribute in attributes {
        let attribute = attribute.map_err(|_| DocumentError::Malformed)?;
        let name = attribute.key.into_inner();
        // The reader takes whatever stands before a '=', quotes too; written again it would be
        // read otherwise.
        if !is_name(name) || element.attribute(name).is_some() {
            return Err(DocumentError::Malformed);
        }
        if element.attributes.len() == MAX_ATTRIBUTES {
            return Err(DocumentError::TooManyAttributes);
        }
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|_| DocumentError::UnknownEntity)?;
        if !value.chars().all(is_character) {
            return Err(DocumentError::NoCharacter);
        }
        element.push(name.into(), value);
    }
    Ok(element)
}

/// XML 1.0 §2.3, Name.
fn is_name(name: &str) -> bool {
    name.starts_with(begins_name) && name.chars().all(is_of_name)
}

/// XML 1.0 §2.3, NameStartChar.
const fn begins_name(letter: char) -> bool {
    matches!(letter,
        ':' | 'A'..='Z' | '_' | 'a'..='z'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// XML 1.0 §2.3, NameChar.
const fn is_of_name(letter: char) -> bool {
    begins_name(letter)
        || matches!(letter,
            '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

fn close<'text>(
    element: Element<'text>,
    open: &mut [Open<'text>],
    root: &mut Option<Element<'text>>,
) {
    match open.last_mut() {
        Some(parent) => parent.element.children.push(element),
        None => *root = Some(element),
    }
}

fn character_data<'text>(
    text: Cow<'text, str>,
    open: &mut [Open<'text>],
) -> Result<(), DocumentError> {
    match open.last_mut() {
        Some(open) => open.add(text),
        None if text.chars().all(is_space) => {}
        None => return Err(DocumentError::AfterRoot),
    }
    Ok(())
}

/// An element whose end has not come.
struct Open<'text> {
    element: Element<'text>,
    /// Bytes of its text up to the last character reference, which are not trimmed.
    kept: usize,
}

impl<'text> Open<'text> {
    fn add(&mut self, text: Cow<'text, str>) {
        let own = &mut self.element.text;
        if !own.is_empty() {
            own.to_mut().push_str(&text);
            return;
        }
        *own = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_start_matches(is_space)),
            Cow::Owned(text) => Cow::Owned(text.trim_start_matches(is_space).to_owned()),
        };
    }

    fn keep(&mut self, character: char) {
        let own = self.element.text.to_mut();
        own.push(character);
        self.kept = own.len();
    }

    fn trimmed(mut self) -> Element<'text> {
        let own = &mut self.element.text;
        let length = own.trim_end_matches(is_space).len().max(self.kept);
        match own {
            Cow::Borrowed(text) => *text = text.get(..length).unwrap_or(text),
            Cow::Owned(text) => text.truncate(length),
        }
        self.element
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, DocumentError> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| DocumentError::Malformed)? {
        return if is_character(character) {
            Ok(character)
        } else {
            Err(DocumentError::NoCharacter)
        };
    }
    let name: Cow<'_, str> = reference.xml10_content();
    quick_xml::escape::resolve_xml_entity(&name)
        .and_then(|text| text.chars().next())
        .ok_or(DocumentError::UnknownEntity)
}

/// Why a document is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The bytes are not UTF-8.
    #[error("the document is not UTF-8")]
    NotUtf8,
    /// Something that XML 1.0 does not have as a character (§2.2), such as most control characters.
    #[error("the document holds what XML does not have as a character")]
    NoCharacter,
    /// There is no element.
    #[error("the document holds no element")]
    Empty,
    /// The XML is not well-formed.
    #[error("the document is not well-formed XML")]
    Malformed,
    /// Elements are nested more than [`MAX_DEPTH`] deep.
    #[error("elements are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// An element has more than [`MAX_ATTRIBUTES`] attributes.
    #[error("an element has more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// Something stands before or after the one root element.
    #[error("something stands outside the one root element")]
    AfterRoot,
    /// A document type declaration.
    #[error("a document type declaration is not taken")]
    DocumentType,
    /// A processing instruction, or an XML declaration that is not first.
    #[error("a processing instruction is not taken")]
    ProcessingInstruction,
    /// An entity beyond the five of XML.
    #[error("an entity beyond the five of XML is not taken")]
    UnknownEntity,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_broken_rule_has_its_own_error() {
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        let wide = format!(
            "<a {}/>",
            (0..=MAX_ATTRIBUTES).map(|n| format!("x{n}='' ")).collect::<String>()
        );
        for (text, error) in [
            ("", DocumentError::Empty),
            ("<a>", DocumentError::Malformed),
            ("<a></b>", DocumentError::Malformed),
            ("<a x='1' y='' x='2'/>", DocumentError::Malformed),
            ("<a '='1'/>", DocumentError::Malformed),
            ("<a x$='1'/>", DocumentError::Malformed),
            ("<a 1='1'/>", DocumentError::Malformed),
            ("<$/>", DocumentError::Malformed),
            ("<a/><b/>", DocumentError::AfterRoot),
            ("<a/>x", DocumentError::AfterRoot),
            ("<!DOCTYPE a><a/>", DocumentError::DocumentType),
            ("<?p?><a/>", DocumentError::ProcessingInstruction),
            ("<a>&bomb;</a>", DocumentError::UnknownEntity),
            ("<a x='&bomb;'/>", DocumentError::UnknownEntity),
            ("<a>\0</a>", DocumentError::NoCharacter),
            ("<a>\u{1b}[31m</a>", DocumentError::NoCharacter),
            ("<a>\u{ffff}</a>", DocumentError::NoCharacter),
            ("<a x='\u{1}'/>", DocumentError::NoCharacter),
            ("<a>&#27;</a>", DocumentError::NoCharacter),
            ("<a x='&#x1b;'/>", DocumentError::NoCharacter),
            ("&#32;<a/>", DocumentError::AfterRoot),
            (deep.as_str(), DocumentError::TooDeep),
            (wide.as_str(), DocumentError::TooManyAttributes),
        ] {
            assert_eq!(Element::parse(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(Element::parse(&[0xff]), Err(DocumentError::NotUtf8));
    }

    fn elements() -> impl Strategy<Value = Element<'static>> {
        let leaf = (
            "[a-zA-Z][a-z0-9]{0,6}",
            prop::collection::btree_map("[a-z]{1,6}", "[\t\n\r -~\u{85}äß]{0,12}", 0..4),
            "[\t\n\r -~\u{85}\u{a0}ä]{0,12}",
        )
            .prop_map(|(name, attributes, text)| Element {
                name: name.into(),
                attributes: attributes
                    .into_iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
                children: Vec::new(),
                text: text.into(),
            });
        leaf.prop_recursive(4, 16, 4, |inner| {
            ("[a-z]{1,6}", prop::collection::vec(inner, 0..4))
                .prop_map(|(name, children)| Element { children, ..Element::new(name) })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(element in elements()) {
            let bytes = element.to_bytes();
            prop_assert_eq!(Element::parse(&bytes), Ok(element));
        }

        #[test]
        fn whatever_is_written_holds_only_what_xml_has_as_a_character(
            text in "[\\x00-\\x20<&'\"\u{7f}-\u{9f}\u{fff0}-\u{ffff}ä\u{10ffff}]{0,24}",
        ) {
            let bytes = Element { text: text.as_str().into(), ..Element::new("a") }
                .with("x", &text)
                .to_bytes();
            let written = core::str::from_utf8(&bytes).unwrap();
            prop_assert!(written.chars().all(is_character), "{}", written);
            let read = Element::parse(&bytes).unwrap();
            let expected: String =
                text.chars().map(|c| if is_character(c) { c } else { '\u{fffd}' }).collect();
            prop_assert_eq!(&*read.text, &expected);
            prop_assert_eq!(read.attribute("x"), Some(&*expected));
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = Element::parse(&bytes);
        }

        #[test]
        fn no_text_like_xml_panics(text in "[<>/a'\"=&;!?\\[\\]#x0-9 -]{0,64}") {
            let _ = Element::parse(text.as_bytes());
        }
    }
}
