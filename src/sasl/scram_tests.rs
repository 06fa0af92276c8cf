//! SCRAM conversations: the vectors of the RFCs, then what a hostile broker might say.

use super::*;

const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn begin(hash: ScramHash, username: &str) -> (Scram, String) {
    Scram::begin_with(hash, username, Secret("pencil".into()), NONCE.into())
}

fn said(next: Move) -> String {
    let Move::Say(message) = next else {
        panic!("{next:?}");
    };
    String::from_utf8(message.0).expect("text")
}

/// Goes through a whole conversation and checks what the client says last.
fn converse(hash: ScramHash, salt: &str, client_final: &str, server_final: &str) {
    let (mut scram, first) = begin(hash, "user");
    assert_eq!(first, format!("n,,n=user,r={NONCE}"));
    let server_first = format!("r={SERVER_NONCE},s={salt},i=4096");
    let next = scram.on_message(server_first.as_bytes());
    let Ok(Move::Prove(proofs)) = next else {
        panic!("{next:?}");
    };
    let (proof, signature) = proofs.work_out();
    let next = scram.on_proofs(&proof, signature).expect("a message");
    assert_eq!(
        said(next),
        format!("c=biws,r={SERVER_NONCE},p={client_final}")
    );
    let next = scram.on_message(format!("v={server_final}").as_bytes());
    assert_eq!(next, Ok(Move::Finish));
    assert!(
        scram.on_message(b"v=").is_err(),
        "nothing comes after the end"
    );
}

#[test]
fn sha_256_is_that_of_rfc_7677_section_3() {
    converse(
        ScramHash::Sha256,
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    );
}

#[test]
fn sha_512_is_that_of_another_implementation() {
    // Worked out with Python's hashlib and hmac.
    converse(
        ScramHash::Sha512,
        "Yin2FuHTt/M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88=",
        "/3obeUE1tHCJjbQttd+ChF5ox2IU1rNjj2wVDnbQ5LdNT126oy4QgLz2tHw/Uj7Gwb6PRuHOS3HC+45exxT58A==",
        "5AwW78p+EVPirB3A5lrHcvrN8pVKRlR3opLuRoxXrN9ubKokkPzVPzWNNNuBbrtZrv5mpfKZ7+QCDSZWeZQEqw==",
    );
}

#[test]
fn names_are_escaped_as_in_rfc_5802_section_5_1() {
    let (_, first) = begin(ScramHash::Sha256, "a=b,c");
    assert_eq!(first, format!("n,,n=a=3Db=2Cc,r={NONCE}"));
}

#[test]
fn a_first_message_that_breaks_a_rule_is_refused() {
    let salt = "s=W22ZaJ0SNY7soEsUEjb6gQ==";
    for (message, why) in [
        (String::new(), "does not begin with a nonce"),
        (format!("m=x,r={SERVER_NONCE},{salt},i=4096"), "nonce"),
        (format!("{salt},r={SERVER_NONCE},i=4096"), "nonce"),
        (format!("r={SERVER_NONCE},i=4096,{salt}"), "no salt"),
        (format!("r={SERVER_NONCE},{salt}"), "no iteration count"),
        (format!("r={NONCE},{salt},i=4096"), "does not extend"),
        (
            format!("r=x{SERVER_NONCE},{salt},i=4096"),
            "does not extend",
        ),
        (
            format!("r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gR==,i=4096"),
            "canonical",
        ),
        (
            format!("r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ,i=4096"),
            "canonical",
        ),
        (format!("r={SERVER_NONCE},s=AAAA,i=4096"), "length"),
        (format!("r={SERVER_NONCE},{salt},i=4096x"), "no number"),
        (format!("r={SERVER_NONCE},{salt},i=04096"), "no number"),
        (
            format!("r={SERVER_NONCE},{salt},i=99999999999"),
            "no number",
        ),
        (format!("r={SERVER_NONCE},{salt},i=4095"), "4095 iterations"),
        (
            format!("r={SERVER_NONCE},{salt},i=65537"),
            "65537 iterations",
        ),
        (
            format!("r={SERVER_NONCE},{salt},i=4096,i=5000"),
            "extensions",
        ),
        (format!("r={SERVER_NONCE},{salt},i=4096,"), "extensions"),
    ] {
        let (mut scram, _) = begin(ScramHash::Sha256, "user");
        let error = scram.on_message(message.as_bytes()).expect_err("refused");
        assert!(format!("{error}").contains(why), "{message}: {error}");
    }
    let (mut scram, _) = begin(ScramHash::Sha256, "user");
    assert!(scram.on_message(&[0xff]).is_err(), "not text");
    let (mut scram, _) = begin(ScramHash::Sha256, "user");
    let extended = format!("r={SERVER_NONCE},{salt},i=4096,x=more");
    assert!(scram.on_message(extended.as_bytes()).is_ok());
}

#[test]
fn a_broker_that_does_not_know_the_password_is_not_trusted() {
    for (message, expected) in [
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", None),
        (
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95GA=",
            Some(SaslError::ServerSignature),
        ),
        ("v=", Some(SaslError::ServerSignature)),
        ("", None),
        (
            "e=unknown-user",
            Some(SaslError::Refused("unknown-user".into())),
        ),
    ] {
        let (mut scram, _) = begin(ScramHash::Sha256, "user");
        let first = format!("r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let Ok(Move::Prove(proofs)) = scram.on_message(first.as_bytes()) else {
            panic!("the first message is legal");
        };
        let (proof, signature) = proofs.work_out();
        scram.on_proofs(&proof, signature);
        let error = scram.on_message(message.as_bytes()).expect_err("refused");
        if let Some(expected) = expected {
            assert_eq!(error, expected, "{message}");
        }
    }
}
