//! How a long call tells its caller how far it is.

use rmcp::{
    ErrorData, Peer, RoleServer,
    handler::server::{common::FromContextPart, tool::ToolCallContext},
    model::{ProgressNotificationParam, ProgressToken},
};

use crate::services::Report;

/// Sends `notifications/progress` to a caller that gave a progress token; silent for others.
pub struct Progress {
    to: Option<(ProgressToken, Peer<RoleServer>)>,
}

impl<S> FromContextPart<ToolCallContext<'_, S>> for Progress {
    fn from_context_part(context: &mut ToolCallContext<'_, S>) -> Result<Self, ErrorData> {
        let request = &context.request_context;
        Ok(Self { to: request.meta.get_progress_token().map(|token| (token, request.peer.clone())) })
    }
}

#[async_trait::async_trait]
impl Report for Progress {
    #[expect(clippy::cast_precision_loss, reason = "progress is shown, not counted with")]
    async fn report(&self, done: u64, total: Option<u64>, message: &str) {
        let Some((token, peer)) = &self.to else { return };
        let mut note = ProgressNotificationParam::new(token.clone(), done as f64).with_message(message);
        if let Some(total) = total {
            note = note.with_total(total as f64);
        }
        if let Err(error) = peer.notify_progress(note).await {
            tracing::debug!("progress was not delivered: {error}");
        }
    }
}
