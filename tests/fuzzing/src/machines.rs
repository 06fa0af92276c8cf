//! F10: what is known of a cluster, through any answers. F13: the engine's small machines against naive models.

use klamm::models;

/// F10: choices of answers and of what is asked.
pub fn f10_metadata(data: &[u8]) {
    models::metadata(data);
}

/// F13: a byte that says which machine, then choices of what happens to it.
pub fn f13_machines(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    match which % 4 {
        0 => models::timers(rest),
        1 => models::in_flight(rest),
        2 => models::sequences(rest),
        _ => drop(models::fetch_session(rest)),
    }
}
