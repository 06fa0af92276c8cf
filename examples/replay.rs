//! Replays a recording in a fresh engine, without any network or clock, and compares every output byte for byte.
//!
//! ```text
//! cargo run --release --example quickstart -- --record run
//! cargo run --release --example replay -- run.producer                # the same outputs
//! cargo run --release --example replay -- run.producer --alter 7      # one bit of the 7th input with bytes of a broker
//! cargo run --release --example replay -- run.producer --dump         # what happened, for people
//! ```

use std::error::Error;
use std::process::ExitCode;

use klamm::config::{ConsumerConfig, ProducerConfig};
use klamm::recording::{
    Entry, Header, Recordable, Recording, RecordingError, ReplayError, Replayed, describe_output,
    get_input, put_input, replay,
};
use klamm::{ConsumerEngine, Input, ProducerEngine};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let usage = "usage: replay RECORDING [--alter N | --dump]";
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (file, alter) = match words.as_slice() {
        [file] => (*file, None),
        [file, "--alter", number] => (*file, Some(number.parse::<u64>()?)),
        [file, "--dump"] => {
            dump(&Recording::parse(&std::fs::read(file)?)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => return Err(usage.into()),
    };
    let bytes = std::fs::read(file)?;
    let mut recording = Recording::parse(&bytes)?;
    let altered;
    if let Some(number) = alter {
        altered = alter_input(&recording, number)?;
        recording = Recording::parse(&altered)?;
    }
    match replay_in_fresh_engine(&recording)? {
        Ok(done) => {
            println!(
                "{}: {} inputs and {} commands gave the same {} outputs, {} bytes",
                recording.header.role, done.inputs, done.commands, done.outputs, done.output_bytes
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(difference) => {
            println!("{}: {difference}", recording.header.role);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The recording's header has all that the engine was made of.
fn replay_in_fresh_engine(
    recording: &Recording<'_>,
) -> Result<std::result::Result<Replayed, ReplayError>> {
    let Header {
        role,
        properties,
        entropy,
        now,
        wall,
    } = &recording.header;
    let properties = properties
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    if role == ProducerEngine::ROLE {
        let config = ProducerConfig::from_properties(properties)?;
        let mut engine = ProducerEngine::new(&config, *entropy, *now, *wall)?;
        Ok(replay(&mut engine, recording.entries()))
    } else if role == ConsumerEngine::ROLE {
        let config = ConsumerConfig::from_properties(properties)?;
        let mut engine = ConsumerEngine::new(&config, *entropy, *now, *wall)?;
        Ok(replay(&mut engine, recording.entries()))
    } else {
        Err(format!("this program has no engine for the role {role}").into())
    }
}

/// The same recording, but with one bit of one `Received` changed: the last of the `number`th one, counted from 1.
fn alter_input(recording: &Recording<'_>, number: u64) -> Result<Vec<u8>> {
    let mut bytes = recording.header.to_bytes();
    let mut received = 0;
    for entry in recording.entries() {
        let entry = entry?;
        if let Entry::Input { now, encoded } = entry
            && let Input::Received { conn, data } = get_input(encoded)?
        {
            received += 1;
            if received == number {
                let mut data = data.to_vec();
                if let Some(last) = data.last_mut() {
                    *last ^= 1;
                }
                put_input(&Input::Received { conn, data: &data }, now, &mut bytes);
                continue;
            }
        }
        entry.put(&mut bytes);
    }
    if received < number {
        return Err(format!("there are only {received} inputs with bytes of a broker").into());
    }
    Ok(bytes)
}

fn dump(recording: &Recording<'_>) -> std::result::Result<(), RecordingError> {
    println!("{:?}", recording.header);
    for (entry, number) in recording.entries().zip(0_u64..) {
        match entry? {
            Entry::Input { now, encoded } => {
                let input = get_input(encoded)?;
                if let Input::Received { conn, data } = input {
                    println!("{number:7} {now} > Received {} bytes on {conn}", data.len());
                } else {
                    println!("{number:7} {now} > {input:?}");
                }
            }
            Entry::Command { now, encoded } => {
                println!("{number:7} {now} > a command of {} bytes", encoded.len());
            }
            Entry::Reply { encoded } => println!("{number:7} < a reply of {} bytes", encoded.len()),
            Entry::Output { encoded } => println!("{number:7} < {}", describe_output(encoded)),
        }
    }
    Ok(())
}
