//! Transcripts of authentication: whole clients against brokers that want to know who speaks, in virtual time.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use klamm::config::ProducerConfig;
use klamm::recording::{Recording, replay};
use klamm::{ApiKey, Duration, Error, ErrorCode, Instant, ProducerEngine, SaslMechanism};
use klamm_cluster::{ClusterConfig, SaslConfig};

use crate::options::Options;
use crate::producer::{NewRecord, Producer};
use crate::runtime::Runtime as _;
use crate::testing::town::{Network, Town};

const NAME: &str = "k,l=m";
const PASSWORD: &str = "the castle hill was hidden";

fn town(change: impl FnOnce(&mut SaslConfig)) -> Town {
    town_with(Network::Petty, change)
}

fn town_with(network: Network, change: impl FnOnce(&mut SaslConfig)) -> Town {
    let mut sasl = SaslConfig::for_user(NAME, PASSWORD);
    sasl.tokens.push("good.token".to_owned());
    change(&mut sasl);
    let config = ClusterConfig {
        sasl: Some(sasl),
        ..ClusterConfig::with_nodes(1)
    };
    Town::of(network, config)
}

fn properties<'a>(mechanism: &'a str, password: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", NAME),
        ("sasl.password", password),
        ("sasl.allow.without.tls", "true"),
        ("delivery.timeout.ms", "40000"),
    ]
}

fn token() -> Options {
    Options::new().token(|| Ok("good.token".to_owned()))
}

fn send(town: &mut Town, producer: &Producer) {
    let record = NewRecord::to("letters").value("v");
    town.block_on(producer.send(record)).expect("written");
}

/// Why a producer with these properties cannot write.
fn refusal(town: &mut Town, properties: &[(&str, &str)], options: Options) -> Error {
    let producer = town.producer_with(properties, options);
    let record = NewRecord::to("letters").value("v");
    let error = town.block_on(producer.send(record)).expect_err("refused");
    error.error().clone()
}

#[test]
fn with_every_mechanism_a_known_user_writes() {
    for mechanism in SaslMechanism::ALL {
        let mut town = town(|_| ());
        let producer = town.producer_with(&properties(mechanism.name(), PASSWORD), token());
        send(&mut town, &producer);
        // On each connection: versions, mechanism, one message or two, and versions again.
        let connection = town.cluster.journal().next().expect("a request").connection;
        let first: Vec<ApiKey> = town
            .cluster
            .journal()
            .filter(|entry| entry.connection == connection)
            .map(|entry| entry.api)
            .collect();
        let messages = if mechanism.shows_the_secret() { 1 } else { 2 };
        let mut expected = vec![ApiKey::API_VERSIONS, ApiKey::SASL_HANDSHAKE];
        expected.extend(vec![ApiKey::SASL_AUTHENTICATE; messages]);
        expected.push(ApiKey::API_VERSIONS);
        assert_eq!(&first[..expected.len()], expected, "{mechanism}");
    }
}

#[test]
fn a_wrong_password_is_told_with_broker_step_and_hint() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut town = town(|_| ());
        let error = refusal(&mut town, &properties(mechanism, "wrong"), Options::new());
        let text = error.to_string();
        assert!(text.contains("Authentication failed"), "{text}");
        assert!(text.contains("broker-1:9092"), "{text}");
        assert!(text.contains("authenticating"), "{text}");
        assert!(
            text.contains("check sasl.username and sasl.password"),
            "{text}"
        );
        assert!(!text.contains("wrong"), "a password is never shown: {text}");
        // Whoever waits is told at once, and not after `max.block.ms`.
        assert!(town.fake.now() < Instant::from_millis(5_000), "{text}");
        assert!(!error.is_retriable());
    }
}

#[test]
fn a_mechanism_that_the_listener_does_not_have_is_told_with_those_it_has() {
    let mut town = town(|sasl| sasl.mechanisms = vec![SaslMechanism::ScramSha512]);
    let error = refusal(&mut town, &properties("PLAIN", PASSWORD), Options::new());
    let text = error.to_string();
    assert!(
        text.contains("PLAIN, the listener has SCRAM-SHA-512"),
        "{text}"
    );
}

#[test]
fn a_listener_without_sasl_and_a_client_without_sasl_are_told_apart() {
    let mut town = Town::new(Network::Kind);
    let error = refusal(&mut town, &properties("PLAIN", PASSWORD), Options::new());
    assert!(
        error
            .to_string()
            .contains("the listener does not authenticate"),
        "{error}"
    );
    let mut town = self::town(|_| ());
    let plain = [("delivery.timeout.ms", "40000")];
    let error = refusal(&mut town, &plain, Options::new());
    assert!(
        error.to_string().contains("a listener that wants SASL"),
        "{error}"
    );
}

#[test]
fn a_token_that_is_refused_or_missing_is_told() {
    let properties = properties("OAUTHBEARER", "");
    let mut refused = town(|_| ());
    let error = refusal(
        &mut refused,
        &properties,
        Options::new().token(|| Ok("old.token".to_owned())),
    );
    assert!(error.to_string().contains("invalid_token"), "{error}");
    assert!(!error.to_string().contains("old.token"), "{error}");

    let mut missing = town(|_| ());
    let error = refusal(
        &mut missing,
        &properties,
        Options::new().token(|| Err("the issuer sleeps".to_owned())),
    );
    assert!(error.to_string().contains("the issuer sleeps"), "{error}");
}

#[test]
fn a_hostile_iteration_count_is_refused() {
    for iterations in [4_095, 65_537] {
        let mut town = town(|sasl| sasl.iterations = iterations);
        let properties = properties("SCRAM-SHA-256", PASSWORD);
        let error = refusal(&mut town, &properties, Options::new());
        let text = error.to_string();
        assert!(text.contains(&format!("{iterations} iterations")), "{text}");
    }
}

#[test]
fn a_session_is_renewed_before_it_ends_with_no_frame_in_between() {
    for mechanism in SaslMechanism::ALL {
        let mut town = town(|sasl| sasl.session_lifetime = Some(Duration::from_secs(10)));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let options = Options::new().token(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok("good.token".to_owned())
        });
        let producer = town.producer_with(&properties(mechanism.name(), PASSWORD), options);
        for _ in 0..400 {
            send(&mut town, &producer);
            town.wait(Duration::from_millis(100));
        }
        // Forty seconds: nobody was ever closed, and nothing came between the steps of a renewal.
        let mut connections: Vec<_> = town
            .cluster
            .journal()
            .map(|entry| entry.connection)
            .collect();
        connections.sort_unstable();
        connections.dedup();
        assert_eq!(connections.len(), 2, "{mechanism}");
        let mut renewals = 0;
        for connection in connections {
            let asked: Vec<ApiKey> = town
                .cluster
                .journal()
                .filter(|entry| entry.connection == connection)
                .map(|entry| entry.api)
                .collect();
            for (at, api) in asked.iter().enumerate() {
                if *api == ApiKey::SASL_HANDSHAKE {
                    renewals += 1;
                    assert_eq!(asked[at + 1], ApiKey::SASL_AUTHENTICATE, "{mechanism}");
                    if !mechanism.shows_the_secret() {
                        assert_eq!(asked[at + 2], ApiKey::SASL_AUTHENTICATE, "{mechanism}");
                    }
                }
            }
        }
        assert!(renewals >= 2 + 2 * 4, "{mechanism}: {renewals}");
        if mechanism == SaslMechanism::OauthBearer {
            assert_eq!(asked.load(Ordering::Relaxed), renewals);
        }
    }
}

#[test]
fn a_renewal_that_is_refused_ends_the_connection_and_loses_nothing() {
    let mut town = town(|sasl| sasl.session_lifetime = Some(Duration::from_secs(10)));
    let producer = town.producer(&properties("SCRAM-SHA-256", PASSWORD));
    send(&mut town, &producer);
    town.cluster
        .on(ApiKey::SASL_AUTHENTICATE)
        .answer(ErrorCode::SASL_AUTHENTICATION_FAILED);
    for _ in 0..200 {
        send(&mut town, &producer);
        town.wait(Duration::from_millis(100));
    }
    let log = town.cluster.find_partition("letters", 0).expect("there");
    let log = town.cluster.log(log).expect("led");
    assert_eq!(log.end_offset(), 201);
}

/// A sink that can be looked into.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_recording_holds_no_secret_and_replays() {
    for mechanism in SaslMechanism::ALL {
        let mut town = town(|sasl| sasl.session_lifetime = Some(Duration::from_secs(2)));
        let sink = Sink::default();
        let options = token().record(sink.clone());
        let producer = town.producer_with(&properties(mechanism.name(), PASSWORD), options);
        send(&mut town, &producer);
        town.wait(Duration::from_secs(5));
        drop(producer);
        town.settle();
        let bytes = sink.0.lock().unwrap().clone();
        for secret in [PASSWORD, "good.token"] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{mechanism}: `{secret}` is in the recording");
        }
        let recording = Recording::parse(&bytes).expect("a recording");
        let header = &recording.header;
        let pairs = header
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let config = ProducerConfig::from_properties(pairs).expect("the recorded configuration");
        let mut engine = ProducerEngine::new(&config, header.entropy, header.now, header.wall)
            .expect("the recorded configuration");
        let replayed = replay(&mut engine, recording.entries()).expect("the same outputs");
        assert!(replayed.outputs > 20, "{mechanism}");
    }
}

#[test]
fn what_shows_a_secret_without_tls_must_be_asked_for() {
    for mechanism in ["PLAIN", "OAUTHBEARER"] {
        let mut all = properties(mechanism, PASSWORD).to_vec();
        all.push(("bootstrap.servers", "broker-1:9092"));
        all.push(("sasl.allow.without.tls", "false"));
        let error = ProducerConfig::from_properties(all).expect_err("refused");
        assert!(error.to_string().contains("without TLS"), "{error}");
    }
}

#[test]
fn a_stream_cut_at_any_byte_is_begun_anew_and_loses_or_doubles_nothing() {
    let story = |mechanism: SaslMechanism, cut| {
        let mut town = town_with(Network::Kind, |_| ());
        town.cut = cut;
        let producer = town.producer_with(&properties(mechanism.name(), PASSWORD), token());
        send(&mut town, &producer);
        let report = town.block_on(producer.close(Duration::from_secs(30)));
        let clean = klamm::CloseReport::default();
        assert_eq!(report.ok(), Some(clean), "{mechanism} cut at {cut:?}");
        let letters = town.cluster.find_partition("letters", 0).expect("there");
        let log = town.cluster.log(letters).expect("its log");
        assert_eq!(log.end_offset(), 1, "{mechanism} cut at {cut:?}");
        town.said
    };
    // SCRAM hashes thousands of times each time: of its streams, bytes that lie a little apart must do.
    for (mechanism, apart) in [
        (SaslMechanism::Plain, 1),
        (SaslMechanism::OauthBearer, 3),
        (SaslMechanism::ScramSha256, 7),
        (SaslMechanism::ScramSha512, 13),
    ] {
        let whole = story(mechanism, None);
        for cut in (0..whole).step_by(apart) {
            let said = story(mechanism, Some(cut));
            assert!(said > whole, "{mechanism} cut at {cut}: nobody came again");
        }
    }
}
