//! A client inside the process: the command line and the tests call tools through the same path as a client on the wire.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use rmcp::{
    RoleServer,
    model::{
        CallToolRequest, CallToolRequestParams, ClientCapabilities, ClientRequest, Implementation,
        InitializeRequestParams, JsonRpcMessage, RequestId,
    },
    service::{RunningService, RxJsonRpcMessage, TxJsonRpcMessage, serve_directly},
    transport::Transport,
};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{answer, server::Server};
use crate::{
    error::{Code, Error},
    tools::arguments::RawArguments,
};

/// Calls tools of a server in this process.
pub struct Local {
    requests: mpsc::Sender<RxJsonRpcMessage<RoleServer>>,
    waiting: Arc<Waiting>,
    _service: RunningService<RoleServer, Server>,
}

/// What a tool answered.
#[derive(Debug)]
pub struct Called {
    /// It refused or failed; the text is the error envelope.
    pub is_error: bool,
    /// The JSON text of the answer.
    pub text: String,
}

#[derive(Default)]
struct Waiting {
    calls: Mutex<(i64, HashMap<i64, oneshot::Sender<Called>>)>,
}

impl Local {
    /// Starts serving. Must be called inside a runtime.
    pub fn new(server: Server) -> Self {
        let (requests, incoming) = mpsc::channel(16);
        let waiting = Arc::new(Waiting::default());
        let transport = Loopback { incoming, waiting: Arc::clone(&waiting) };
        let client = InitializeRequestParams::new(
            ClientCapabilities::default(),
            Implementation::new("callboard-local", env!("CARGO_PKG_VERSION")),
        );
        Self { requests, waiting, _service: serve_directly(server, transport, Some(client)) }
    }

    /// Calls a tool with arguments as JSON text.
    ///
    /// # Errors
    /// `unavailable` when the server has ended.
    pub async fn call(&self, tool: &str, arguments: &str) -> Result<Called, Error> {
        let (reply, answer) = oneshot::channel();
        let id = {
            let mut calls = self.waiting.calls.lock().await;
            calls.0 += 1;
            let id = calls.0;
            calls.1.insert(id, reply);
            id
        };
        let mut request = CallToolRequest::new(CallToolRequestParams::new(tool.to_owned()));
        request.extensions.insert(RawArguments(arguments.into()));
        let message = JsonRpcMessage::request(ClientRequest::CallToolRequest(request), RequestId::Number(id));
        let ended = || Error::new(Code::Unavailable, "the server has ended");
        self.requests.send(message).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}

struct Loopback {
    incoming: mpsc::Receiver<RxJsonRpcMessage<RoleServer>>,
    waiting: Arc<Waiting>,
}

impl Transport<RoleServer> for Loopback {
    type Error = Infallible;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let waiting = Arc::clone(&self.waiting);
        async move {
            let (id, called) = match (&message, answer::text_of(&message)) {
                (JsonRpcMessage::Response(response), Some((result, text))) => {
                    (response.id.clone(), Called { is_error: result.is_error == Some(true), text: text.to_owned() })
                }
                (JsonRpcMessage::Error(error), _) => match error.id.clone() {
                    Some(id) => {
                        (id, Called { is_error: true, text: serde_json::to_string(&error.error).unwrap_or_default() })
                    }
                    None => return Ok(()),
                },
                _ => return Ok(()),
            };
            if let RequestId::Number(id) = id
                && let Some(reply) = waiting.calls.lock().await.1.remove(&id)
            {
                // The caller may have stopped waiting.
                let _ = reply.send(called);
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.incoming.recv().await
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        self.incoming.close();
        Ok(())
    }
}
