//! A conversation: each request is answered in the task that asks. The SDK's own loop runs beside it and only emits notifications, which is
//! progress: a call that went through that loop would change tasks four times on its way.

use std::{convert::Infallible, future::Future};

use rmcp::{
    ErrorData, RoleServer,
    model::{ClientRequest, GetExtensions, InitializeRequestParams, JsonRpcMessage, RequestId, ServerResult},
    service::{RequestContext, RunningService, RxJsonRpcMessage, Service, TxJsonRpcMessage, serve_directly},
    transport::Transport,
};
use tokio_util::sync::CancellationToken;

use super::server::Server;

/// Answers requests. What still runs when it is dropped goes on.
pub struct Session {
    server: Server,
    sdk_loop: RunningService<RoleServer, Server>,
}

impl Session {
    /// Begins without a handshake: one may come later, and again. `notify` receives each notification. Must be called inside a runtime.
    pub fn open(
        server: Server,
        client: Option<InitializeRequestParams>,
        notify: impl Fn(&TxJsonRpcMessage<RoleServer>) + Send + 'static,
    ) -> Self {
        let sdk_loop = serve_directly(server.clone(), NotificationSink(notify), client);
        Self { server, sdk_loop }
    }

    /// The answer to a request. `cancelled` ends a tool call.
    ///
    /// # Errors
    /// A protocol error. A tool that fails gives a result.
    pub fn answer(
        &self,
        id: i64,
        mut request: ClientRequest,
        cancelled: CancellationToken,
    ) -> impl Future<Output = Result<ServerResult, ErrorData>> + Send {
        let mut context = RequestContext::new(RequestId::Number(id), self.sdk_loop.peer().clone());
        context.ct = cancelled;
        context.extensions = std::mem::take(request.extensions_mut());
        context.meta = context.extensions.remove().unwrap_or_default();
        self.server.handle_request(request, context)
    }
}

/// A transport that hands notifications on and receives nothing.
struct NotificationSink<F>(F);

impl<F: Fn(&TxJsonRpcMessage<RoleServer>) + Send + 'static> Transport<RoleServer> for NotificationSink<F> {
    type Error = Infallible;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        if matches!(message, JsonRpcMessage::Notification(_)) {
            (self.0)(&message);
        }
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        std::future::pending().await
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
