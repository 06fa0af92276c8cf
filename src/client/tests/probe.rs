//! A role that does nothing but tell what it hears.
//!
//! Must not act on its own: a test's commands do.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::client::{Context, Role};
use crate::cluster::Route;
use crate::connection::{Answer, FailureCause, Response, SendOptions, Token};
use crate::engine::{ConnectionGroup, JobId, JobResult, NodeId};
use crate::error::Error;
use crate::messages::HeartbeatRequest;
use crate::time::Duration;
use crate::timer::RoleTimer;

/// What the probe heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Response(Token),
    Sent(Token),
    Failed {
        token: Token,
        cause: FailureCause,
        maybe_applied: bool,
        error: String,
    },
    Timer(u8),
    Metadata,
    Reachable(NodeId, ConnectionGroup),
    Unreachable(NodeId, ConnectionGroup, String),
    NoBroker(String),
    Job(JobId),
    BudgetFreed,
    Closed,
}

impl Heard {
    /// The text of the error that was heard.
    #[track_caller]
    pub(super) fn error(self) -> String {
        match self {
            Self::Failed { error, .. } | Self::NoBroker(error) | Self::Unreachable(_, _, error) => {
                error
            }
            other => panic!("not an error: {other:?}"),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Probe {
    /// The responses of which nobody has taken the bytes.
    pub(super) responses: Vec<Response>,
    /// Whether memory is asked for again, in vain, whenever some comes back.
    pub(super) greedy: bool,
    /// How many more answers are followed by another heartbeat to broker 1.
    pub(super) chatty: u32,
}

impl Role for Probe {
    type Event = Heard;

    fn on_answer(&mut self, token: Token, answer: Answer, cx: &mut Context<'_, Heard>) {
        let heard = match answer {
            Answer::Response(response) => {
                self.responses.push(response);
                Heard::Response(token)
            }
            Answer::Sent => Heard::Sent(token),
            Answer::Failed(failed) => Heard::Failed {
                token,
                cause: failed.cause,
                maybe_applied: failed.maybe_applied,
                error: format!("{}", failed.error),
            },
        };
        cx.emit(heard);
        if let Some(left) = self.chatty.checked_sub(1) {
            self.chatty = left;
            let route = Route::Node(NodeId(1), ConnectionGroup::Coordination);
            let options = SendOptions::new(Duration::from_secs(30));
            cx.cluster.send(HeartbeatRequest::default(), route, options);
        }
    }

    fn on_timer(&mut self, timer: RoleTimer, cx: &mut Context<'_, Heard>) {
        cx.emit(Heard::Timer(timer.kind));
    }

    fn on_metadata(&mut self, cx: &mut Context<'_, Heard>) {
        cx.emit(Heard::Metadata);
    }

    fn on_reachable(&mut self, node: NodeId, group: ConnectionGroup, cx: &mut Context<'_, Heard>) {
        cx.emit(Heard::Reachable(node, group));
    }

    fn on_unreachable(
        &mut self,
        node: NodeId,
        group: ConnectionGroup,
        error: &Error,
        cx: &mut Context<'_, Heard>,
    ) {
        cx.emit(Heard::Unreachable(node, group, format!("{error}")));
    }

    fn on_no_broker(&mut self, error: &Error, cx: &mut Context<'_, Heard>) {
        cx.emit(Heard::NoBroker(format!("{error}")));
    }

    fn on_job(&mut self, id: JobId, _: JobResult, cx: &mut Context<'_, Heard>) {
        cx.emit(Heard::Job(id));
    }

    fn on_budget_freed(&mut self, cx: &mut Context<'_, Heard>) {
        if self.greedy {
            let budget = cx.cluster.budget();
            let most = budget.most(crate::budget::Category::Fetch);
            let _ = budget.take(crate::budget::Category::Fetch, most + 1);
        }
        cx.emit(Heard::BudgetFreed);
    }

    fn on_closed(&mut self, cx: &mut Context<'_, Heard>) {
        cx.emit(Heard::Closed);
    }
}
