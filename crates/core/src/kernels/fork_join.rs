//! One evaluation on several threads: loops and products over rows, each row made by one thread, so that the bits are those of
//! one thread.
//!
//! Work is spread inside a pool of rayon only, and over as many threads as that has: whoever evaluates many fields at a time
//! gives each a thread of its own, and nothing here competes with them.

/// Fewer values are not worth waking a thread.
const LEAST: usize = 1 << 15;

/// Threads for `values` values.
pub(crate) fn threads(values: usize) -> usize {
    if values <= LEAST || rayon::current_thread_index().is_none() { 1 } else { rayon::current_num_threads() }
}

/// Rows of each part when the `rows` rows of `values` values are spread.
pub(crate) fn part(rows: usize, values: usize) -> usize {
    rows.div_ceil(threads(values)).max(1)
}

/// `work` on each of a few parts, at the same time inside a pool.
pub(crate) fn each<T: Send>(mut parts: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    if rayon::current_thread_index().is_none() {
        return parts.for_each(work);
    }
    fn beside<T: Send>(part: T, parts: &mut (impl Iterator<Item = T> + Send), work: &(impl Fn(T) + Sync)) {
        match parts.next() {
            Some(next) => drop(rayon::join(|| work(part), || beside(next, parts, work))),
            None => work(part),
        }
    }
    if let Some(part) = parts.next() {
        beside(part, &mut parts, &work);
    }
}
