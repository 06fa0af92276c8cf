//! Whether a consumer has read all that is in the logs, and not more than that.

use klamm_tokio::Consumer;

/// Holds what was read of each assigned partition, by its number, against the end of its log, as the leader tells it: a
/// record that is doubled at the end would lie behind all that was read.
///
/// # Panics
/// If they differ, or an end is not told.
pub async fn assert_read_to_the_ends(consumer: &Consumer, read: &[u64]) {
    let ends = consumer.end_offsets(&consumer.assignment()).await;
    for (place, end) in ends.expect("the ends are told") {
        let end = end.expect("no trouble").expect("an end").offset;
        let read = read[usize::try_from(place.partition).expect("a number")];
        assert_eq!(u64::try_from(end), Ok(read), "the end of {place}");
    }
}
