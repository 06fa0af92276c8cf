//! The house's own rules, checked like any other behaviour: what may lean on what, how large a file may grow,
//! what every module says of itself, and what the engine must never reach for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of the engine leans on: on rows above its own only, so that there can be no circle. A module that is not
/// in a row is out of its reach.
const MAY_USE: &[(&str, &[&str])] = &[
    // Leaves: each a thing of its own.
    ("time", &[]),
    ("limits", &["time"]),
    ("budget", &[]),
    ("secret", &[]),
    ("choices", &[]),
    ("error_code", &[]),
    ("timer", &["time"]),
    ("collections", &[]),
    ("random", &["time"]),
    ("error", &["error_code", "time"]),
    ("topic_pattern", &["error"]),
    // The bytes.
    ("wire", &["secret"]),
    ("messages", &["wire"]),
    ("record", &["collections", "wire"]),
    // What client and broker prove to each other, whoever carries it.
    ("sasl", &["limits", "secret"]),
    // The border, and what users set.
    (
        "engine",
        &["error", "record", "sasl", "secret", "time", "wire"],
    ),
    // Whom partitions go to; its names are settings.
    ("assignor", &["collections", "engine", "messages", "wire"]),
    (
        "config",
        &[
            "assignor",
            "collections",
            "error",
            "record",
            "sasl",
            "secret",
            "time",
        ],
    ),
    // What is counted, and how things stand: shapes.
    ("metrics", &["budget", "time", "wire"]),
    (
        "status",
        &[
            "budget",
            "collections",
            "engine",
            "error",
            "metrics",
            "time",
        ],
    ),
    // One TCP connection; then whom to ask.
    (
        "connection",
        &[
            "budget",
            "choices",
            "collections",
            "engine",
            "error",
            "error_code",
            "limits",
            "messages",
            "metrics",
            "random",
            "sasl",
            "secret",
            "time",
            "wire",
        ],
    ),
    (
        "cluster",
        &[
            "budget",
            "choices",
            "collections",
            "config",
            "connection",
            "engine",
            "error",
            "error_code",
            "limits",
            "messages",
            "metrics",
            "random",
            "sasl",
            "status",
            "time",
            "timer",
            "wire",
        ],
    ),
    (
        "client",
        &[
            "cluster", "config", "engine", "error", "limits", "time", "timer", "wire",
        ],
    ),
    // Everything that passes the border, written down; each role says itself what its commands look like.
    ("recording", &["engine", "secret", "time", "wire"]),
    // What a group keeps for its consumers.
    (
        "group",
        &[
            "assignor",
            "cluster",
            "collections",
            "config",
            "engine",
            "error",
            "error_code",
            "limits",
            "messages",
            "random",
            "time",
            "timer",
            "wire",
        ],
    ),
    // What to ask for.
    (
        "producer",
        &[
            "budget",
            "choices",
            "client",
            "cluster",
            "collections",
            "config",
            "engine",
            "error",
            "error_code",
            "messages",
            "metrics",
            "random",
            "record",
            "recording",
            "status",
            "time",
            "timer",
            "wire",
        ],
    ),
    (
        "consumer",
        &[
            "assignor",
            "budget",
            "choices",
            "client",
            "cluster",
            "collections",
            "config",
            "engine",
            "error",
            "error_code",
            "group",
            "limits",
            "messages",
            "metrics",
            "random",
            "record",
            "recording",
            "status",
            "time",
            "timer",
            "topic_pattern",
            "wire",
        ],
    ),
    // For tests: what machines are held against.
    (
        "models",
        &[
            "choices",
            "cluster",
            "connection",
            "consumer",
            "producer",
            "time",
            "timer",
        ],
    ),
];

/// No source file grows beyond this many lines.
const LINES_MAX: usize = 1_000;

/// What the engine must not reach for: it has no clock, thread, socket, environment or seeded map (law 1).
const BANNED_IN_ENGINE: &[&str] = &[
    "std::time",
    "std::net",
    "std::thread",
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::sync",
    "HashMap",
    "HashSet",
    "SystemTime",
    "unsafe {",
    "unsafe fn",
    "unsafe impl",
    "println!",
    "dbg!",
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Lines without comments, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    fn is_test(&self) -> bool {
        self.path
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().contains("test"))
            || self.path.components().any(|c| c.as_os_str() == "tests")
    }

    /// Without the unit tests at its end.
    fn product_lines(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let begins_tests = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        lines
            .windows(2)
            .position(begins_tests)
            .unwrap_or(usize::MAX)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(below: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source is UTF-8");
                let path = path.strip_prefix(root()).expect("below the root").into();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[test]
fn the_checks_see_the_sources() {
    assert!(sources("src").len() > 10);
}

/// The module of `src` that a file belongs to: `src/wire/frame.rs` to `wire`, `src/time.rs` to `time`.
fn module(path: &Path) -> String {
    let first = path
        .components()
        .nth(1)
        .expect("a file below src")
        .as_os_str();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn assert_none(what: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{what}:\n{}", offences.join("\n"));
}

/// What `module` leans on, and what that leans on, down to the ground.
fn all_below(module: &str) -> BTreeSet<&'static str> {
    let row = |module: &str| MAY_USE.iter().find(|(name, _)| *name == module);
    let mut below = BTreeSet::new();
    let mut left: Vec<&'static str> = row(module).map_or(Vec::new(), |(_, uses)| uses.to_vec());
    while let Some(used) = left.pop() {
        if below.insert(used) {
            left.extend(row(used).iter().flat_map(|(_, uses)| uses.iter()));
        }
    }
    below
}

#[test]
fn modules_lean_only_downward() {
    let modules: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let mut offences = Vec::new();
    let there: BTreeSet<String> = sources("src").iter().map(|s| module(&s.path)).collect();
    for name in modules.iter().filter(|name| !there.contains(**name)) {
        offences.push(format!("a row for `{name}`, which is not there"));
    }
    let mut above = BTreeSet::new();
    for (name, uses) in MAY_USE {
        for used in uses.iter().filter(|used| !above.contains(*used)) {
            offences.push(format!("`{name}` is above `{used}` in the table"));
        }
        above.insert(name);
    }
    let mut unused: BTreeSet<(&str, &str)> = MAY_USE
        .iter()
        .flat_map(|(name, uses)| uses.iter().map(|used| (*name, *used)))
        .collect();
    for source in sources("src") {
        let module = module(&source.path);
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            offences.push(format!("{}: no row for `{module}`", source.path.display()));
            continue;
        };
        // A test plays the driver and the broker, so it sees all that lies below its module, not only the next layer.
        let allowed = match source.is_test() {
            true => all_below(&module),
            false => allowed.iter().copied().collect(),
        };
        for (number, line) in source.code() {
            for (at, _) in line.match_indices("crate::") {
                let rest = &line[at + "crate::".len()..];
                let used: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if rest.starts_with('{') {
                    offences.push(format!(
                        "{}:{number}: name one module a line",
                        source.path.display()
                    ));
                }
                unused.retain(|row| *row != (module.as_str(), used.as_str()));
                let known = modules.contains(used.as_str());
                if known && used != module && !allowed.contains(used.as_str()) {
                    offences.push(format!(
                        "{}:{number}: `{module}` must not know `{used}`",
                        source.path.display()
                    ));
                }
            }
        }
    }
    for (module, used) in unused {
        offences.push(format!("`{module}` may know `{used}`, but does not"));
    }
    assert_none("dependencies that do not point down", &offences);
}

#[test]
fn every_module_says_what_it_owns_and_what_it_must_not_know() {
    let mut offences = Vec::new();
    for source in sources("src") {
        if source.is_test() || source.path.ends_with("src/lib.rs") {
            continue;
        }
        let head: String = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .map(|line| format!("{} ", line.trim_start_matches("//!").trim().to_lowercase()))
            .collect();
        if head.is_empty() {
            offences.push(format!("{}: says nothing", source.path.display()));
            continue;
        }
        let owns = head
            .split(|c: char| !c.is_alphabetic())
            .any(|word| word == "owns");
        let knows_not = [
            "not know",
            "knows no",
            "know no",
            "and not what",
            "must not see",
        ]
        .iter()
        .any(|words| head.contains(words));
        if !owns || !knows_not {
            offences.push(source.path.display().to_string());
        }
    }
    assert_none(
        "modules that do not say what they own and must not know",
        &offences,
    );
}

#[test]
fn no_source_file_grows_too_long() {
    let mut offences = Vec::new();
    for folder in ["src", "drivers", "tests", "examples", "benches"] {
        for source in sources(folder) {
            let lines = source.text.lines().count();
            if lines > LINES_MAX {
                offences.push(format!("{}: {lines} lines", source.path.display()));
            }
        }
    }
    assert_none("files over the limit", &offences);
}

#[test]
fn the_engine_reaches_for_nothing_outside_itself() {
    let mut offences = Vec::new();
    for source in sources("src") {
        if source.is_test() {
            continue;
        }
        let product_lines = source.product_lines();
        for (number, line) in source
            .code()
            .take_while(|(number, _)| *number <= product_lines)
        {
            for banned in BANNED_IN_ENGINE {
                if line.contains(banned) {
                    offences.push(format!("{}:{number}: `{banned}`", source.path.display()));
                }
            }
        }
    }
    assert_none("things that the engine must not reach for", &offences);
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt in two halves, so that this file does not name what it forbids.
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    let mut offences = Vec::new();
    for folder in ["src", "drivers", "tests", "examples", "benches"] {
        for source in sources(folder) {
            for (number, line) in source.text.lines().enumerate() {
                if marks.iter().any(|mark| line.contains(mark)) {
                    offences.push(format!("{}:{}", source.path.display(), number + 1));
                }
            }
        }
    }
    assert_none("work that was left for later", &offences);
}

#[test]
fn the_tests_that_failures_name_exist() {
    let failures = fs::read_to_string(root().join("tests/FAILURES.md")).expect("a file");
    let all: String = ["src", "drivers", "tests", "examples"]
        .into_iter()
        .flat_map(sources)
        .map(|source| source.text)
        .collect();
    let missing: Vec<String> = failures
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.len() >= 20 && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        })
        .filter(|name| !all.contains(&format!("fn {name}(")))
        .map(str::to_owned)
        .collect();
    assert_none("tests that do not exist", &missing);
}
