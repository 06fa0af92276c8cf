//! Holds the machinery against definitions made for it. Must not need a real message.
#![allow(unreachable_pub, reason = "definitions are public")]

use super::*;
use alloc::{vec, vec::Vec};
use bytes::{Bytes, BytesMut};

message! {
    /// Everything that a definition can say.
    struct Sample: Data { versions: 1..=5, flexible: 3.. } {
        first: i16,
        until_two: i32 [..=2] = -1,
        from_two: Option<Str> [2..; null 4..] = Some(Str::EMPTY),
        middle: u16 [2..=4; ignorable],
        blob: Option<Records>,
        inner: Option<Inner> [3..; ignorable],
        one: Inner [4..] | 0,
        some: Option<Vec<Inner>> [3..; null 5.. ; ignorable] | 1 = Some(Vec::new()),
        data: Bytes [3..] | 300,
    }

    /// A struct with tagged fields, for one within another.
    struct Inner {
        number: i64,
        names: Vec<Str> [4..; ignorable] | 2,
    }
}

fn encode<M: Message>(message: &M, version: i16) -> Result<Segments, EncodeError> {
    let mut writer = Writer::new(BytesMut::new());
    message.encode(&mut writer, version)?;
    Ok(writer.finish())
}

fn bytes<M: Message>(message: &M, version: i16) -> Vec<u8> {
    encode(message, version).unwrap().to_vec()
}

fn decode<M: Message>(bytes: &[u8], version: i16) -> Result<M, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let message = M::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(message)
}

#[test]
fn defaults_are_the_ones_written_down() {
    let sample = Sample::default();
    assert_eq!(
        (sample.until_two, sample.from_two, sample.blob),
        (-1, Some(Str::EMPTY), None)
    );
    assert_eq!(
        (sample.inner, sample.one, sample.some),
        (None, Inner::default(), Some(vec![]))
    );
}

#[test]
fn fields_come_and_go_with_versions() {
    let sample = Sample {
        first: 1,
        middle: 7,
        ..Default::default()
    };
    assert_eq!(
        bytes(&sample, 1),
        [0, 1, 255, 255, 255, 255, 255, 255, 255, 255]
    );
    assert_eq!(
        bytes(&sample, 2),
        [0, 1, 255, 255, 255, 255, 0, 0, 0, 7, 255, 255, 255, 255]
    );
    assert_eq!(bytes(&sample, 3), [0, 1, 1, 0, 7, 0, 255, 0]);
    assert_eq!(bytes(&sample, 5), [0, 1, 1, 0, 255, 0]);
    for version in 1..=5 {
        let read: Sample = decode(&bytes(&sample, version), version).unwrap();
        let kept = Sample {
            middle: if (2..=4).contains(&version) { 7 } else { 0 },
            ..sample.clone()
        };
        assert_eq!(read, kept, "v{version}");
    }
}

#[test]
fn tagged_fields_within_tagged_fields_have_their_sizes() {
    let inner = Inner {
        number: 1,
        names: vec!["ab".into()],
    };
    let sample = Sample {
        one: inner,
        data: vec![9; 300].into(),
        ..Default::default()
    };
    let mut expected = vec![0, 0, 1, 0, 0, 0, 255]; // first, from_two, middle, blob, inner
    expected.push(2); // tagged fields
    expected.extend([0, 15, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 4, 2, 3, b'a', b'b']); // tag 0; within it tag 2
    expected.extend([0xac, 2, 0xae, 2, 0xad, 2]); // tag 300 of 302 bytes, of which 300 are data
    expected.extend([9; 300]);
    assert_eq!(bytes(&sample, 4), expected);
    assert_eq!(decode(&expected, 4), Ok(sample));
}

#[test]
fn large_data_within_a_tagged_field_is_copied_and_elsewhere_is_not() {
    let large = Bytes::from(vec![5; 1_000]);
    let sample = Sample {
        blob: Some(large.clone()),
        data: large.clone(),
        ..Default::default()
    };
    let segments = encode(&sample, 3).unwrap();
    let pieces: Vec<_> = segments.iter().map(Bytes::len).collect();
    assert_eq!(pieces, [7, 1_000, 1 + 1 + 2 + 2 + 2 + 1_000]);
    assert_eq!(segments.as_slice()[1].as_ptr(), large.as_ptr());
    assert_eq!(decode(&segments.to_vec(), 3), Ok(sample));
}

#[test]
fn nulls_follow_their_own_versions_in_tagged_fields_too() {
    let sample = Sample {
        some: None,
        ..Default::default()
    };
    assert_eq!(decode(&bytes(&sample, 5), 5), Ok(sample.clone()));
    let refused = encode(&sample, 4).unwrap_err();
    assert_eq!(
        refused.kind(),
        EncodeErrorKind::UnexpectedNull { version: 4 }
    );
    assert_eq!(alloc::format!("{}", refused.path()), "Sample.some");
    // The same bytes say it in version 5 (which has no `middle`), and may not in version 4.
    assert_eq!(bytes(&sample, 5), [0, 0, 1, 0, 255, 1, 1, 1, 0]);
    let refused = decode::<Sample>(&[0, 0, 1, 0, 0, 0, 255, 1, 1, 1, 0], 4).unwrap_err();
    assert_eq!(
        (refused.kind(), refused.at()),
        (DecodeErrorKind::UnexpectedNull, 10)
    );
    assert!(
        decode::<Sample>(&[0, 0, 1, 0, 255, 1, 1, 1, 0], 5)
            .unwrap()
            .some
            .is_none()
    );
}

#[test]
fn a_tag_of_another_version_is_unknown_and_skipped() {
    // Tag 0 (`one`) comes with version 4.
    assert_eq!(
        decode(&[0, 0, 1, 0, 0, 0, 255, 1, 0, 2, 1, 2], 3),
        Ok(Sample::default())
    );
}

#[test]
fn the_smallest_size_is_that_of_what_no_version_lacks() {
    assert_eq!(Sample::SMALLEST, 2 + 1);
    assert_eq!(Inner::SMALLEST, 8);
    assert_eq!((Sample::DEPTH, Inner::DEPTH), (2, 1));
}

#[test]
#[cfg(feature = "messages")]
fn a_description_says_what_the_definition_says() {
    let description = Sample::description();
    assert_eq!(
        (description.name, description.api, description.flexible_from),
        ("Sample", None, Some(3))
    );
    let field = &description.fields[2];
    assert_eq!(
        (field.name, field.type_name, field.tag, field.ignorable),
        ("from_two", "Option<Str>", None, false)
    );
    assert_eq!(field.versions, VersionRange::new(2, i16::MAX));
    assert_eq!(
        (field.nullable, &field.default[..]),
        (Some(VersionRange::new(4, i16::MAX)), "Some(\"\")")
    );
    let field = &description.fields[7];
    assert_eq!(
        (field.tag, field.ignorable, field.fields[1].name),
        (Some(1), true, "names")
    );
    assert_eq!(
        alloc::format!(
            "{} {} {}",
            field.versions,
            description.fields[3].versions,
            description.versions
        ),
        "3+ 2-4 1-5"
    );
}

#[test]
fn segments_are_equal_when_their_bytes_are() {
    let whole = Segments::from(Bytes::from_static(b"abcd"));
    let parts = Segments::new(vec![
        Bytes::from_static(b"a"),
        Bytes::new(),
        Bytes::from_static(b"bcd"),
    ]);
    assert_eq!(whole, parts);
    assert_eq!(
        (parts.len(), parts.iter().len(), parts.is_empty()),
        (4, 2, false)
    );
    assert_ne!(whole, Segments::from(Bytes::from_static(b"abce")));
    assert!(Segments::default().is_empty() && Segments::new(vec![]).is_empty());
    assert_eq!(alloc::format!("{parts:?}"), "Segments(4 bytes in 2)");
}
