//! Owns scenarios as text: short files that people read and change, and that are kept for ever.
//!
//! Knows how a scenario is written, not what it does. A line says one thing; what follows `#` is for people.

use std::fmt::{self, Write};
use std::str::FromStr;

use klamm::Duration;
use klamm::record::Codec;

use crate::history::Place;
use crate::scenario::{
    Consumer, Fault, FaultKind, Going, Member, Network, ProduceError, Producer, Protocol, Scenario,
    Send, Topic,
};

const CODECS: [(&str, Codec); 5] = [
    ("none", Codec::None),
    ("gzip", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("zstd", Codec::Zstd),
];

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("eager", Protocol::Eager),
    ("cooperative", Protocol::Cooperative),
    ("consumer", Protocol::Consumer),
];

const GOINGS: [(&str, Going); 2] = [("leaves", Going::Leaves), ("crashes", Going::Crashes)];

const ERRORS: [(&str, ProduceError); 6] = [
    ("not-leader", ProduceError::NotLeader),
    ("not-enough-replicas", ProduceError::NotEnoughReplicas),
    (
        "not-enough-replicas-after-append",
        ProduceError::NotEnoughReplicasAfterAppend,
    ),
    ("request-timed-out", ProduceError::RequestTimedOut),
    ("unknown-topic", ProduceError::UnknownTopic),
    ("storage", ProduceError::Storage),
];

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Unreadable {}

/// A scenario as text.
#[must_use]
pub fn write(scenario: &Scenario) -> String {
    let mut text = String::new();
    write_lines(scenario, &mut text).expect("a string takes everything");
    text
}

fn write_lines(scenario: &Scenario, text: &mut String) -> fmt::Result {
    writeln!(text, "seed {}", scenario.seed)?;
    writeln!(
        text,
        "cluster brokers={} replication={} copying={}",
        scenario.brokers,
        scenario.replication,
        time(scenario.replication_delay)
    )?;
    let network = &scenario.network;
    writeln!(
        text,
        "network least={} most={} piece={}",
        time(network.delay_min),
        time(network.delay_max),
        network.piece_max
    )?;
    for topic in &scenario.topics {
        writeln!(text, "topic {} {}", topic.name, topic.partitions)?;
    }
    for producer in &scenario.producers {
        write_producer(producer, text)?;
    }
    for consumer in &scenario.consumers {
        writeln!(
            text,
            "consumer budget={} wait={} bytes={} work={}",
            consumer.memory_budget,
            time(consumer.fetch_max_wait),
            consumer.max_partition_fetch_bytes,
            time(consumer.per_batch)
        )?;
    }
    for member in &scenario.members {
        write_member(member, text)?;
    }
    for fault in &scenario.faults {
        writeln!(text, "fault {} {}", time(fault.at), kind(&fault.kind))?;
    }
    Ok(())
}

fn write_producer(producer: &Producer, text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "producer idempotent={} in-flight={} linger={} batch={} buffer={} compression={} request={} delivery={}",
        producer.idempotent,
        producer.max_in_flight,
        time(producer.linger),
        producer.batch_size,
        producer.buffer_memory,
        name(&CODECS, &producer.compression),
        time(producer.request_timeout),
        time(producer.delivery_timeout)
    )?;
    for send in &producer.sends {
        writeln!(
            text,
            "  send {} {} {} records={} size={}",
            time(send.at),
            send.place.topic,
            send.place.partition,
            send.records,
            send.size
        )?;
    }
    Ok(())
}

fn write_member(member: &Member, text: &mut String) -> fmt::Result {
    let none = || String::from("none");
    writeln!(
        text,
        "member protocol={} instance={} auto-commit={} listener={} work={} joins={} goes={}",
        name(&PROTOCOLS, &member.protocol),
        member
            .instance
            .map_or_else(none, |number| number.to_string()),
        member.auto_commit,
        member.listener.map_or_else(none, time),
        time(member.per_batch),
        time(member.joins),
        member.goes.map_or_else(none, |(at, going)| {
            format!("{}:{}", name(&GOINGS, &going), time(at))
        })
    )
}

fn kind(kind: &FaultKind) -> String {
    let how = |applied: bool| if applied { "after" } else { "before" };
    match kind {
        FaultKind::Reset { broker } => format!("reset {broker}"),
        FaultKind::Stop { broker, down } => format!("stop {broker} {}", time(*down)),
        FaultKind::Freeze { broker, still } => format!("freeze {broker} {}", time(*still)),
        FaultKind::BlackHole { broker, dark } => format!("black-hole {broker} {}", time(*dark)),
        FaultKind::MoveLeader { place } => {
            format!("move-leader {} {}", place.topic, place.partition)
        }
        FaultKind::ProduceError { error, applied } => {
            format!("produce-error {} {}", name(&ERRORS, error), how(*applied))
        }
        FaultKind::ProduceDropped { applied } => format!("produce-dropped {}", how(*applied)),
    }
}

fn name<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    let found = names.iter().find(|(_, known)| known == value);
    found.map_or("?", |(name, _)| name)
}

/// Microseconds, where nothing is lost by it.
fn time(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos.is_multiple_of(1_000) {
        format!("{}us", nanos / 1_000)
    } else {
        format!("{nanos}ns")
    }
}

/// The scenario that a text says.
///
/// # Errors
/// The first line that cannot be understood.
pub fn read(text: &str) -> Result<Scenario, Unreadable> {
    let mut scenario = Scenario {
        seed: 0,
        brokers: 1,
        replication: 1,
        replication_delay: Duration::ZERO,
        topics: Vec::new(),
        producers: Vec::new(),
        consumers: Vec::new(),
        members: Vec::new(),
        network: Network {
            delay_min: Duration::ZERO,
            delay_max: Duration::ZERO,
            piece_max: u64::MAX,
        },
        faults: Vec::new(),
    };
    for (number, line) in (1..).zip(text.lines()) {
        let said = line.split('#').next().unwrap_or_default();
        let mut words = Words(said.split_whitespace());
        read_line(&mut scenario, &mut words)
            .and_then(|()| words.end())
            .map_err(|what| Unreadable { line: number, what })?;
    }
    Ok(scenario)
}

fn read_line(scenario: &mut Scenario, words: &mut Words<'_>) -> Result<(), String> {
    let Some(keyword) = words.0.next() else {
        return Ok(());
    };
    match keyword {
        "seed" => scenario.seed = words.number()?,
        "cluster" => {
            scenario.brokers = words.named("brokers")?;
            scenario.replication = words.named("replication")?;
            scenario.replication_delay = words.named_time("copying")?;
        }
        "network" => {
            scenario.network = Network {
                delay_min: words.named_time("least")?,
                delay_max: words.named_time("most")?,
                piece_max: words.named("piece")?,
            };
        }
        "topic" => scenario.topics.push(Topic {
            name: words.word()?.to_owned(),
            partitions: words.number()?,
        }),
        "producer" => scenario.producers.push(read_producer(words)?),
        "send" => {
            let producer = scenario.producers.last_mut();
            let producer = producer.ok_or("no producer is there that could send")?;
            producer.sends.push(Send {
                at: words.time()?,
                place: words.place()?,
                records: words.named("records")?,
                size: words.named("size")?,
            });
        }
        "consumer" => scenario.consumers.push(Consumer {
            memory_budget: words.named("budget")?,
            fetch_max_wait: words.named_time("wait")?,
            max_partition_fetch_bytes: words.named("bytes")?,
            per_batch: words.named_time("work")?,
        }),
        "member" => scenario.members.push(read_member(words)?),
        "fault" => scenario.faults.push(Fault {
            at: words.time()?,
            kind: read_kind(words)?,
        }),
        other => return Err(format!("nothing begins with `{other}`")),
    }
    Ok(())
}

fn read_producer(words: &mut Words<'_>) -> Result<Producer, String> {
    Ok(Producer {
        idempotent: words.named("idempotent")?,
        max_in_flight: words.named("in-flight")?,
        linger: words.named_time("linger")?,
        batch_size: words.named("batch")?,
        buffer_memory: words.named("buffer")?,
        compression: find(&CODECS, words.value("compression")?)?,
        request_timeout: words.named_time("request")?,
        delivery_timeout: words.named_time("delivery")?,
        sends: Vec::new(),
    })
}

fn read_member(words: &mut Words<'_>) -> Result<Member, String> {
    Ok(Member {
        protocol: find(&PROTOCOLS, words.value("protocol")?)?,
        instance: unless_none(words.value("instance")?, parse)?,
        auto_commit: words.named("auto-commit")?,
        listener: unless_none(words.value("listener")?, parse_time)?,
        per_batch: words.named_time("work")?,
        joins: words.named_time("joins")?,
        goes: unless_none(words.value("goes")?, |word| {
            let (going, at) = word.split_once(':').ok_or("how:when is missing")?;
            Ok((parse_time(at)?, find(&GOINGS, going)?))
        })?,
    })
}

fn unless_none<T>(
    word: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match word {
        "none" => Ok(None),
        word => read(word).map(Some),
    }
}

fn read_kind(words: &mut Words<'_>) -> Result<FaultKind, String> {
    Ok(match words.word()? {
        "reset" => FaultKind::Reset {
            broker: words.number()?,
        },
        "stop" => FaultKind::Stop {
            broker: words.number()?,
            down: words.time()?,
        },
        "freeze" => FaultKind::Freeze {
            broker: words.number()?,
            still: words.time()?,
        },
        "black-hole" => FaultKind::BlackHole {
            broker: words.number()?,
            dark: words.time()?,
        },
        "move-leader" => FaultKind::MoveLeader {
            place: words.place()?,
        },
        "produce-error" => FaultKind::ProduceError {
            error: find(&ERRORS, words.word()?)?,
            applied: words.applied()?,
        },
        "produce-dropped" => FaultKind::ProduceDropped {
            applied: words.applied()?,
        },
        other => return Err(format!("there is no fault `{other}`")),
    })
}

fn find<T: Copy>(names: &[(&str, T)], name: &str) -> Result<T, String> {
    let found = names.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("`{name}` is none of the names"))
}

/// What is left of a line.
struct Words<'a>(std::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn word(&mut self) -> Result<&'a str, String> {
        self.0
            .next()
            .ok_or_else(|| String::from("something is missing"))
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        parse(self.word()?)
    }

    fn time(&mut self) -> Result<Duration, String> {
        parse_time(self.word()?)
    }

    fn place(&mut self) -> Result<Place, String> {
        Ok(Place {
            topic: self.word()?.to_owned(),
            partition: self.number()?,
        })
    }

    /// The value of `name=value`, which is next.
    fn value(&mut self, name: &str) -> Result<&'a str, String> {
        let word = self.word()?;
        let value = word
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='));
        value.ok_or_else(|| format!("`{name}=` should stand where `{word}` does"))
    }

    fn named<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        parse(self.value(name)?)
    }

    fn named_time(&mut self, name: &str) -> Result<Duration, String> {
        parse_time(self.value(name)?)
    }

    /// Whether a fault comes after the request took effect.
    fn applied(&mut self) -> Result<bool, String> {
        match self.word()? {
            "after" => Ok(true),
            "before" => Ok(false),
            other => Err(format!("`{other}` is neither `before` nor `after`")),
        }
    }

    fn end(mut self) -> Result<(), String> {
        match self.0.next() {
            None => Ok(()),
            Some(word) => Err(format!("`{word}` is too much")),
        }
    }
}

fn parse<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("`{word}` is not possible here"))
}

fn parse_time(word: &str) -> Result<Duration, String> {
    if let Some(micros) = word.strip_suffix("us") {
        parse(micros).map(Duration::from_micros)
    } else if let Some(nanos) = word.strip_suffix("ns") {
        parse(nanos).map(Duration::from_nanos)
    } else {
        Err(format!("`{word}` has neither `us` nor `ns`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_reads_the_same() {
        for seed in 0..200 {
            let scenario = Scenario::generate(seed);
            assert_eq!(read(&write(&scenario)), Ok(scenario), "seed {seed}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        let wrong = |text: &str| read(text).map_err(|wrong| wrong.to_string());
        let told = wrong("seed 1 # of 2\n\nfault 3us rest 1");
        assert_eq!(told, Err("line 3: there is no fault `rest`".into()));
        let told = wrong("topic t 1 2");
        assert_eq!(told, Err("line 1: `2` is too much".into()));
        let told = wrong("send 1us t 0 records=1 size=1");
        assert_eq!(
            told,
            Err("line 1: no producer is there that could send".into())
        );
    }
}
