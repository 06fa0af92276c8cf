//! Every target over its seeds and over what fuzzing has found before.

use klamm_fuzzing::{Corpus, TARGETS};
use std::path::Path;

fn replay(name: &str) {
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target");
    let corpus = Corpus::all(target).expect("a corpus that can be read");
    assert!(!corpus.0.is_empty(), "{name} has no input at all");
    for input in &corpus.0 {
        (target.body)(input);
    }
    (target.body)(&[]);
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replays! {
    f1_framer f2_response f3_request f4_structured f6_batches f7_codecs f9_group_blob f10_metadata f12_aborted f13_machines f14_engine f15_hostile_cluster f16_config
    f17_error_code f18_secrets
}

#[test]
fn every_target_is_replayed_here_and_run_by_cargo_fuzz() {
    let names: Vec<&str> = TARGETS
        .iter()
        .map(|target| target.name)
        .filter(|name| *name != "f5_peer_codec")
        .collect();
    assert_eq!(names, REPLAYED);
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for name in names.iter().chain(&["f5_peer_codec"]) {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "fuzz/Cargo.toml lacks {name}"
        );
        let path = fuzz.join(format!("fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            text.contains(&format!("klamm_fuzzing::{name}(data)")),
            "{text}"
        );
    }
}
