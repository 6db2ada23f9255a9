//! A client inside the process: the command line and the tests call tools through the same path as a client on the wire.

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientCapabilities, ClientRequest, Implementation, InitializeRequestParams,
};

use super::{answer, server::Server, session::Session};
use crate::{
    error::{Code, Error},
    tools::arguments::RawArguments,
};

/// Calls tools of a server in this process.
pub struct Local {
    server: Server,
    session: Session,
}

/// What a tool answered.
#[derive(Debug)]
pub struct Called {
    /// It refused or failed; the text is the error envelope.
    pub is_error: bool,
    /// The JSON text of the answer.
    pub text: String,
}

impl Local {
    /// Starts serving. Must be called inside a runtime.
    pub fn new(server: Server) -> Self {
        let client = InitializeRequestParams::new(
            ClientCapabilities::default(),
            Implementation::new("callboard-local", env!("CARGO_PKG_VERSION")),
        );
        Self { session: Session::open(server.clone(), Some(client), |_| {}), server }
    }

    /// Calls a tool with arguments as JSON text.
    ///
    /// # Errors
    /// `internal` when the answer is none of a tool.
    pub async fn call(&self, tool: &str, arguments: &str) -> Result<Called, Error> {
        let mut request = CallToolRequest::new(CallToolRequestParams::new(tool.to_owned()));
        request.extensions.insert(RawArguments(arguments.into()));
        let cancelled = self.server.stopping().child_token();
        let answer = self.session.answer(0, ClientRequest::CallToolRequest(request), cancelled);
        match Box::pin(answer).await {
            Ok(result) => match answer::text_of(&result) {
                Some((result, text)) => Ok(Called { is_error: result.is_error == Some(true), text: text.to_owned() }),
                None => Err(Error::new(Code::Internal, "the tool gave no answer")),
            },
            Err(error) => Err(Error::new(Code::Internal, "the tool could not be called").cause(error)),
        }
    }
}
