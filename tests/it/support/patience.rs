//! How long tests wait. None of these bounds says how fast the machine is: each is many times what a slow one needs, and well below what
//! comes without the behaviour that is tested.

use std::time::Duration;

/// For what must come. Only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// For a server of another make to start, all of them at once on one core.
pub const START: Duration = Duration::from_secs(600);

/// "Within a second" of the product's promise that a backend is told to be down, and what a busy machine adds.
pub const A_SECOND: Duration = Duration::from_millis(2_500);

/// At once, on a machine that is many times too slow: it is told apart from what takes [`CALL_TIME`], or the 30 s that answers are waited
/// for after the end of input.
pub const SOON: Duration = Duration::from_secs(20);

/// A call's own limit in tests: nothing ends by it that should end by something else.
pub const CALL_TIME: Duration = Duration::from_secs(600);
