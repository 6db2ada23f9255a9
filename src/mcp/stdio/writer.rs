//! The one task that writes: many answers in one write.

use std::sync::Arc;

use super::descriptor::Output;
use crate::mcp::traffic::Traffic;

/// A buffer that grew beyond this is not kept.
const KEPT_BYTES: usize = 1 << 20;

/// Writes until the stream is closed, or its reader has gone.
pub async fn run(output: Output, traffic: Arc<Traffic>) {
    let mut empty = Vec::new();
    loop {
        let Some(buffer) = traffic.take_unsent(empty) else { return };
        if buffer.is_empty() {
            empty = buffer;
            traffic.wake.notified().await;
            continue;
        }
        match output.write_all(buffer).await {
            Ok(written) if written.capacity() > KEPT_BYTES => empty = Vec::new(),
            Ok(written) => empty = written,
            Err(error) => {
                tracing::info!("stdout is closed: {error}");
                return traffic.break_off();
            }
        }
    }
}
