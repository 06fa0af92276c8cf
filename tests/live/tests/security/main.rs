//! TLS and SASL against a real broker with a listener of every kind, and every mistake that a user makes with them: each
//! is told by another error, with the step that failed, the broker, and what to try.

mod certificates;

use certificates::Certificates;
use klamm_live::kafka::{Kafka, Setup};
use klamm_live::runtime::run;
use klamm_tokio::{
    Assignment, Consumer, ConsumerConfig, Error, NewRecord, Options, Producer, ProducerConfig,
    Start, Tokio,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const PASSWORD: &str = "amalia-barnabas";

struct Town {
    kafka: Kafka,
    certificates: Certificates,
}

/// One broker, with the listeners that these tests knock at.
fn town() -> &'static Town {
    static TOWN: OnceLock<Town> = OnceLock::new();
    TOWN.get_or_init(|| {
        let certificates = Certificates::new();
        let (ca, broker) = (certificates.path("ca.pem"), certificates.path("broker.pem"));
        let elsewhere = certificates.path("elsewhere.pem");
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required user_klamm=\"castle\";";
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let properties = [
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,MUTUAL:SSL,ELSEWHERE:SSL,SASL:SASL_SSL,CLEAR:SASL_PLAINTEXT"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &broker),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &ca),
            ("listener.name.elsewhere.ssl.keystore.location", &elsewhere),
            ("listener.name.mutual.ssl.client.auth", "required"),
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
            ("listener.name.sasl.plain.sasl.jaas.config", plain),
            ("listener.name.clear.plain.sasl.jaas.config", plain),
            ("listener.name.sasl.scram-sha-256.sasl.jaas.config", scram),
            ("listener.name.sasl.scram-sha-512.sasl.jaas.config", scram),
            ("listener.name.clear.scram-sha-256.sasl.jaas.config", scram),
            ("listener.name.clear.scram-sha-512.sasl.jaas.config", scram),
            ("listener.name.clear.connections.max.reauth.ms", "3000"),
        ];
        let kafka = Kafka::set_up(&Setup {
            properties: &properties,
            listeners: &["TLS", "MUTUAL", "ELSEWHERE", "SASL", "CLEAR"],
            ..Setup::default()
        });
        kafka.create_topic("letters", 1, &[]);
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let config = format!("{mechanism}=[iterations=8192,password={PASSWORD}]");
            kafka.tool(
                "kafka.admin.ConfigCommand",
                &[
                    "--alter",
                    "--add-config",
                    &config,
                    "--entity-type",
                    "users",
                    "--entity-name",
                    "k,l=m",
                ],
                &[],
            );
        }
        Town { kafka, certificates }
    })
}

/// The properties of a client of this listener.
fn properties(
    host: &str,
    listener: &str,
    more: &[(&'static str, &str)],
) -> Vec<(&'static str, String)> {
    let town = town();
    let port = match listener {
        "PLAINTEXT" => town
            .kafka
            .address(0)
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port"),
        other => town.kafka.listener(other),
    };
    let mut all = vec![
        ("bootstrap.servers", format!("{host}:{port}")),
        ("ssl.ca.location", town.certificates.path("ca.pem")),
        ("max.block.ms", "3000".to_owned()),
    ];
    all.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    all
}

fn scram(mechanism: &'static str) -> [(&'static str, &'static str); 4] {
    [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", "k,l=m"),
        ("sasl.password", PASSWORD),
    ]
}

const PLAIN: [(&str, &str); 4] = [
    ("security.protocol", "SASL_SSL"),
    ("sasl.mechanism", "PLAIN"),
    ("sasl.username", "klamm"),
    ("sasl.password", "castle"),
];

/// Writes a letter and reads it back, over connections with these properties.
async fn write_and_read(properties: &[(&'static str, String)], options: impl Fn() -> Options) {
    let pairs = properties
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let config = ProducerConfig::from_properties(pairs.clone()).expect("a configuration");
    let producer = Producer::start_with(&config, Tokio::current(), options()).expect("started");
    let receipt = producer
        .send(NewRecord::to("letters").partition(0).value("v"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let offset = receipt.offset().expect("an offset");
    let own = pairs.filter(|(name, _)| *name != "max.block.ms");
    let config = ConsumerConfig::from_properties(own).expect("a configuration");
    let consumer = Consumer::start_with(&config, Tokio::current(), options()).expect("started");
    let assignment = Assignment {
        topic: "letters",
        partition: 0,
        start: Start::Offset(offset),
    };
    consumer.assign(&[assignment]).expect("assigned");
    let record = tokio::time::timeout(Duration::from_secs(30), consumer.recv()).await;
    let record = record.expect("in time").expect("a record");
    assert_eq!(record.offset, offset);
}

/// What a producer with these properties is told.
async fn refusal(properties: &[(&'static str, String)]) -> Error {
    let pairs = properties
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let config = ProducerConfig::from_properties(pairs).expect("a configuration");
    let producer = Producer::start(&config, Tokio::current()).expect("started");
    let refused = producer.send(NewRecord::to("letters").value("v")).await;
    refused.expect_err("refused").error().clone()
}

#[test]
fn every_listener_is_spoken_to_as_it_wants() {
    let town = town();
    let client = town.certificates.path("client.pem");
    let mutual = [
        ("security.protocol", "SSL"),
        ("ssl.certificate.location", client.as_str()),
    ];
    run(async {
        for properties in [
            properties("localhost", "TLS", &[("security.protocol", "SSL")]),
            properties("localhost", "MUTUAL", &mutual),
            properties("localhost", "SASL", &PLAIN),
            properties("localhost", "SASL", &scram("SCRAM-SHA-256")),
            properties("localhost", "SASL", &scram("SCRAM-SHA-512")),
        ] {
            println!("{properties:?}");
            write_and_read(&properties, Options::new).await;
        }
    });
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_with_cryptography_that_has_no_c() {
    use klamm_tokio::rustls;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let town = town();
    let ca = CertificateDer::from_pem_file(town.certificates.path("ca.pem")).expect("PEM");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).expect("a certificate");
    let provider = Arc::new(rustls_graviola::default_provider());
    run(async {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[version])
                .expect("a version of the provider")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            let config = Arc::new(config);
            let properties = properties("localhost", "SASL", &scram("SCRAM-SHA-512"));
            write_and_read(&properties, || Options::new().tls(Arc::clone(&config))).await;
        }
    });
}

#[test]
fn a_session_is_renewed_for_as_long_as_it_is_used() {
    let mut properties = properties("localhost", "CLEAR", &scram("SCRAM-SHA-256"));
    properties.push(("security.protocol", "SASL_PLAINTEXT".to_owned()));
    let pairs = properties
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let mut config = ProducerConfig::from_properties(pairs).expect("a configuration");
    config.common.client_id = "security-renewal".to_owned();
    run(async {
        let producer = Producer::start(&config, Tokio::current()).expect("started");
        // Three times as long as a session lives.
        for _ in 0..100 {
            let record = NewRecord::to("letters").value("v");
            producer
                .send(record)
                .await
                .unwrap_or_else(|error| panic!("{error}"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let connections = town().kafka.requests("security-renewal");
    let producing = connections
        .iter()
        .filter(|connection| connection.calls.contains_key("PRODUCE"))
        .count();
    assert_eq!(producing, 1, "{connections:#?}");
}

/// A listener that is knocked at, how, what the error must say, and what it must advise.
type Mistake = (
    &'static str,
    Vec<(&'static str, String)>,
    &'static str,
    &'static str,
);

fn owned(properties: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let owned = properties.iter();
    owned
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

fn mistakes_with_tls() -> Vec<Mistake> {
    let certificates = &town().certificates;
    let ssl = ("security.protocol", "SSL");
    let other_ca = certificates.path("other-ca.pem");
    let other_client = certificates.path("other-client.pem");
    vec![
        (
            "TLS",
            owned(&[ssl, ("ssl.ca.location", &other_ca)]),
            "the broker's certificate is not trusted",
            "ssl.ca.location",
        ),
        (
            "ELSEWHERE",
            owned(&[ssl]),
            "certificate is for another name",
            "advertised.listeners",
        ),
        (
            "MUTUAL",
            owned(&[ssl]),
            "refuses this client's certificate, or the lack of one",
            "ssl.certificate.location",
        ),
        (
            "MUTUAL",
            owned(&[ssl, ("ssl.certificate.location", &other_client)]),
            "refuses this client's certificate, or the lack of one",
            "ssl.certificate.location",
        ),
        (
            "TLS",
            owned(&[("security.protocol", "PLAINTEXT")]),
            "looks like a TLS listener",
            "security.protocol",
        ),
        (
            "PLAINTEXT",
            owned(&[ssl]),
            "closed by the peer during the TLS handshake",
            "security.protocol",
        ),
    ]
}

fn mistakes_with_sasl() -> Vec<Mistake> {
    let check = "check sasl.username and sasl.password";
    let mut wrong_password = scram("SCRAM-SHA-512");
    wrong_password[3].1 = "olga";
    let mut unknown_user = PLAIN;
    unknown_user[2].1 = "barnabas";
    let mut in_the_clear = PLAIN.to_vec();
    in_the_clear[0].1 = "SASL_PLAINTEXT";
    in_the_clear.push(("sasl.allow.without.tls", "true"));
    let no_sasl = "the listener does not authenticate";
    vec![
        ("SASL", owned(&wrong_password), "invalid credentials", check),
        (
            "SASL",
            owned(&unknown_user),
            "Invalid username or password",
            check,
        ),
        ("TLS", owned(&PLAIN), "ILLEGAL_SASL_STATE", no_sasl),
        (
            "PLAINTEXT",
            owned(&in_the_clear),
            "ILLEGAL_SASL_STATE",
            no_sasl,
        ),
        (
            "CLEAR",
            owned(&[("security.protocol", "PLAINTEXT")]),
            "closed by the peer",
            "a listener that wants SASL",
        ),
    ]
}

#[test]
fn every_mistake_is_told_by_an_error_of_its_own() {
    run(async {
        for (listener, more, what, advice) in
            mistakes_with_tls().into_iter().chain(mistakes_with_sasl())
        {
            // The broker advertises the one listener by its address, the others by a name.
            let host = match listener {
                "PLAINTEXT" => "127.0.0.1",
                _ => "localhost",
            };
            let mut properties = properties(host, listener, &[]);
            properties.extend(more);
            let error = refusal(&properties).await.to_string();
            println!("{listener}: {error}");
            assert!(error.contains(what), "{listener}: {error}");
            assert!(error.contains(advice), "{listener}: {error}");
            assert!(error.contains(&properties[0].1), "{listener}: {error}");
            let secret = error.contains("olga") || error.contains("castle");
            assert!(!secret, "{listener}: {error}");
        }
    });
}
