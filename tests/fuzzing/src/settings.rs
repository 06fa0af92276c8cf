//! F16: configurations from any text. F17: error codes. F18: what is printed of what must stay secret.

use bytes::Bytes;
use klamm::config::{CommonConfig, ConsumerConfig, EffectiveSetting, ProducerConfig};
use klamm::{Error, ErrorCode, ErrorKind, Segments, printable};

/// A key, its value, and details of a kilobyte each at most.
const LONGEST_ERROR: usize = 8 * 1024;

fn assert_printable(error: &Error) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.len() < LONGEST_ERROR, "{} bytes", text.len());
        assert!(!text.contains(char::is_control), "{text}");
    }
}

fn pairs(settings: &[EffectiveSetting]) -> impl Iterator<Item = (&str, &str)> {
    settings
        .iter()
        .map(|setting| (setting.name, setting.value.as_str()))
}

macro_rules! check {
    ($config:ident, $text:ident) => {
        match $config::from_file_text($text) {
            Ok(config) => {
                let settings = config.effective_config();
                let again = $config::from_properties(pairs(&settings));
                assert_eq!(again.as_ref(), Ok(&config));
                config.validate().expect("it was checked");
            }
            Err(error) => assert_printable(&error),
        }
    };
}

/// F16: the text of a property file, and of `bootstrap.servers`.
pub fn f16_config(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    check!(ProducerConfig, text);
    check!(ConsumerConfig, text);
    match CommonConfig::bootstrap(text) {
        Ok(config) => {
            let shown: Vec<String> = config
                .bootstrap_servers
                .iter()
                .map(ToString::to_string)
                .collect();
            let again = CommonConfig::bootstrap(&shown.join(","));
            assert_eq!(
                again.map(|again| again.bootstrap_servers),
                Ok(config.bootstrap_servers)
            );
        }
        Err(error) => assert_printable(&error),
    }
    let text = printable(text);
    assert!(
        text.len() < 1100 && !text.contains(char::is_control),
        "{text}"
    );
}

/// F17: error codes, two bytes each.
pub fn f17_error_code(data: &[u8]) {
    for pair in data.as_chunks::<2>().0 {
        let code = ErrorCode(i16::from_be_bytes(*pair));
        let known = ErrorCode::KNOWN.contains(&code);
        assert_eq!(code.name().is_some(), known, "{code:?}");
        assert_eq!(code.is_none(), code.0 == 0);
        assert_eq!(code.check(), if code.0 == 0 { Ok(()) } else { Err(code) });
        // What an unknown code means nobody knows, so nobody repeats it, and nobody gives up the client for it.
        assert!(
            known || !code.is_retriable() && !code.wants_metadata() && !code.is_fatal(),
            "{code:?}"
        );
        assert!(!code.wants_metadata() || code.is_retriable(), "{code:?}");
        assert!(!code.is_fatal() || !code.is_retriable(), "{code:?}");
        let error = Error::new(ErrorKind::Broker(code));
        assert_eq!(
            (error.is_retriable(), error.is_fatal()),
            (code.is_retriable(), code.is_fatal())
        );
        assert!(
            error
                .to_string()
                .contains(code.name().unwrap_or(&code.0.to_string())),
            "{error}"
        );
    }
}

/// Settings whose values nobody may print.
const SECRET_SETTINGS: &[&str] = &[
    "sasl.password",
    "sasl.jaas.config",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.passwrod",
];

/// F18: the first byte says where the secret goes, the rest is the secret.
pub fn f18_secrets(data: &[u8]) {
    let Some((which, secret)) = data.split_first() else {
        return;
    };
    // Long and odd enough that nothing prints it by chance.
    let secret: String = secret
        .iter()
        .map(|byte| char::from(b'!' + byte % 94))
        .collect();
    let secret = format!("s3cr3t{}", secret.replace(['=', '#', '!'], "_"));
    let assert_hidden = |text: String| assert!(!text.contains(&secret), "{text}");
    let segments = Segments::from(Bytes::from(secret.clone()));
    assert_hidden(format!("{segments:?}"));
    let key = SECRET_SETTINGS[usize::from(*which) % SECRET_SETTINGS.len()];
    let file = format!("bootstrap.servers=a:1\n{key} = {secret}\n");
    let shown = |error: &klamm::Error| format!("{error} {error:?}");
    for producer in [
        ProducerConfig::from_properties([(key, secret.as_str())]),
        ProducerConfig::from_file_text(&file),
    ] {
        assert_hidden(producer.map_or_else(|error| shown(&error), |config| format!("{config:?}")));
    }
    for consumer in [
        ConsumerConfig::from_properties([(key, secret.as_str())]),
        ConsumerConfig::from_file_text(&file.replace('=', " ")),
    ] {
        assert_hidden(consumer.map_or_else(|error| shown(&error), |config| format!("{config:?}")));
    }
}
