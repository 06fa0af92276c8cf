//! F4: any message that a version can say is written exactly; what a version cannot say is refused, not dropped.
//!
//! The definitions, as data, are interpreted here a second time: [`Model`] knows the rules of Kafka's encoding and
//! nothing of the machinery in `klamm::wire`.

use std::sync::LazyLock;

use bytes::BytesMut;
use klamm::messages::*;
use klamm::wire::{Description, FieldDescription, Message, Reader, Writer};
use klamm::{EncodeErrorKind, VersionRange};

use crate::Choices;

/// A field's value, whatever its type.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// Of a fixed size: numbers, booleans, ids.
    Fixed(Vec<u8>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Array(Option<Vec<Value>>),
    Struct(Option<Vec<Value>>),
}

impl Value {
    fn is_null(&self) -> bool {
        matches!(
            self,
            Self::Text(None) | Self::Bytes(None) | Self::Array(None) | Self::Struct(None)
        )
    }
}

/// A type, as a definition spells it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Fixed(usize),
    Bool,
    Float,
    Text,
    Bytes,
    Array,
    Struct,
}

struct Field {
    name: &'static str,
    kind: Kind,
    /// Whether the type has a null, and which versions allow it.
    nullable: Option<VersionRange>,
    /// Of an array's elements.
    element: Option<Box<Field>>,
    fields: Vec<Field>,
    versions: VersionRange,
    tag: Option<u32>,
    ignorable: bool,
    default: Value,
}

impl Field {
    fn new(described: &FieldDescription) -> Self {
        let spelling = described.type_name.replace(' ', "");
        let fields = described.fields.iter().map(Self::new).collect();
        let mut field = Self::of_type(&spelling, fields);
        field.name = described.name;
        field.nullable = field.nullable.and(described.nullable);
        field.versions = described.versions;
        field.tag = described.tag;
        field.ignorable = described.ignorable;
        field.default = field.parse_default(&described.default);
        field
    }

    fn of_type(spelling: &str, fields: Vec<Self>) -> Self {
        let all = VersionRange::from_bounds(..);
        let inner = |outer: &str| {
            spelling
                .strip_prefix(outer)?
                .strip_suffix('>')
                .map(str::to_owned)
        };
        if let Some(inner) = inner("Option<") {
            return Self {
                nullable: Some(all),
                ..Self::of_type(&inner, fields)
            };
        }
        if let Some(inner) = inner("Secret<") {
            return Self::of_type(&inner, fields);
        }
        let (mut element, mut fields) = (None, fields);
        let kind = match spelling {
            "bool" => Kind::Bool,
            "i8" => Kind::Fixed(1),
            "i16" | "u16" | "ApiKey" => Kind::Fixed(2),
            "i32" => Kind::Fixed(4),
            "i64" => Kind::Fixed(8),
            "f64" => Kind::Float,
            "Uuid" => Kind::Fixed(16),
            "Str" => Kind::Text,
            "Bytes" | "Records" => Kind::Bytes,
            _ => match inner("Vec<") {
                Some(inner) => {
                    element = Some(Box::new(Self::of_type(&inner, std::mem::take(&mut fields))));
                    Kind::Array
                }
                None => Kind::Struct,
            },
        };
        assert!(
            kind != Kind::Struct || !fields.is_empty(),
            "{spelling} has no fields"
        );
        let mut field = Self {
            name: "",
            kind,
            nullable: None,
            element,
            fields,
            versions: all,
            tag: None,
            ignorable: false,
            default: Value::Text(None),
        };
        field.default = field.zero();
        field
    }

    /// The default of the type.
    fn zero(&self) -> Value {
        let there = self.nullable.is_none();
        match self.kind {
            Kind::Fixed(size) => Value::Fixed(vec![0; size]),
            Kind::Bool => Value::Fixed(vec![0]),
            Kind::Float => Value::Fixed(vec![0; 8]),
            Kind::Text => Value::Text(there.then(String::new)),
            Kind::Bytes => Value::Bytes(there.then(Vec::new)),
            Kind::Array => Value::Array(there.then(Vec::new)),
            Kind::Struct => Value::Struct(there.then(|| {
                self.fields
                    .iter()
                    .map(|field| field.default.clone())
                    .collect()
            })),
        }
    }

    /// The default that `Debug` printed.
    fn parse_default(&self, printed: &str) -> Value {
        match (self.kind, printed) {
            (Kind::Fixed(size), number) if size < 16 => match number.parse::<i64>() {
                Ok(number) => Value::Fixed(number.to_be_bytes()[8 - size..].to_vec()),
                Err(_) => self.zero(),
            },
            (Kind::Bool, flag) => Value::Fixed(vec![u8::from(flag == "true")]),
            (Kind::Text, "Some(\"\")" | "Some((secret))") => Value::Text(Some(String::new())),
            (Kind::Array, "Some([])") => Value::Array(Some(Vec::new())),
            (
                _,
                "(secret)" | "None" | "\"\"" | "[]" | "b\"\"" | "0.0" | "AAAAAAAAAAAAAAAAAAAAAA",
            ) => self.zero(),
            (Kind::Struct, _) if self.nullable.is_none() => self.zero(),
            (kind, other) => panic!("the default `{other}` of {}, {kind:?}", self.name),
        }
    }

    /// A value that `version` can say.
    fn choose(&self, choices: &mut Choices<'_>, version: i16) -> Value {
        if !self.versions.contains(version) || choices.byte().is_multiple_of(4) {
            let has_none = self.default.is_null() && !self.allows_null(version);
            if !(has_none && self.versions.contains(version)) {
                return self.default.clone();
            }
            // Null by default, in a version that has no null.
            return self.choose_value(choices, version);
        }
        if self.allows_null(version) && choices.byte().is_multiple_of(4) {
            return match self.kind {
                Kind::Text => Value::Text(None),
                Kind::Bytes => Value::Bytes(None),
                Kind::Array => Value::Array(None),
                Kind::Fixed(_) | Kind::Bool | Kind::Float | Kind::Struct => Value::Struct(None),
            };
        }
        self.choose_value(choices, version)
    }

    fn allows_null(&self, version: i16) -> bool {
        self.nullable
            .is_some_and(|nullable| nullable.contains(version))
    }

    fn choose_value(&self, choices: &mut Choices<'_>, version: i16) -> Value {
        match self.kind {
            Kind::Fixed(size) => {
                let edge = choices.edgy(64).to_be_bytes();
                let bytes = (0..size).map(|at| edge[at % 8]);
                Value::Fixed(if size > 8 {
                    bytes.collect()
                } else {
                    edge[8 - size..].to_vec()
                })
            }
            Kind::Bool => Value::Fixed(vec![choices.byte() % 2]),
            Kind::Float => Value::Fixed((choices.edgy(32) as f64).to_be_bytes().to_vec()),
            Kind::Text => Value::Text(Some(
                String::from_utf8_lossy(choices.bytes(20)).into_owned(),
            )),
            Kind::Bytes => {
                let times = if choices.byte() == 7 { 100 } else { 1 };
                Value::Bytes(Some(choices.bytes(20).repeat(times)))
            }
            Kind::Array => {
                let element = self.element.as_ref().expect("an array has elements");
                let count = if choices.is_empty() {
                    0
                } else {
                    choices.below(4)
                };
                let element = |_| element.choose(choices, version);
                Value::Array(Some((0..count).map(element).collect()))
            }
            Kind::Struct => {
                let choose = |field: &Self| field.choose(choices, version);
                Value::Struct(Some(self.fields.iter().map(choose).collect()))
            }
        }
    }
}

/// What a version cannot say.
#[derive(Debug, PartialEq)]
enum Refusal {
    NotInVersion,
    UnexpectedNull,
}

/// Writes values by the rules of Kafka's encoding.
struct Model {
    version: i16,
    flexible: bool,
    bytes: Vec<u8>,
}

impl Model {
    fn uvarint(&mut self, mut number: usize) {
        while number >= 128 {
            self.bytes.push(number as u8 | 128);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn length(&mut self, length: Option<usize>, short: bool) {
        match (length, self.flexible) {
            (length, true) => self.uvarint(length.map_or(0, |length| length + 1)),
            (Some(length), false) if short => self.bytes.extend((length as i16).to_be_bytes()),
            (Some(length), false) => self.bytes.extend((length as i32).to_be_bytes()),
            (None, false) => self
                .bytes
                .extend(if short { &[255; 2][..] } else { &[255; 4] }),
        }
    }

    fn value(&mut self, field: &Field, value: &Value) -> Result<(), Refusal> {
        match value {
            Value::Fixed(bytes) => self.bytes.extend(bytes),
            Value::Text(text) => {
                self.length(text.as_ref().map(String::len), true);
                self.bytes.extend(text.iter().flat_map(|text| text.bytes()));
            }
            Value::Bytes(bytes) => {
                self.length(bytes.as_ref().map(Vec::len), false);
                self.bytes.extend(bytes.iter().flatten());
            }
            Value::Array(elements) => {
                self.length(elements.as_ref().map(Vec::len), false);
                let element = field.element.as_ref().expect("an array has elements");
                for value in elements.iter().flatten() {
                    self.value(element, value)?;
                }
            }
            Value::Struct(values) => {
                if field.nullable.is_some() {
                    self.bytes.push(if values.is_some() { 1 } else { 255 });
                }
                if let Some(values) = values {
                    self.fields(&field.fields, values)?;
                }
            }
        }
        Ok(())
    }

    fn fields(&mut self, fields: &[Field], values: &[Value]) -> Result<(), Refusal> {
        let mut tagged = Vec::new();
        for (field, value) in fields.iter().zip(values) {
            if !field.versions.contains(self.version) {
                if !field.ignorable && *value != field.default {
                    return Err(Refusal::NotInVersion);
                }
            } else if field.tag.is_some() {
                if *value != field.default {
                    tagged.push((field, value));
                }
            } else {
                self.field(field, value)?;
            }
        }
        if self.flexible {
            self.uvarint(tagged.len());
            for (field, value) in tagged {
                let before = std::mem::take(&mut self.bytes);
                self.field(field, value)?;
                let payload = std::mem::replace(&mut self.bytes, before);
                self.uvarint(field.tag.unwrap_or_default() as usize);
                self.uvarint(payload.len());
                self.bytes.extend(payload);
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: &Value) -> Result<(), Refusal> {
        let null = value.is_null();
        if null && !field.allows_null(self.version) {
            return Err(Refusal::UnexpectedNull);
        }
        self.value(field, value)
    }
}

struct Subject {
    description: Description,
    fields: Vec<Field>,
    check: fn(&Subject, &[Value], i16),
}

impl Subject {
    fn of<M: Message>() -> Self {
        let description = M::description();
        let fields = description.fields.iter().map(Field::new).collect();
        Self {
            description,
            fields,
            check: check::<M>,
        }
    }

    fn write(&self, values: &[Value], version: i16) -> Result<Vec<u8>, Refusal> {
        let mut model = Model {
            version,
            flexible: self
                .description
                .flexible_from
                .is_some_and(|from| version >= from),
            bytes: Vec::new(),
        };
        model.fields(&self.fields, values)?;
        Ok(model.bytes)
    }
}

macro_rules! subjects {
    ($($key:ident $request:ident $response:ident,)*) => {
        vec![$(Subject::of::<$request>(), Subject::of::<$response>(),)*
            Subject::of::<ConsumerProtocolSubscription>(), Subject::of::<ConsumerProtocolAssignment>()]
    };
}

static SUBJECTS: LazyLock<Vec<Subject>> = LazyLock::new(|| klamm::for_each_api!(subjects));

/// Klamm and the model agree on the message in every version: on its bytes, or that it cannot be said.
fn check<M: Message>(subject: &Subject, values: &[Value], version: i16) {
    let name = M::NAME;
    let bytes = subject
        .write(values, version)
        .expect("chosen for this version");
    let mut reader = Reader::new(bytes.into());
    let message = M::decode(&mut reader, version)
        .and_then(|message| reader.finish().map(|()| message))
        .unwrap_or_else(|error| panic!("v{version}: {error}\n{values:?}"));
    for version in M::VERSIONS.iter() {
        let mut writer = Writer::new(BytesMut::new());
        let encoded = message.encode(&mut writer, version);
        match (subject.write(values, version), encoded) {
            (Ok(bytes), Ok(())) => {
                let size = writer.len();
                let written = writer.finish();
                assert_eq!(written.to_vec(), bytes, "{name} v{version}\n{message:?}");
                assert_eq!(size, bytes.len(), "{name} v{version}");
            }
            (Err(refusal), Err(error)) => {
                let expected = match refusal {
                    Refusal::NotInVersion => EncodeErrorKind::NotInVersion { version },
                    Refusal::UnexpectedNull => EncodeErrorKind::UnexpectedNull { version },
                };
                assert_eq!(error.kind(), expected, "{error}\n{message:?}");
            }
            (model, klamm) => panic!("{name} v{version}: {model:?}, but {klamm:?}\n{message:?}"),
        }
    }
}

/// F4: two bytes for the message, one for the version, then choices for its fields.
pub fn f4_structured(data: &[u8]) {
    let mut choices = Choices::new(data);
    let subject = &SUBJECTS[choices.number(2) as usize % SUBJECTS.len()];
    let versions: Vec<i16> = subject.description.versions.iter().collect();
    let version = *choices.one_of(&versions);
    let values: Vec<Value> = subject
        .fields
        .iter()
        .map(|field| field.choose(&mut choices, version))
        .collect();
    (subject.check)(subject, &values, version);
}

/// Reads values by the rules of Kafka's encoding, from bytes that Klamm or the cluster have written.
struct Reading<'a> {
    version: i16,
    flexible: bool,
    rest: &'a [u8],
}

impl<'a> Reading<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn uvarint(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            number |= usize::from(byte & 127) << shift;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }

    fn length(&mut self, short: bool) -> Option<Option<usize>> {
        if self.flexible {
            return Some(self.uvarint()?.checked_sub(1));
        }
        let bytes = self.take(if short { 2 } else { 4 })?;
        let negative = bytes[0] >= 128;
        let length = bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        Some((!negative).then_some(length))
    }

    fn value(&mut self, field: &Field) -> Option<Value> {
        Some(match field.kind {
            Kind::Fixed(size) => Value::Fixed(self.take(size)?.to_vec()),
            Kind::Bool => Value::Fixed(self.take(1)?.to_vec()),
            Kind::Float => Value::Fixed(self.take(8)?.to_vec()),
            Kind::Text => Value::Text(match self.length(true)? {
                Some(length) => Some(String::from_utf8(self.take(length)?.to_vec()).ok()?),
                None => None,
            }),
            Kind::Bytes => Value::Bytes(match self.length(false)? {
                Some(length) => Some(self.take(length)?.to_vec()),
                None => None,
            }),
            Kind::Array => Value::Array(match self.length(false)? {
                Some(count) => {
                    let element = field.element.as_ref()?;
                    let elements: Option<_> = (0..count).map(|_| self.value(element)).collect();
                    Some(elements?)
                }
                None => None,
            }),
            Kind::Struct if field.nullable.is_some() && self.take(1)? != [1] => Value::Struct(None),
            Kind::Struct => Value::Struct(Some(self.fields(&field.fields)?)),
        })
    }

    fn fields(&mut self, fields: &[Field]) -> Option<Vec<Value>> {
        let mut values: Vec<Value> = fields.iter().map(|field| field.default.clone()).collect();
        for (field, value) in fields.iter().zip(&mut values) {
            if field.tag.is_none() && field.versions.contains(self.version) {
                *value = self.value(field)?;
            }
        }
        for _ in 0..if self.flexible { self.uvarint()? } else { 0 } {
            let (tag, _) = (self.uvarint()?, self.uvarint()?);
            let at = fields
                .iter()
                .position(|field| field.tag == Some(tag as u32))?;
            values[at] = self.value(&fields[at])?;
        }
        Some(values)
    }
}

fn response_of(key: i16) -> Option<&'static Subject> {
    SUBJECTS.iter().find(|subject| {
        let api = subject.description.api;
        api.is_some_and(|api| api.0 == key) && subject.description.name.ends_with("Response")
    })
}

/// Any response, without header, that Klamm can read; `None` where there is no such version.
pub(crate) fn choose_response(
    key: i16,
    version: i16,
    choices: &mut Choices<'_>,
) -> Option<Vec<u8>> {
    let subject = response_of(key)?;
    let values: Vec<Value> = subject
        .fields
        .iter()
        .map(|field| field.choose(choices, version))
        .collect();
    subject.write(&values, version).ok()
}

/// The same response, without header, with some values changed: still a message, but one that no broker would send.
pub(crate) fn mutate_response(
    key: i16,
    version: i16,
    body: &[u8],
    choices: &mut Choices<'_>,
) -> Option<Vec<u8>> {
    let subject = response_of(key)?;
    let mut reading = Reading {
        version,
        flexible: subject
            .description
            .flexible_from
            .is_some_and(|from| version >= from),
        rest: body,
    };
    let mut values = reading.fields(&subject.fields)?;
    for _ in 0..=choices.below(3) {
        mutate_fields(&subject.fields, &mut values, version, choices);
    }
    subject.write(&values, version).ok()
}

fn mutate_fields(fields: &[Field], values: &mut [Value], version: i16, choices: &mut Choices<'_>) {
    let there: Vec<usize> = (0..fields.len())
        .filter(|at| fields[*at].versions.contains(version))
        .collect();
    if there.is_empty() {
        return;
    }
    let at = *choices.one_of(&there);
    mutate_value(&fields[at], &mut values[at], version, choices);
}

fn mutate_value(field: &Field, value: &mut Value, version: i16, choices: &mut Choices<'_>) {
    match value {
        Value::Struct(Some(values)) if !choices.byte().is_multiple_of(8) => {
            mutate_fields(&field.fields, values, version, choices);
        }
        Value::Array(Some(elements))
            if !elements.is_empty() && !choices.byte().is_multiple_of(8) =>
        {
            let (at, other) = (choices.below(elements.len()), choices.below(elements.len()));
            match choices.below(8) {
                0 => drop(elements.remove(at)),
                1 => elements.push(elements[at].clone()),
                2 => elements.swap(at, other),
                _ => {
                    let element = field.element.as_ref().expect("an array has elements");
                    mutate_value(element, &mut elements[at], version, choices);
                }
            }
        }
        Value::Bytes(Some(bytes)) if !bytes.is_empty() => {
            for _ in 0..=choices.below(3) {
                let at = choices.number(2) as usize % bytes.len();
                match choices.below(4) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes.extend_from_within(at..),
                    _ => bytes[at] = choices.byte(),
                }
            }
            // A changed batch whose checksum fits gets further.
            if choices.flag() {
                crate::batches::fit_checksums(bytes);
            }
        }
        Value::Fixed(_) | Value::Text(_) | Value::Bytes(_) | Value::Array(_) | Value::Struct(_) => {
            *value = field.choose(choices, version);
        }
    }
}
