//! A group as text, for Java's assignors and for the fixtures that they wrote: `tests/live/java/Assignors.java` says how.

use std::sync::Arc;

use bytes::Bytes;
use klamm::Str;
use klamm::assignor::{Assignor, Member, Subscription, Topics};

/// What an assignor is given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) assignor: Assignor,
    pub(crate) topics: Topics,
    pub(crate) members: Vec<Member>,
}

/// A group, and the lines that say what its members get.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) group: Group,
    pub(crate) answer: Vec<String>,
}

impl Group {
    /// What members get, as Java says it.
    pub(crate) fn answer(&self) -> Vec<String> {
        let assigned = self.assignor.assign(&self.members, &self.topics);
        let line = |partitions: &Vec<klamm::TopicPartition>| {
            let words = partitions.iter().map(|partition| format!(" {partition}"));
            format!("gets{}", words.collect::<String>())
        };
        assigned.iter().map(line).collect()
    }

    /// The lines that end with `end`.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("group {}\n", self.assignor);
        for (topic, partitions) in &self.topics {
            text += &format!("topic {topic}");
            for racks in partitions {
                let racks: Vec<&str> = racks.iter().map(|rack| &**rack).collect();
                text += match &racks[..] {
                    [] => " -".to_owned(),
                    racks => format!(" {}", racks.join(",")),
                }
                .as_str();
            }
            text += "\n";
        }
        for member in &self.members {
            let instance = member.group_instance_id.as_ref().map_or("-", |id| id);
            let bytes = member.subscription.encode().expect("short names");
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("member {} {instance} {hex}\n", member.member_id);
        }
        text + "end\n"
    }
}

/// Groups with their answers.
///
/// # Panics
/// If the text is no such thing.
pub(crate) fn parse(text: &str) -> Vec<Answered> {
    let mut groups = Vec::<Answered>::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("short line: {line}"));
        let kind = word();
        if kind == "group" {
            groups.push(Answered {
                group: Group {
                    assignor: Assignor::parse(word()).expect("an assignor"),
                    topics: Topics::new(),
                    members: Vec::new(),
                },
                answer: Vec::new(),
            });
            continue;
        }
        let current = groups.last_mut().expect("a group comes first");
        match kind {
            "topic" => {
                let name: Arc<str> = word().into();
                let racks = |word: &str| match word {
                    "-" => Vec::new(),
                    racks => racks.split(',').map(Str::from).collect(),
                };
                let partitions = words.map(racks).collect();
                current.group.topics.insert(name, partitions);
            }
            "member" => current.group.members.push(Member {
                member_id: word().into(),
                group_instance_id: Some(word()).filter(|id| *id != "-").map(Str::from),
                subscription: Subscription::decode(bytes_of(word())).expect("a subscription"),
            }),
            "gets" | "throws" => current.answer.push(line.to_owned()),
            _ => panic!("not a line of groups: {line}"),
        }
    }
    groups
}

fn bytes_of(hex: &str) -> Bytes {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}
