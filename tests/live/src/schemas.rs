//! Kafka's own schemas of its messages, which lie as JSON in the jar of its clients.

use crate::jars::{Jars, cached};
use crate::process;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Takes the schemas out of a jar: Python has the means, and other tests need it, too.
const UNZIP: &str = "import sys, zipfile
jar = zipfile.ZipFile(sys.argv[1])
jar.extractall(sys.argv[2], [name for name in jar.namelist() if name.startswith('common/message/')])";

/// All schemas of the newest version: requests, responses, headers, and what lies in records.
///
/// # Panics
/// If the jar cannot be had or read.
#[must_use]
pub fn all() -> Vec<Value> {
    let jars = Jars::newest();
    let libs = jars.class_path().with_file_name("");
    let jar = fs::read_dir(&libs)
        .expect("the jars' folder")
        .map(|entry| entry.expect("a jar").path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("kafka-clients-"))
        })
        .expect("the jar of Kafka's clients");
    let name = jar
        .file_stem()
        .expect("a name")
        .to_string_lossy()
        .replace("kafka-clients-", "schemas-");
    let folder = cached(&name, |partial| {
        let mut python = Command::new("python3");
        python.args(["-c", UNZIP]).arg(&jar).arg(partial);
        process::run(&mut python, b"", Duration::from_secs(60));
    });
    let files = fs::read_dir(folder.join("common/message")).expect("the schemas' folder");
    let mut schemas = Vec::new();
    for file in files {
        let path = file.expect("a schema").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = fs::read_to_string(&path).expect("a schema is UTF-8");
            schemas
                .push(parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        }
    }
    schemas
}

/// JSON with comments from `//` to the end of a line.
fn parse(text: &str) -> serde_json::Result<Value> {
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        let mut in_string = false;
        let comment = line.bytes().zip(line.bytes().skip(1)).position(|pair| {
            in_string ^= pair.0 == b'"';
            pair == (b'/', b'/') && !in_string
        });
        plain.push_str(&line[..comment.unwrap_or(line.len())]);
        plain.push('\n');
    }
    serde_json::from_str(&plain)
}
