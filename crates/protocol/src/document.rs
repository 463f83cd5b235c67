//! The XML inside a frame, read strictly.
//!
//! One root and nothing after it; no document type, no processing instruction, no entity beyond
//! the five of XML and character references. Depth and attribute counts are bounded while reading.

use std::borrow::Cow;

use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute as Written;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use thiserror::Error;

/// The deepest nesting of elements that is read.
pub const MAX_DEPTH: usize = 16;
/// The most attributes of one element that are read.
pub const MAX_ATTRIBUTES: usize = 64;

/// Room for a document as most are, in bytes.
const USUAL_LEN: usize = 512;

/// Name and value of an attribute. Names that this version writes are its own constants.
pub type Attribute = (Cow<'static, str>, String);

/// One XML element with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    /// The tag.
    pub name: Cow<'static, str>,
    /// Attributes in the order in which they were written.
    pub attributes: Vec<Attribute>,
    /// Child elements in order.
    pub children: Vec<Self>,
    /// All character data directly inside the element, joined and trimmed.
    pub text: String,
}

impl Element {
    /// An empty element.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            attributes: Vec::new(),
            children: Vec::new(),
            text: String::new(),
        }
    }

    /// The element with an attribute added.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name.into(), value.to_string()));
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
    pub fn with_text_child(self, name: &'static str, text: impl ToString) -> Self {
        let mut child = Self::new(name);
        child.text = text.to_string();
        self.with_child(child)
    }

    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
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
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let text = core::str::from_utf8(bytes).map_err(|_| DocumentError::NotUtf8)?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut root: Option<Self> = None;
        loop {
            match reader.read_event().map_err(|error| malformed(&error))? {
                Event::Start(start) => {
                    refuse_second_root(root.as_ref())?;
                    if open.len() == MAX_DEPTH {
                        return Err(DocumentError::TooDeep);
                    }
                    open.push(element_of(&start)?);
                }
                Event::Empty(start) => {
                    refuse_second_root(root.as_ref())?;
                    close(element_of(&start)?, &mut open, &mut root);
                }
                Event::End(_) => {
                    let mut element = open.pop().ok_or(DocumentError::Malformed)?;
                    element.text = element.text.trim().into();
                    close(element, &mut open, &mut root);
                }
                Event::Text(text) => character_data(&text.xml10_content(), &mut open)?,
                Event::CData(text) => character_data(&text.xml10_content(), &mut open)?,
                Event::GeneralRef(reference) => {
                    let mut buffer = [0; 4];
                    character_data(resolve(&reference)?.encode_utf8(&mut buffer), &mut open)?;
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
            let Written { value, .. } = Written::from((&**name, value.as_str()));
            for part in [" ", name, "=\"", &value, "\""] {
                into.push_str(part);
            }
        }
        if self.children.is_empty() && self.text.is_empty() {
            into.push_str("/>");
            return;
        }
        into.push('>');
        into.push_str(&escape(self.text.as_str()));
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

const fn refuse_second_root(root: Option<&Element>) -> Result<(), DocumentError> {
    if root.is_some() { Err(DocumentError::AfterRoot) } else { Ok(()) }
}

fn element_of(start: &BytesStart<'_>) -> Result<Element, DocumentError> {
    let mut element = Element::new(start.name().as_ref().to_owned());
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| DocumentError::Malformed)?;
        if element.attributes.len() == MAX_ATTRIBUTES {
            return Err(DocumentError::TooManyAttributes);
        }
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|_| DocumentError::UnknownEntity)?;
        let name = attribute.key.as_ref().to_owned();
        element.attributes.push((name.into(), value.into_owned()));
    }
    Ok(element)
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn character_data(text: &str, open: &mut [Element]) -> Result<(), DocumentError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(DocumentError::AfterRoot),
    }
    Ok(())
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, DocumentError> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| DocumentError::Malformed)? {
        return Ok(character);
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
            ("<a/><b/>", DocumentError::AfterRoot),
            ("<a/>x", DocumentError::AfterRoot),
            ("<!DOCTYPE a><a/>", DocumentError::DocumentType),
            ("<?p?><a/>", DocumentError::ProcessingInstruction),
            ("<a>&bomb;</a>", DocumentError::UnknownEntity),
            ("<a x='&bomb;'/>", DocumentError::UnknownEntity),
            (deep.as_str(), DocumentError::TooDeep),
            (wide.as_str(), DocumentError::TooManyAttributes),
        ] {
            assert_eq!(Element::parse(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(Element::parse(&[0xff]), Err(DocumentError::NotUtf8));
    }

    fn elements() -> impl Strategy<Value = Element> {
        let leaf = (
            "[a-zA-Z][a-z0-9]{0,6}",
            prop::collection::btree_map("[a-z]{1,6}", "[ -~äß]{0,12}", 0..4),
            "[!-~ä]{0,12}",
        )
            .prop_map(|(name, attributes, text)| Element {
                name: name.into(),
                attributes: attributes
                    .into_iter()
                    .map(|(name, value)| (name.into(), value))
                    .collect(),
                children: Vec::new(),
                text,
            });
        leaf.prop_recursive(4, 16, 4, |inner| {
            ("[a-z]{1,6}", prop::collection::vec(inner, 0..4))
                .prop_map(|(name, children)| Element { children, ..Element::new(name) })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(element in elements()) {
            prop_assert_eq!(Element::parse(&element.to_bytes()), Ok(element));
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
