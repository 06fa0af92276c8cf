//! Owns the incremental fetch sessions of one broker (KIP-227): which partitions a reader asks for again and again,
//! and which of them have news.
//!
//! Must not know logs or connections; it sees what is asked and what was found.

use std::collections::BTreeMap;

use bytes::Bytes;
use klamm::ErrorCode;
use klamm::{Duration, Instant};

use crate::log::{AbortedTransaction, EpochEnd};
use crate::topology::TopicRef;

/// `min.incremental.fetch.session.eviction.ms`: a session unused for this long may be evicted by any other.
const EVICTION: Duration = Duration::from_secs(120);

/// What a reader asks of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionFetch {
    pub(crate) topic: TopicRef,
    pub(crate) index: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) fetch_offset: i64,
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_bytes: i32,
}

impl PartitionFetch {
    fn key(&self) -> (TopicRef, i32) {
        (self.topic.clone(), self.index)
    }
}

/// What was found in one partition.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) topic: TopicRef,
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) diverging: Option<EpochEnd>,
    /// Leader and epoch, for a reader who asked the wrong broker (KIP-951).
    pub(crate) current_leader: Option<(i32, i32)>,
    /// For readers of committed records only.
    pub(crate) aborted: Option<Vec<AbortedTransaction>>,
    pub(crate) records: Bytes,
}

impl Fetched {
    /// A partition that cannot be read.
    pub(crate) fn refused(fetch: &PartitionFetch, error: ErrorCode) -> Self {
        Self {
            topic: fetch.topic.clone(),
            index: fetch.index,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging: None,
            current_leader: None,
            aborted: None,
            records: Bytes::new(),
        }
    }
}

/// What a Fetch says about its session.
pub(crate) struct SessionRequest {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    /// Whether topics come by id (Fetch v13+).
    pub(crate) by_id: bool,
    pub(crate) partitions: Vec<PartitionFetch>,
    pub(crate) forgotten: Vec<(TopicRef, i32)>,
}

/// How one Fetch is served.
#[derive(Clone, Debug)]
pub(crate) enum FetchContext {
    /// There is no session, and none is wanted.
    Sessionless(Vec<PartitionFetch>),
    /// All partitions are asked for; a session begins with the answer, if there is room.
    Full {
        by_id: bool,
        partitions: Vec<PartitionFetch>,
    },
    /// The session's partitions are asked for; those without news are left out of the answer.
    Incremental {
        id: i32,
        partitions: Vec<PartitionFetch>,
    },
}

impl FetchContext {
    pub(crate) fn partitions(&self) -> &[PartitionFetch] {
        match self {
            Self::Sessionless(partitions)
            | Self::Full { partitions, .. }
            | Self::Incremental { partitions, .. } => partitions,
        }
    }
}

#[derive(Clone, Debug)]
struct CachedPartition {
    fetch: PartitionFetch,
    /// What the reader was told last; -1 for nothing, or an error.
    high_watermark: i64,
    log_start_offset: i64,
}

impl CachedPartition {
    fn new(fetch: PartitionFetch) -> Self {
        Self {
            fetch,
            high_watermark: -1,
            log_start_offset: -1,
        }
    }

    /// Notes what the reader is told now. Returns whether that is news.
    fn note(&mut self, fetched: &Fetched) -> bool {
        let news = !fetched.records.is_empty()
            || self.high_watermark != fetched.high_watermark
            || self.log_start_offset != fetched.log_start_offset
            || !fetched.error.is_none()
            || fetched.diverging.is_some();
        self.high_watermark = if fetched.error.is_none() {
            fetched.high_watermark
        } else {
            // So that the end of an error is news.
            -1
        };
        self.log_start_offset = fetched.log_start_offset;
        news
    }
}

#[derive(Clone, Debug)]
struct Session {
    epoch: i32,
    by_id: bool,
    last_used: Instant,
    /// The partitions in the order in which they are served; one that had data goes to the end.
    order: BTreeMap<u64, CachedPartition>,
    places: BTreeMap<(TopicRef, i32), u64>,
    next_place: u64,
}

impl Session {
    fn new(by_id: bool, now: Instant) -> Self {
        Self {
            epoch: 1,
            by_id,
            last_used: now,
            order: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
        }
    }

    fn push(&mut self, partition: CachedPartition) {
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(partition.fetch.key(), place);
        self.order.insert(place, partition);
    }

    fn remove(&mut self, key: &(TopicRef, i32)) -> Option<CachedPartition> {
        let place = self.places.remove(key)?;
        self.order.remove(&place)
    }

    /// Takes over what an incremental request adds, changes and forgets.
    fn update(&mut self, partitions: Vec<PartitionFetch>, forgotten: &[(TopicRef, i32)]) {
        for fetch in partitions {
            let known = self.places.get(&fetch.key());
            match known.and_then(|place| self.order.get_mut(place)) {
                Some(cached) => cached.fetch = fetch,
                None => self.push(CachedPartition::new(fetch)),
            }
        }
        for key in forgotten {
            self.remove(key);
        }
    }

    fn partitions(&self) -> Vec<PartitionFetch> {
        self.order
            .values()
            .map(|cached| cached.fetch.clone())
            .collect()
    }

    /// Notes what the reader is told of a partition. Returns whether that is news.
    fn note(&mut self, fetched: &Fetched) -> bool {
        let key = (fetched.topic.clone(), fetched.index);
        let Some(place) = self.places.get(&key) else {
            return true;
        };
        let news = self
            .order
            .get_mut(place)
            .is_none_or(|cached| cached.note(fetched));
        if !fetched.records.is_empty()
            && let Some(served) = self.remove(&key)
        {
            self.push(served);
        }
        news
    }
}

/// The fetch sessions of one broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
}

impl FetchSessions {
    /// How the request is served, or the error that answers it as a whole.
    pub(crate) fn open(
        &mut self,
        request: SessionRequest,
        now: Instant,
    ) -> Result<FetchContext, ErrorCode> {
        if request.epoch == 0 || request.epoch == -1 {
            self.sessions.remove(&request.id);
            return Ok(if request.epoch == -1 {
                FetchContext::Sessionless(request.partitions)
            } else {
                FetchContext::Full {
                    by_id: request.by_id,
                    partitions: request.partitions,
                }
            });
        }
        let session = self
            .sessions
            .get_mut(&request.id)
            .ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.by_id != request.by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        if session.epoch != request.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        session.update(request.partitions, &request.forgotten);
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        session.last_used = now;
        if session.order.is_empty() {
            self.sessions.remove(&request.id);
            return Ok(FetchContext::Sessionless(Vec::new()));
        }
        Ok(FetchContext::Incremental {
            id: request.id,
            partitions: session.partitions(),
        })
    }

    /// The session id of the answer, and what of `fetched` it tells. `fresh_id` is used if a session begins.
    pub(crate) fn answer(
        &mut self,
        context: FetchContext,
        mut fetched: Vec<Fetched>,
        slots: usize,
        fresh_id: i32,
        now: Instant,
    ) -> (i32, Vec<Fetched>) {
        match context {
            FetchContext::Sessionless(_) => (0, fetched),
            FetchContext::Full { by_id, partitions } => {
                if !self.make_room(slots, partitions.len(), now) {
                    return (0, fetched);
                }
                let mut session = Session::new(by_id, now);
                session.update(partitions, &[]);
                for partition in &fetched {
                    session.note(partition);
                }
                self.sessions.insert(fresh_id, session);
                (fresh_id, fetched)
            }
            FetchContext::Incremental { id, .. } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    fetched.retain(|partition| session.note(partition));
                }
                (id, fetched)
            }
        }
    }

    /// Makes room for a session of `size` partitions: one that was long unused goes, else a smaller one.
    fn make_room(&mut self, slots: usize, size: usize, now: Instant) -> bool {
        if size == 0 || slots == 0 {
            return false;
        }
        if self.sessions.len() < slots {
            return true;
        }
        let oldest = self
            .sessions
            .iter()
            .min_by_key(|(_, session)| session.last_used);
        let stale = oldest
            .filter(|(_, session)| now.since(session.last_used) > EVICTION)
            .map(|(id, _)| *id);
        let smaller = || {
            let smallest = self
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.order.len());
            smallest
                .filter(|(_, session)| session.order.len() < size)
                .map(|(id, _)| *id)
        };
        match stale.or_else(smaller) {
            Some(id) => self.sessions.remove(&id).is_some(),
            None => false,
        }
    }

    /// Whether `id` names a session.
    pub(crate) fn contains(&self, id: i32) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Ends all sessions but those of `keep`'s choice. Returns how many ended.
    pub(crate) fn evict(&mut self) -> usize {
        let count = self.sessions.len();
        self.sessions.clear();
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm::Str;

    const NOW: Instant = Instant::START;

    fn fetch(index: i32, offset: i64) -> PartitionFetch {
        PartitionFetch {
            topic: TopicRef::Name(Str::from_static("t")),
            index,
            current_leader_epoch: -1,
            fetch_offset: offset,
            last_fetched_epoch: -1,
            max_bytes: 1000,
        }
    }

    fn found(index: i32, high_watermark: i64, records: &'static [u8]) -> Fetched {
        Fetched {
            error: ErrorCode::NONE,
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset: 0,
            records: Bytes::from_static(records),
            ..Fetched::refused(&fetch(index, 0), ErrorCode::NONE)
        }
    }

    fn request(id: i32, epoch: i32, partitions: Vec<PartitionFetch>) -> SessionRequest {
        SessionRequest {
            id,
            epoch,
            by_id: false,
            partitions,
            forgotten: Vec::new(),
        }
    }

    /// A broker with session 77 of the partitions 0 and 1, both empty.
    fn with_session() -> FetchSessions {
        let mut sessions = FetchSessions::default();
        let full = request(0, 0, vec![fetch(0, 0), fetch(1, 0)]);
        let context = sessions.open(full, NOW).unwrap();
        let all = vec![found(0, 0, b""), found(1, 0, b"")];
        let (id, told) = sessions.answer(context, all, 10, 77, NOW);
        assert_eq!((id, told.len()), (77, 2));
        sessions
    }

    fn indexes(fetched: &[Fetched]) -> Vec<i32> {
        fetched.iter().map(|partition| partition.index).collect()
    }

    #[test]
    fn an_incremental_answer_names_only_partitions_with_news() {
        let mut sessions = with_session();
        let context = sessions.open(request(77, 1, vec![]), NOW).unwrap();
        assert_eq!(context.partitions().len(), 2);
        let all = vec![found(0, 0, b""), found(1, 5, b"data")];
        let (id, told) = sessions.answer(context, all, 10, 0, NOW);
        assert_eq!((id, indexes(&told)), (77, vec![1]));
    }

    #[test]
    fn a_partition_that_had_data_is_served_last_next_time() {
        let mut sessions = with_session();
        let context = sessions.open(request(77, 1, vec![]), NOW).unwrap();
        let all = vec![found(0, 5, b"data"), found(1, 0, b"")];
        sessions.answer(context, all, 10, 0, NOW);
        let context = sessions
            .open(request(77, 2, vec![fetch(0, 5)]), NOW)
            .unwrap();
        let order: Vec<_> = context.partitions().iter().map(|p| p.index).collect();
        assert_eq!(order, [1, 0]);
        assert_eq!(context.partitions()[1].fetch_offset, 5);
    }

    #[test]
    fn a_forgotten_partition_is_not_served_and_an_empty_session_ends() {
        let mut sessions = with_session();
        let topic = TopicRef::Name(Str::from_static("t"));
        let forget = |epoch, index| SessionRequest {
            forgotten: vec![(topic.clone(), index)],
            ..request(77, epoch, vec![])
        };
        let context = sessions.open(forget(1, 0), NOW).unwrap();
        assert_eq!(context.partitions().len(), 1);
        sessions.open(forget(2, 1), NOW).unwrap();
        assert!(!sessions.contains(77));
    }

    #[test]
    fn a_wrong_epoch_or_id_is_an_error_of_the_whole_request() {
        let mut sessions = with_session();
        let error = |result: Result<FetchContext, ErrorCode>| result.err();
        assert_eq!(
            error(sessions.open(request(77, 2, vec![]), NOW)),
            Some(ErrorCode::INVALID_FETCH_SESSION_EPOCH)
        );
        assert_eq!(
            error(sessions.open(request(78, 1, vec![]), NOW)),
            Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)
        );
        let by_id = SessionRequest {
            by_id: true,
            ..request(77, 1, vec![])
        };
        assert_eq!(
            error(sessions.open(by_id, NOW)),
            Some(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR)
        );
    }

    #[test]
    fn the_final_epoch_ends_the_session() {
        let mut sessions = with_session();
        let context = sessions
            .open(request(77, -1, vec![fetch(0, 0)]), NOW)
            .unwrap();
        assert!(matches!(context, FetchContext::Sessionless(_)));
        assert!(!sessions.contains(77));
    }

    #[test]
    fn an_error_is_news_each_time_and_so_is_its_end() {
        let mut sessions = with_session();
        for epoch in [1, 2] {
            let context = sessions.open(request(77, epoch, vec![]), NOW).unwrap();
            let error = Fetched::refused(&fetch(0, 0), ErrorCode::OFFSET_OUT_OF_RANGE);
            let all = vec![error, found(1, 0, b"")];
            let (_, told) = sessions.answer(context, all, 10, 0, NOW);
            assert_eq!(indexes(&told), [0]);
        }
        let context = sessions.open(request(77, 3, vec![]), NOW).unwrap();
        let all = vec![found(0, 0, b""), found(1, 0, b"")];
        let (_, told) = sessions.answer(context, all, 10, 0, NOW);
        assert_eq!(indexes(&told), [0]);
    }

    #[test]
    fn a_full_cache_gives_a_slot_only_to_a_larger_session_or_after_two_minutes() {
        let mut sessions = with_session();
        let begin = |sessions: &mut FetchSessions, count: i32, id, now| {
            let partitions: Vec<_> = (0..count).map(|index| fetch(index, 0)).collect();
            let context = sessions.open(request(0, 0, partitions), now).unwrap();
            sessions.answer(context, vec![], 1, id, now).0
        };
        assert_eq!(begin(&mut sessions, 2, 78, NOW), 0);
        assert_eq!(begin(&mut sessions, 3, 79, NOW), 79);
        assert!(!sessions.contains(77));
        let later = NOW + EVICTION + Duration::from_millis(1);
        assert_eq!(begin(&mut sessions, 1, 80, later), 80);
    }
}
