//! Whether and when a failed task is tried again.

use super::{Failure, Run, Verdict};

/// The first wait, in milliseconds; each further one is twice as long.
const BASE_MS: u64 = 5_000;
/// The longest wait between two attempts: 15 minutes.
pub const WAIT_MS_MAX: u64 = 900_000;
/// Attempts when nothing is said.
pub const ATTEMPTS_DEFAULT: i64 = 5;
/// Failures that no further attempt mends.
const FOR_GOOD: [&str; 4] = ["invalid", "denied", "not_found", "budget"];

/// What a failure leads to.
pub fn verdict(run: &Run, failure: &Failure) -> Verdict {
    let for_good = failure.code.as_deref().is_some_and(|code| FOR_GOOD.contains(&code));
    if for_good || failure.retryable == Some(false) || run.attempt >= run.attempts_max {
        return Verdict::Die;
    }
    Verdict::Retry { wait_ms: wait_ms(run.attempt, failure.retry_after_ms) }
}

/// Shortest and longest wait after the attempt of this number (the first is 1). The worker's own wish is taken as it is.
pub fn wait_ms(attempt: i64, asked_ms: Option<u64>) -> (u64, u64) {
    if let Some(asked) = asked_ms {
        return (asked, asked);
    }
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or_default().min(20);
    let longest = BASE_MS.saturating_mul(1 << doublings).min(WAIT_MS_MAX);
    (longest / 2, longest)
}

#[cfg(test)]
mod tests {
    use super::wait_ms;

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        assert_eq!(wait_ms(1, None), (2_500, 5_000));
        assert_eq!(wait_ms(3, None), (10_000, 20_000));
        assert_eq!(wait_ms(60, None), (450_000, 900_000));
        assert_eq!(wait_ms(9, Some(7)), (7, 7));
    }
}
