//! Owns the life of groups at their coordinators: made, moved, loaded, woken, and their answers delivered.
//!
//! Must not know what any answer says.

use klamm::messages::{JoinGroupRequest, SyncGroupRequest};
use klamm::{ErrorCode, Str};

use super::classic::{Replies, Reply};
use super::{Group, Members, Offsets, Served};
use crate::NodeId;
use crate::cluster::{Cluster, Timer};
use crate::connection::{ConnectionKey, State};
use crate::faults::Moment;
use crate::history::What;

impl Cluster {
    /// Whether `broker` coordinates `group`, and knows it.
    pub(crate) fn check_coordinator(&self, broker: NodeId, group: &str) -> Result<(), ErrorCode> {
        if self.coordinator(group).map(|node| node.id) != Some(broker) {
            return Err(ErrorCode::NOT_COORDINATOR);
        }
        match self.groups.get(group).map(|group| group.served) {
            Some(Served::Loading(..)) => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            Some(Served::By(_) | Served::ByNobody) | None => Ok(()),
        }
    }

    /// The group `id`, which is made if there is none.
    pub(crate) fn group_or_new(&mut self, id: &Str) -> &mut Group {
        let served = match self.coordinator(id) {
            Some(node) => Served::By(node.id),
            None => Served::ByNobody,
        };
        let groups = &mut self.groups.groups;
        groups.entry(id.detached()).or_insert_with(|| Group {
            members: Members::Classic(Box::default()),
            offsets: Offsets::new(),
            served,
            timer: None,
        })
    }

    /// Deletes a group with its offsets.
    pub(super) fn forget_group(&mut self, id: &str) {
        if let Some(group) = self.groups.groups.remove(id)
            && let Some((_, timer)) = group.timer
        {
            self.timers.cancel(timer);
        }
    }

    /// Does something with the members of a group, if it is there.
    pub(crate) fn with_members<T>(
        &mut self,
        id: &str,
        what: impl FnOnce(&mut Members) -> (T, Replies),
    ) -> Option<T> {
        let group = self.groups.groups.get_mut(id)?;
        let before = (group.members.state(), group.members.generation());
        let (result, replies) = what(&mut group.members);
        self.replies.extend(replies);
        self.note_group(id, before);
        self.arm_group(id);
        Some(result)
    }

    fn note_group(&mut self, id: &str, before: (&'static str, i32)) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let (state, generation) = (group.members.state(), group.members.generation());
        if (state, generation) != before {
            let members = group.members.ids();
            self.note(What::GroupChanged {
                group: id.to_owned(),
                state,
                generation,
                members,
            });
        }
    }

    /// Sees to it that the group is woken when something is due in it.
    fn arm_group(&mut self, id: &str) {
        let Some((id, group)) = self.groups.groups.get_key_value(id) else {
            return;
        };
        let due = match group.served {
            Served::ByNobody => None,
            Served::By(_) => group.members.deadline(),
            Served::Loading(_, until) => Some(until),
        };
        let before = group.timer;
        if before.map(|(at, _)| at) == due {
            return;
        }
        let id = id.clone();
        if let Some((_, timer)) = before {
            self.timers.cancel(timer);
        }
        let armed = due.map(|at| (at, self.timers.arm(at, Timer::Group(id.clone()))));
        if let Some(group) = self.groups.groups.get_mut(&id) {
            group.timer = armed;
        }
    }

    /// The time has come that a group waited for.
    pub(crate) fn group_due(&mut self, id: &str) {
        let now = self.now;
        if let Some(group) = self.groups.groups.get_mut(id) {
            group.timer = None;
            if let Served::Loading(broker, _) = group.served {
                group.served = Served::By(broker);
            }
        }
        let config = self.config.groups.clone();
        self.with_members(id, |members| ((), members.advance(now, &config)));
    }

    /// Brokers came or went: groups whose coordinator is another one are read from the log there.
    pub(crate) fn move_coordinators(&mut self) {
        let ids: Vec<_> = self.groups.groups.keys().cloned().collect();
        for id in ids {
            let next = self.coordinator(&id).map(|node| node.id);
            if let Some(group) = self.groups.groups.get_mut(&id)
                && group.served.by() != next
            {
                let loaded = self.now + self.config.groups.load_time;
                group.served = match next {
                    None => Served::ByNobody,
                    Some(broker) if loaded == self.now => Served::By(broker),
                    Some(broker) => Served::Loading(broker, loaded),
                };
                let config = self.config.groups.clone();
                self.with_members(&id, |members| ((), members.reload(loaded, &config)));
            }
        }
    }

    /// Gives the answer to a request that waited for its group.
    pub(crate) fn deliver(&mut self, key: ConnectionKey, reply: Reply) {
        let Some(connection) = self.connections.get_mut(&key) else {
            return;
        };
        let mut call = match std::mem::replace(&mut connection.state, State::Reading) {
            State::AwaitingGroup(call) => *call,
            other @ (State::Reading
            | State::Held(_)
            | State::Fetching(_)
            | State::Producing(_)
            | State::Answering(_)
            | State::Silent
            | State::Sending
            | State::Muted) => {
                connection.state = other;
                return;
            }
        };
        let fault = call.met.answers.top(Moment::After);
        let throttle_time_ms = self.throttle_ms();
        let outcome = match reply {
            Reply::Join(mut response) => {
                response.throttle_time_ms = throttle_time_ms;
                response.error_code = fault.map_or(response.error_code, |error| error.0);
                // Before version 7 there is no null for it.
                if call.version < 7 && response.protocol_name.is_none() {
                    response.protocol_name = Some(Str::EMPTY);
                } else if call.version >= 7 && response.protocol_name.as_deref() == Some("") {
                    response.protocol_name = None;
                }
                self.answer::<JoinGroupRequest>(&call, &response)
            }
            Reply::Sync(mut response) => {
                response.throttle_time_ms = throttle_time_ms;
                response.error_code = fault.map_or(response.error_code, |error| error.0);
                self.answer::<SyncGroupRequest>(&call, &response)
            }
        };
        self.finish(call, outcome);
        self.read_requests(key);
    }
}
