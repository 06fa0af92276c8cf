//! Property maps, as users write them.

use super::*;
use crate::error::ErrorKind;
use crate::time::Duration;
use alloc::string::ToString;

const HERE: (&str, &str) = ("bootstrap.servers", "localhost:9092");

fn refused(properties: &[(&str, &str)]) -> alloc::string::String {
    let error =
        ProducerConfig::from_properties(properties.iter().copied()).expect_err("must be refused");
    assert!(matches!(error.kind(), ErrorKind::Config { .. }));
    error.to_string()
}

#[test]
fn kafka_names_and_librdkafka_aliases_mean_the_same() {
    let java = ProducerConfig::from_properties([HERE, ("delivery.timeout.ms", "60000")]);
    let rdkafka = ProducerConfig::from_properties([
        ("metadata.broker.list", "localhost:9092"),
        ("message.timeout.ms", "60000"),
    ]);
    assert_eq!(java, rdkafka);
    assert_eq!(
        java.expect("valid").delivery_timeout,
        Duration::from_secs(60)
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert_eq!(
        refused(&[HERE, ("linger.sm", "5")]),
        "configuration `linger.sm` is wrong: there is no such setting; did you mean `linger.ms`?"
    );
}

#[test]
fn a_key_of_the_other_role_or_of_a_later_version_says_so() {
    assert!(refused(&[HERE, ("fetch.min.bytes", "5")]).contains("a setting of a consumer"));
    assert!(refused(&[HERE, ("transactional.id", "t")]).contains("cannot honour it yet"));
}

#[test]
fn a_key_that_is_not_needed_is_accepted() {
    let config = ProducerConfig::from_properties([HERE, ("key.serializer", "x.StringSerializer")]);
    let config = config.expect("accepted");
    let ignored: alloc::vec::Vec<_> = config.ignored().iter().map(ToString::to_string).collect();
    assert_eq!(
        ignored,
        ["key.serializer does nothing: keys and values are bytes here"]
    );
    assert_eq!(Ok(config), ProducerConfig::bootstrap("localhost:9092"));
}

#[test]
fn what_is_done_anyway_may_be_asked_for_and_nothing_else() {
    let name = "ssl.endpoint.identification.algorithm";
    assert!(ProducerConfig::from_properties([HERE, (name, "https")]).is_ok());
    assert_eq!(
        refused(&[HERE, (name, "")]),
        "configuration `ssl.endpoint.identification.algorithm` is wrong: this version can only have it `https`; \
         the broker's name is always verified"
    );
    assert_eq!(
        refused(&[HERE, ("partitioner.class", "x.Mine")]),
        "configuration `partitioner.class` is wrong: Kafka has this setting, but this version cannot honour it yet; \
         choose with `NewRecord::partition`"
    );
}

#[test]
fn a_number_out_of_its_range_is_told_the_range() {
    assert_eq!(
        refused(&[HERE, ("memory.budget", "1000")]),
        "configuration `memory.budget` is wrong: 1000, and it must be at least 1048576"
    );
    let long = "x".repeat(40_000);
    assert_eq!(
        refused(&[HERE, ("client.id", &long)]),
        "configuration `client.id` is wrong: 40000 bytes long, and it must be at most 32767"
    );
    let config = ConsumerConfig::bootstrap("localhost:9092").expect("valid");
    let beyond = config.session_timeout(Duration::from_secs(1 << 40));
    let error = beyond.validate().expect_err("refused").to_string();
    assert!(error.contains("must be 1 to 2147483647"), "{error}");
}

#[test]
fn each_value_says_where_it_came_from() {
    let text =
        "metadata.broker.list=localhost:9092\nsasl.password=hush\nlinger.ms=7\nbatch.size=16384\n";
    let mut config = ProducerConfig::from_file_text(text)
        .expect("valid")
        .max_block(Duration::from_secs(1));
    config.linger = Duration::from_millis(9);
    let shown: alloc::vec::Vec<_> = config
        .effective_config()
        .iter()
        .filter(|setting| setting.origin != Origin::Default)
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            "bootstrap.servers=localhost:9092 (line 1)",
            "sasl.password=**** (line 2)",
            "linger.ms=9 (code)",
            "batch.size=16384 (line 4)",
            "max.block.ms=1000 (code)",
        ]
    );
    let config = ProducerConfig::from_properties([HERE, ("message.timeout.ms", "60000")]);
    let effective = config.expect("valid").effective_config();
    let timeout = effective.iter().find(|s| s.name == "delivery.timeout.ms");
    assert_eq!(
        timeout.map(ToString::to_string).as_deref(),
        Some("delivery.timeout.ms=60000 (property message.timeout.ms)")
    );
}

#[test]
fn what_is_wrong_in_a_file_has_its_line() {
    let error = ProducerConfig::from_file_text("# mine\nbootstrap.servers=a:1\nlinger.sm=7\n");
    assert_eq!(
        error.expect_err("refused").to_string(),
        "configuration `linger.sm` is wrong: line 3: there is no such setting; did you mean `linger.ms`?"
    );
}

#[test]
fn a_value_out_of_shape_says_what_is_allowed() {
    assert!(refused(&[HERE, ("acks", "two")]).contains("`two` must be `all`, `1` or `0`"));
    assert!(refused(&[HERE, ("linger.ms", "-1")]).contains("milliseconds"));
    assert!(refused(&[("bootstrap.servers", "localhost")]).contains("must read host:port"));
    for server in ["a\nb:1", "a b:1", "[[::1]]:1", "a]:1", "SSL://a/b:1"] {
        assert!(refused(&[("bootstrap.servers", server)]).contains("must read host:port"));
    }
    assert!(refused(&[("bootstrap.servers", "::1:9092")]).contains("brackets"));
}

#[test]
fn contradictions_are_refused() {
    assert!(refused(&[]).contains("bootstrap.servers"));
    assert!(refused(&[HERE, ("acks", "1")]).contains("enable.idempotence"));
    assert!(
        refused(&[HERE, ("delivery.timeout.ms", "100")]).contains("linger.ms + request.timeout.ms")
    );
    let wait = ConsumerConfig::from_properties([HERE, ("fetch.max.wait.ms", "30000")]);
    assert!(
        wait.expect_err("refused")
            .to_string()
            .contains("request.timeout.ms")
    );
}

#[test]
fn addresses_of_both_families_are_read_and_written() {
    let config = CommonConfig::bootstrap("[::1]:9092, kafka.example:9093").expect("valid");
    let shown: alloc::vec::Vec<_> = config
        .bootstrap_servers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["[::1]:9092", "kafka.example:9093"]);
}

#[test]
fn a_reset_by_duration_reads_iso_8601() {
    let reset = |text| {
        ConsumerConfig::from_properties([HERE, ("auto.offset.reset", text)])
            .map(|c| c.auto_offset_reset)
    };
    assert_eq!(
        reset("by_duration:P1DT2H"),
        Ok(OffsetReset::ByDuration(Duration::from_secs(93_600)))
    );
    assert_eq!(
        reset("by_duration:PT90S"),
        Ok(OffsetReset::ByDuration(Duration::from_secs(90)))
    );
    for wrong in [
        "by_duration:",
        "by_duration:P",
        "by_duration:PT",
        "by_duration:PT1M1H",
        "by_duration:1H",
        "sometimes",
    ] {
        assert!(reset(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_effective_configuration_reads_back_as_itself() {
    let config = ProducerConfig::from_properties([
        HERE,
        ("acks", "1"),
        ("enable.idempotence", "false"),
        ("compression.type", "lz4"),
    ])
    .expect("valid");
    let effective = config.effective_config();
    let again =
        ProducerConfig::from_properties(effective.iter().map(|s| (s.name, s.value.as_str())));
    assert_eq!(again, Ok(config));
    let changed = effective.iter().filter(|s| !s.is_default).count();
    assert_eq!(changed, 4);
}

#[test]
fn a_file_has_comments_and_blank_lines() {
    let config = ProducerConfig::from_file_text(
        "# mine\n\nbootstrap.servers = localhost:9092\n! old\nlinger.ms=7\n",
    );
    assert_eq!(config.expect("valid").linger, Duration::from_millis(7));
    assert!(ProducerConfig::from_file_text("linger.ms").is_err());
}

#[test]
fn without_a_word_nothing_is_lost_doubled_or_reordered() {
    let config = ProducerConfig::bootstrap("localhost:9092").expect("valid");
    let effective = config.effective_config();
    let value = |name: &str| {
        let setting = effective.iter().find(|setting| setting.name == name);
        setting.expect("a setting of a producer").value.to_string()
    };
    for (name, expected) in [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("max.in.flight.requests.per.connection", "5"),
        ("linger.ms", "5"),
        ("delivery.timeout.ms", "120000"),
        ("compression.type", "none"),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
}

#[test]
fn levels_are_those_of_the_codecs_and_a_default_may_be_named() {
    let level = |key, value| ProducerConfig::from_properties([HERE, (key, value)]);
    for (key, allowed, refused) in [
        ("compression.gzip.level", ["-1", "9"], "0"),
        ("compression.lz4.level", ["1", "17"], "18"),
        ("compression.zstd.level", ["-131072", "22"], "23"),
    ] {
        assert!(
            allowed.iter().all(|value| level(key, value).is_ok()),
            "{key}"
        );
        assert!(level(key, refused).is_err(), "{key}");
    }
}

#[test]
fn settings_that_the_chosen_group_protocol_does_not_have_are_refused() {
    let set = |name, value| {
        let protocol = ("group.protocol", "CONSUMER");
        let servers = ("bootstrap.servers", "localhost:9092");
        ConsumerConfig::from_properties([servers, protocol, (name, value)])
    };
    assert!(set("group.remote.assignor", "range").is_ok());
    // Their defaults say nothing.
    assert!(set("session.timeout.ms", "45000").is_ok());
    for (name, value) in [
        ("partition.assignment.strategy", "range"),
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "1000"),
    ] {
        let error = set(name, value).unwrap_err();
        let config = crate::error::ErrorKind::Config { key: name.into() };
        assert_eq!(*error.kind(), config);
    }
    let classic = [
        ("group.protocol", "classic"),
        ("group.remote.assignor", "range"),
    ];
    let servers = [("bootstrap.servers", "localhost:9092")];
    assert!(ConsumerConfig::from_properties(servers.into_iter().chain(classic)).is_err());
}
