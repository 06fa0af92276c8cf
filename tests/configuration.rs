//! The reference of all settings is made from their table, and the settings of Kafka's other clients are all known.
//!
//! `KLAMM_WRITE_DOCS=1 cargo test --test configuration` writes the reference anew.

use std::fmt::Write as _;
use std::path::Path;

use klamm::config::{
    ConsumerConfig, ForeignSetting, ProducerConfig, SettingDescription, foreign_settings,
};

const REFERENCE: &str = "docs/configuration.md";

const HEAD: &str = "\
# Configuration

Settings have Kafka's own names; `ProducerConfig` and `ConsumerConfig` have a builder's method for each, and read property maps
(`from_properties`) and files (`from_file_text`). Times are in milliseconds, sizes in bytes. librdkafka's names are accepted where they differ.

An unknown name is an error that says the nearest one. `effective_config()` lists what is in force and where each value came from
(`linger.ms=20 (line 7)`), with secrets as asterisks; `ignored()` lists the properties that do nothing, with the reason.

This page is written by `tests/configuration.rs` from the table that the clients read.
";

fn row(setting: &SettingDescription) -> String {
    let cell = |text: &str| match text {
        "" => String::new(),
        text => format!("`{text}`"),
    };
    let names: Vec<String> = std::iter::once(setting.name)
        .chain(setting.aliases.iter().copied())
        .map(cell)
        .collect();
    let doc: Vec<&str> = setting.doc.lines().map(str::trim).collect();
    let allowed = match &setting.range {
        Some(range) => format!("{}, {range}", setting.type_name),
        None => setting.type_name.to_owned(),
    };
    format!(
        "| {} | {} | {allowed} | {} | {} |\n",
        names.join("<br>"),
        doc.join(" "),
        cell(&setting.default),
        setting.since,
    )
}

fn table(page: &mut String, title: &str, settings: &[SettingDescription]) {
    let _ = write!(
        page,
        "\n## {title}\n\n| name | what it does | values | default | since |\n|---|---|---|---|---|\n"
    );
    page.extend(settings.iter().map(row));
}

fn foreign_rows(page: &mut String, title: &str, rows: &[(ForeignSetting, String)]) {
    let _ = write!(page, "\n### {title}\n\n| name | |\n|---|---|\n");
    for (setting, text) in rows {
        let _ = writeln!(page, "| `{}` | {text} |", setting.name);
    }
}

fn reference() -> String {
    let (producer, consumer) = (ProducerConfig::settings(), ConsumerConfig::settings());
    let (both, of_producer): (Vec<_>, Vec<_>) = producer
        .into_iter()
        .partition(|setting| consumer.contains(setting));
    let of_consumer: Vec<_> = consumer
        .into_iter()
        .filter(|setting| !both.contains(setting))
        .collect();
    let mut page = HEAD.to_owned();
    table(&mut page, "Every client", &both);
    table(&mut page, "Producer", &of_producer);
    table(&mut page, "Consumer", &of_consumer);
    page.push_str("\n## Settings that only Kafka's other clients have\n");
    let (mut ignored, mut fixed, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for setting in foreign_settings() {
        let reason = setting.reason.to_owned();
        match setting.accepted {
            None => ignored.push((setting, reason)),
            Some([]) => refused.push((setting, reason)),
            Some(values) => {
                let text = format!("only `{}`: {reason}", values.join("` or `"));
                fixed.push((setting, text));
            }
        }
    }
    foreign_rows(&mut page, "Accepted, and not needed", &ignored);
    foreign_rows(
        &mut page,
        "Accepted with the value that is in force anyway",
        &fixed,
    );
    foreign_rows(
        &mut page,
        "Refused: what they ask for is not there, or is done otherwise",
        &refused,
    );
    page
}

#[test]
fn the_reference_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(REFERENCE);
    let expected = reference();
    if std::env::var_os("KLAMM_WRITE_DOCS").is_some() {
        std::fs::write(&path, expected).expect("it can be written");
        return;
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == expected,
        "{REFERENCE} is not what the settings say: KLAMM_WRITE_DOCS=1 cargo test --test configuration"
    );
}

/// The names in `tests/fixtures/settings.txt`.
fn names_of_others() -> impl Iterator<Item = &'static str> {
    include_str!("fixtures/settings.txt")
        .lines()
        .filter(|line| !line.starts_with(['#', '[']))
}

#[test]
fn every_setting_of_the_other_clients_is_known() {
    let unknown: Vec<String> = names_of_others()
        .filter_map(|name| {
            let refused = |error: klamm::Error| {
                let error = error.to_string();
                error.contains("no such setting").then_some(error)
            };
            ProducerConfig::from_properties([(name, "")])
                .err()
                .and_then(refused)
        })
        .collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn every_foreign_setting_is_one_of_another_client() {
    let fits = |row: &str, name: &str| match row.split_once('*') {
        None => row == name,
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
    };
    let needless: Vec<&str> = foreign_settings()
        .iter()
        .map(|setting| setting.name)
        .filter(|row| !names_of_others().any(|name| fits(row, name)))
        .collect();
    assert!(needless.is_empty(), "{needless:?}");
}

#[test]
fn every_default_is_a_value_that_the_setting_takes() {
    for (settings, is_producer) in [
        (ProducerConfig::settings(), true),
        (ConsumerConfig::settings(), false),
    ] {
        for setting in settings.iter().filter(|s| s.name != "bootstrap.servers") {
            let properties = [
                ("bootstrap.servers", "a:1"),
                (setting.name, setting.default.as_str()),
            ];
            let error = if is_producer {
                ProducerConfig::from_properties(properties).err()
            } else {
                ConsumerConfig::from_properties(properties).err()
            };
            assert_eq!(error, None, "{}", setting.name);
        }
    }
}
