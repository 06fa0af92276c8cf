//! Every definition of a message against Kafka's own schema: names, order, types, versions, nulls, tags, defaults.

use klamm::VersionRange;
use klamm::messages::*;
use klamm::wire::header::{RequestHeader, ResponseHeader};
use klamm::wire::{Description, FieldDescription, Message};
use klamm_live::schemas;
use serde_json::Value;
use std::collections::BTreeMap;

/// Between brokers only: no client sends or reads them.
const BETWEEN_BROKERS: [i64; 6] = [27, 83, 84, 85, 86, 87];

#[test]
fn definitions_say_what_kafkas_schemas_say() {
    let schemas: BTreeMap<String, Value> = schemas::all()
        .into_iter()
        .map(|schema| (text(&schema, "name").to_owned(), schema))
        .collect();
    let mut wanted: Vec<&str> = schemas
        .iter()
        .filter(|(_, schema)| is_of_clients(&schemas, schema))
        .map(|(name, _)| &name[..])
        .collect();
    wanted.extend(EMBEDDED);
    wanted.sort_unstable();
    let definitions = definitions();
    let mut defined: Vec<&str> = definitions
        .iter()
        .map(|definition| definition.name)
        .collect();
    defined.sort_unstable();
    assert_eq!(defined, wanted);
    assert_eq!(defined.len(), 2 * 71 + EMBEDDED.len());

    let mut differences = Vec::new();
    for definition in &definitions {
        compare(&schemas[definition.name], definition, &mut differences);
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// The comparison must see what it is there for: each change of a schema makes a difference.
#[test]
fn a_changed_schema_is_noticed() {
    let schemas = schemas::all();
    let fetch = schemas
        .iter()
        .find(|schema| text(schema, "name") == "FetchRequest")
        .expect("a schema");
    let differs = |pointer: &str, value: Value| {
        let mut schema = fetch.clone();
        *schema.pointer_mut(pointer).expect("the changed part") = value;
        let mut differences = Vec::new();
        compare(&schema, &FetchRequest::description(), &mut differences);
        differences
    };
    assert_eq!(differs("/apiKey", 1.into()), [""; 0]);
    assert_ne!(differs("/apiKey", 2.into()), [""; 0]);
    assert_ne!(differs("/validVersions", "4-19".into()), [""; 0]);
    assert_ne!(differs("/flexibleVersions", "11+".into()), [""; 0]);
    for (field, name) in fetch["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .enumerate()
    {
        let pointer = |of: &str| format!("/fields/{field}/{of}");
        assert_ne!(differs(&pointer("name"), "Other".into()), [""; 0], "{name}");
        assert_ne!(
            differs(&pointer("versions"), "9-10".into()),
            [""; 0],
            "{name}"
        );
        assert_ne!(
            differs(&pointer("type"), "float64".into()),
            [""; 0],
            "{name}"
        );
        for (of, other) in [
            ("default", "77"),
            ("tag", "77"),
            ("nullableVersions", "13+"),
        ] {
            if name.get(of).is_some() {
                let other = if of == "tag" { 77.into() } else { other.into() };
                assert_ne!(differs(&pointer(of), other), [""; 0], "{of} of {name}");
            }
        }
        // Where a version lacks the field; a schema that says nothing of it means no.
        if !["0+", "3+", "4+"].contains(&text(name, "versions")) {
            let ignorable = name.get("ignorable") == Some(&Value::Bool(true));
            let other = with(fetch, field, "ignorable", (!ignorable).into());
            assert_ne!(differs("", other), [""; 0], "{name}");
        }
    }
    assert_ne!(differs("/fields", Value::Array(vec![])), [""; 0]);
}

/// The schema with another value in one of its fields, whether or not there was one.
fn with(schema: &Value, field: usize, of: &str, value: Value) -> Value {
    let mut schema = schema.clone();
    schema["fields"][field][of] = value;
    schema
}

const EMBEDDED: [&str; 6] = [
    "ConsumerProtocolAssignment",
    "ConsumerProtocolSubscription",
    "ControlRecordTypeSchema",
    "EndTxnMarker",
    "RequestHeader",
    "ResponseHeader",
];

/// The type of the one string that is never flexible.
const NEVER_FLEXIBLE: &str = "ClientId";

/// The same as the schemas have it, where a type says more.
fn as_in_schemas(defined: &FieldDescription) -> FieldDescription {
    let mut defined = defined.clone();
    if defined.type_name == NEVER_FLEXIBLE {
        defined.type_name = "Option<Str>";
        defined.nullable = Some(VersionRange::ANY);
        let inner = defined.default.strip_prefix("ClientId(");
        let inner = inner.and_then(|default| default.strip_suffix(')'));
        defined.default = inner.expect("a name").to_owned();
    }
    defined
}

fn definitions() -> Vec<Description> {
    let mut definitions = vec![
        ConsumerProtocolAssignment::description(),
        ConsumerProtocolSubscription::description(),
        ControlRecordTypeSchema::description(),
        EndTxnMarker::description(),
        RequestHeader::description(),
        ResponseHeader::description(),
    ];
    macro_rules! describe {
        ($($key:ident $request:ident $response:ident,)*) => {
            $(definitions.extend([$request::description(), $response::description()]);)*
        };
    }
    klamm::for_each_api!(describe);
    definitions
}

/// Whether clients send the request, or the request that the response answers, to brokers.
fn is_of_clients(schemas: &BTreeMap<String, Value>, schema: &Value) -> bool {
    let request = match text(schema, "type") {
        "request" => schema,
        "response" => &schemas[&text(schema, "name").replace("Response", "Request")],
        _ => return false,
    };
    let listeners = request["listeners"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let key = request["apiKey"].as_i64().expect("a number");
    listeners.iter().any(|listener| listener == "broker")
        && text(request, "validVersions") != "none"
        && !BETWEEN_BROKERS.contains(&key)
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {schema}"))
}

/// `7+`, `0-5`, `3` or `none`.
fn versions(text: &str) -> Option<VersionRange> {
    let number = |text: &str| {
        text.parse()
            .unwrap_or_else(|_| panic!("no version: {text}"))
    };
    if text == "none" {
        return None;
    }
    Some(match (text.strip_suffix('+'), text.split_once('-')) {
        (Some(min), _) => VersionRange::new(number(min), i16::MAX),
        (None, Some((min, max))) => VersionRange::new(number(min), number(max)),
        (None, None) => VersionRange::new(number(text), number(text)),
    })
}

/// `NodeId` to `node_id`, `NumISR` to `num_isr`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(index + 1);
        let starts_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase())
            });
        if starts_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// What a type is called in Rust, as far as the comparison goes: a struct is only that.
fn rust_type(schema: &str) -> &str {
    match schema {
        "int8" => "i8",
        "int16" => "i16",
        "uint16" => "u16",
        "int32" => "i32",
        "int64" => "i64",
        "float64" => "f64",
        "string" => "Str",
        "uuid" => "Uuid",
        "bytes" => "Bytes",
        "records" => "Records",
        "bool" => "bool",
        _ => "struct",
    }
}

/// The definition's type without its nullability: `(is an array, of what)`.
fn defined_type(field: &FieldDescription) -> (bool, &str) {
    fn within<'a>(name: &'a str, outer: &str) -> Option<&'a str> {
        name.strip_prefix(outer)?
            .strip_prefix('<')?
            .strip_suffix('>')
    }
    let name = within(field.type_name, "Option").unwrap_or(field.type_name);
    // What is a secret, only our definitions say.
    let name = within(name, "Secret").unwrap_or(name);
    let element = within(name, "Vec").unwrap_or(name);
    (
        element != name,
        if field.fields.is_empty() {
            element
        } else {
            "struct"
        },
    )
}

/// The default that the schema says, as `Debug` prints it; nothing for structs, whose fields are compared.
fn default(field: &Value, nullable: bool) -> Option<String> {
    let kind = text(field, "type");
    let said = field.get("default").map(|said| {
        said.as_str()
            .map_or_else(|| said.to_string(), str::to_owned)
    });
    let or_null = |value: &str| {
        let null = said.as_deref() == Some("null") || kind == "records";
        if !nullable {
            value.to_owned()
        } else if null {
            "None".to_owned()
        } else {
            format!("Some({value})")
        }
    };
    Some(match rust_type(kind.trim_start_matches("[]")) {
        _ if kind.starts_with("[]") => or_null("[]"),
        "struct" if nullable => or_null(".."),
        "struct" => return None,
        "Str" => or_null(&format!(
            "{:?}",
            said.as_deref()
                .filter(|said| *said != "null")
                .unwrap_or_default()
        )),
        "Bytes" | "Records" => or_null("b\"\""),
        "Uuid" => "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "f64" => "0.0".to_owned(),
        "bool" => said.unwrap_or_else(|| "false".to_owned()),
        _ => match said.as_deref().map(|said| (said, said.strip_prefix("0x"))) {
            None => "0".to_owned(),
            Some((_, Some(hex))) => i64::from_str_radix(hex, 16).expect("a number").to_string(),
            Some((decimal, None)) => decimal.to_owned(),
        },
    })
}

/// The default that the definition says. A secret is never printed; that its default is empty, the golden messages show.
fn printed_default(defined: &FieldDescription) -> String {
    let empty = match defined_type(defined).1 {
        "Str" => "\"\"",
        _ => "b\"\"",
    };
    defined.default.replace("(secret)", empty)
}

/// Adds a line for each difference between a schema and a definition.
fn compare(schema: &Value, definition: &Description, differences: &mut Vec<String>) {
    let valid = versions(text(schema, "validVersions")).expect("versions");
    let flexible = versions(text(schema, "flexibleVersions")).map(|range| range.min.max(valid.min));
    let unstable =
        definition.name.starts_with("InitProducerId") || schema["latestVersionUnstable"] == true;
    let stable = VersionRange::new(valid.min, valid.max - i16::from(unstable));
    let key = schema["apiKey"].as_i64();
    let mut differ = |what: &str, said: String, defined: String| {
        if said != defined {
            differences.push(format!(
                "{}: {what} {said}, defined as {defined}",
                definition.name
            ));
        }
    };
    differ(
        "versions",
        valid.to_string(),
        definition.versions.to_string(),
    );
    differ(
        "stable versions",
        stable.to_string(),
        definition.stable.to_string(),
    );
    differ(
        "flexible from",
        format!("{flexible:?}"),
        format!("{:?}", definition.flexible_from),
    );
    differ(
        "key",
        format!("{key:?}"),
        format!("{:?}", definition.api.map(|key| i64::from(key.0))),
    );
    let place = Place {
        path: definition.name.to_owned(),
        schema,
        versions: valid,
    };
    place.compare(fields_of(schema), &definition.fields, differences);
}

fn fields_of(schema: &Value) -> &[Value] {
    schema["fields"].as_array().map_or(&[], Vec::as_slice)
}

/// A struct within a message, and the versions in which it is there.
struct Place<'a> {
    path: String,
    schema: &'a Value,
    versions: VersionRange,
}

impl Place<'_> {
    fn compare(&self, said: &[Value], defined: &[FieldDescription], differences: &mut Vec<String>) {
        let there = |field: &&Value| self.of(text(field, "versions")).is_some();
        let (mut tagged, mut said): (Vec<&Value>, Vec<&Value>) = said
            .iter()
            .filter(there)
            .partition(|field| field.get("tag").is_some());
        // Tagged fields stand last, in the order of their tags.
        tagged.sort_by_key(|field| field["tag"].as_i64());
        said.extend(tagged);
        let names: Vec<String> = said
            .iter()
            .map(|field| snake(text(field, "name")))
            .collect();
        let defined_names: Vec<&str> = defined
            .iter()
            .map(|field| field.name.trim_end_matches('_'))
            .collect();
        if names != defined_names {
            differences.push(format!(
                "{}: fields {names:?}, defined as {defined_names:?}",
                self.path
            ));
            return;
        }
        for (said, defined) in said.into_iter().zip(defined) {
            self.compare_field(said, defined, differences);
        }
    }

    /// Those of the versions in which the struct is there.
    fn of(&self, text: &str) -> Option<VersionRange> {
        versions(text)?.intersection(self.versions)
    }

    fn compare_field(
        &self,
        said: &Value,
        defined: &FieldDescription,
        differences: &mut Vec<String>,
    ) {
        let path = format!("{}.{}", self.path, defined.name);
        let never_flexible = defined.type_name == NEVER_FLEXIBLE;
        let defined = &as_in_schemas(defined);
        let mut differ = |what: &str, said: String, defined: String| {
            if said != defined {
                differences.push(format!("{path}: {what} {said}, defined as {defined}"));
            }
        };
        let there = self.of(text(said, "versions")).unwrap_or(self.versions);
        let defined_there = defined.versions.intersection(self.versions);
        differ(
            "versions",
            format!("{:?}", Some(there)),
            format!("{defined_there:?}"),
        );
        differ(
            "never flexible",
            (said["flexibleVersions"] == "none").to_string(),
            never_flexible.to_string(),
        );
        let nullable = self
            .of(said["nullableVersions"].as_str().unwrap_or("none"))
            .and_then(|range| range.intersection(there));
        let defined_nullable = defined.nullable.and_then(|range| range.intersection(there));
        differ(
            "null in",
            format!("{nullable:?}"),
            format!("{defined_nullable:?}"),
        );
        let kind = text(said, "type");
        let element = kind.trim_start_matches("[]");
        differ(
            "type",
            format!("{:?}", (element != kind, rust_type(element))),
            format!("{:?}", defined_type(defined)),
        );
        differ(
            "tag",
            format!("{:?}", said["tag"].as_u64()),
            format!("{:?}", defined.tag.map(u64::from)),
        );
        if let Some(default) = default(said, nullable.is_some()) {
            differ("default", default, printed_default(defined));
        }
        // It matters only where a version lacks the field.
        if there != self.versions {
            let ignorable = said["ignorable"] == true || said["ignorable"] == "true";
            differ(
                "ignorable",
                ignorable.to_string(),
                defined.ignorable.to_string(),
            );
        }
        let common = self.schema["commonStructs"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let shared = common.iter().find(|shared| text(shared, "name") == element);
        let inner = Place {
            path,
            schema: self.schema,
            versions: if shared.is_some() {
                self.versions
            } else {
                there
            },
        };
        inner.compare(
            fields_of(shared.unwrap_or(said)),
            &defined.fields,
            differences,
        );
    }
}
