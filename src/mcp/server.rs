//! The choke point: every call of every tool passes `call_tool`, and nothing else stands between the wire and a tool.

mod heard;
mod key;

use std::{borrow::Cow, cell::Cell, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
#[expect(deprecated, reason = "older clients still ask for it")]
use rmcp::model::SetLevelRequestParams;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::{router::tool::ToolRouter, tool::ToolCallContext},
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CustomRequest, CustomResult, ErrorCode,
        Implementation, InitializeRequestParams, InitializeResult, ListResourceTemplatesResult, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
        ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::heard::Caller;
use super::{
    clean,
    envelope::envelope,
    instructions::INSTRUCTIONS,
    pressure::Pressure,
    products,
    resources::{
        self,
        descriptions::{self, Description},
    },
};
use crate::{
    app::App,
    background::Background,
    config::Answers,
    domain::{
        catalogue::{self, TOOLS},
        names::nearest,
    },
    error::{Code, Error},
    ids,
    tools::{
        Keyed, Tools,
        answer::FAILURE,
        arguments::{RawArguments, Shapes},
        schema,
    },
};

/// How long a client of 2026-07-28 may keep the list of tools, which changes only with the server's settings and what answers behind it.
const TOOLS_TTL_MS: u64 = 3_600_000;
/// Where a client finds the tools.
const LISTED: &str = "tools/list shows the tools of this server";

/// Serves the tools. Cloning shares.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    tools: Tools,
    /// Built once: the macro's own handler would build it again on every call.
    router: ToolRouter<Tools>,
    /// What tools/list answers, in a stable order.
    catalogue: Vec<Tool>,
    shapes: Shapes,
    permits: Semaphore,
    waiting: Semaphore,
    /// From the moment a call arrives, also while it waits for its turn.
    call_time: Duration,
    /// Ends every call.
    stopping: CancellationToken,
}

impl Server {
    /// Over the services, with the tools that the settings ask for.
    pub fn new(app: App) -> Self {
        let limits = app.limits;
        let mut router = crate::tools::router(&app.toolsets);
        let served = |row: &catalogue::Tool| Some(schema::portable(router.get(row.name)?.clone(), row));
        let mut catalogue: Vec<Tool> = TOOLS.iter().filter_map(served).collect();
        let shapes = Shapes::of(&catalogue);
        // `database` chooses among several.
        let unused: &[&str] = if app.sql.databases().len() == 1 { &["database"] } else { &[] };
        catalogue.iter_mut().for_each(|tool| schema::slim(tool, unused));
        // The schemas as the macro made them are several times as large, and nobody asks for them.
        for tool in &catalogue {
            if let Some(route) = router.map.get_mut(&tool.name) {
                route.attr = tool.clone();
            }
        }
        if app.answers == Answers::Text {
            // A tool with an output schema must give structuredContent.
            catalogue.iter_mut().for_each(|tool| tool.output_schema = None);
        }
        Self(Arc::new(Shared {
            tools: Tools { app },
            router,
            shapes,
            catalogue,
            permits: Semaphore::new(limits.calls_in_flight_max),
            waiting: Semaphore::new(limits.calls_in_flight_max + limits.calls_waiting_max),
            call_time: limits.call_time,
            stopping: CancellationToken::new(),
        }))
    }

    /// The tools, as tools/list serves them.
    pub fn catalogue(&self) -> &[Tool] {
        &self.0.catalogue
    }

    /// Ends every call when it is cancelled.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Calls that wait for something to happen wait no longer than this.
    pub fn end_waits(&self, within: Duration) {
        self.0.tools.app.changes.end_waits(Instant::now() + within);
    }

    /// What runs beside the calls.
    pub fn background(&self) -> &Background {
        &self.0.tools.app.background
    }

    /// How answers are shaped.
    pub fn answers(&self) -> Answers {
        self.0.tools.app.answers
    }

    /// A place among the calls that are worked on.
    async fn turn(
        &self,
        context: &RequestContext<RoleServer>,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, Error> {
        let pressure = context.extensions.get::<Pressure>();
        if !pressure.is_some_and(Pressure::is_high)
            && let Ok(permit) = self.0.permits.try_acquire()
        {
            return Ok(permit);
        }
        let turn = async {
            if let Some(pressure) = pressure {
                pressure.relieved().await;
            }
            self.0.permits.acquire().await
        };
        let waited = tokio::select! {
            waited = timeout_at(deadline, turn) => waited,
            () = context.ct.cancelled() => return Err(self.ended(false)),
        };
        match waited {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => Err(Error::new(Code::Unavailable, "the server is stopping").cause(closed)),
            Err(_elapsed) => Err(self.busy("the call waited too long for its turn")),
        }
    }

    async fn answer(
        &self,
        request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
        deadline: Instant,
    ) -> Result<CallToolResult, Error> {
        let Some(tool) = catalogue::find(&request.name).filter(|tool| self.0.router.has_route(tool.name)) else {
            return Err(self.unknown(&request.name, LISTED));
        };
        let arguments = RawArguments::of(&request, &context.extensions);
        let arguments = match self.0.shapes.tidy(&request.name, &arguments.0)? {
            Cow::Borrowed(same) if same.len() == arguments.0.len() => arguments,
            tidied => RawArguments(tidied.as_ref().into()),
        };
        // Arguments that name no agent are not read for it: they may be large.
        let names_agents = self.0.shapes.take_any(tool.name, &Caller::ARGUMENTS);
        let caller = if names_agents { Caller::of(&arguments.0) } else { Caller::default() };
        let _permit = self.turn(&context, deadline).await?;
        if tool.writes {
            let (key, rest) = key::split(tool.name, arguments, &context)?;
            context.extensions.insert(Keyed(key));
            context.extensions.insert(rest);
        } else {
            context.extensions.insert(arguments);
        }
        let outcome = self.guarded(request, context, deadline, tool.writes).await;
        if outcome.is_ok() {
            // What was refused proves nothing of who called.
            self.0.tools.app.sessions.heard(caller.agent.as_deref(), caller.lease.as_deref());
        }
        outcome
    }

    /// The answer within the deadline, or the reason why there is none; never nothing.
    async fn guarded(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
        deadline: Instant,
        writes: bool,
    ) -> Result<CallToolResult, Error> {
        let cancelled = context.ct.clone();
        let route = self.0.router.map.get(&request.name).ok_or_else(|| self.unknown(&request.name, LISTED))?;
        let context = ToolCallContext::new(&self.0.tools, request, context);
        // Pinned where it stands: what holds it moves, it does not.
        let call = std::pin::pin!(FAILURE.scope(Cell::new(None), async {
            let answer = (route.call)(context).await;
            (answer, FAILURE.with(Cell::take))
        }));
        let call = AssertUnwindSafe(call).catch_unwind();
        tokio::select! {
            biased;
            done = timeout_at(deadline, call) => match done {
                Ok(Ok((_, Some(error)))) => Err(error),
                Ok(Ok((Ok(CallToolResponse::Complete(result)), None))) => Ok(result),
                Ok(Ok((Ok(_), None))) => Err(Error::new(Code::Internal, "the tool gave an answer of an unknown kind")),
                Ok(Ok((Err(error), None))) => Err(Error::new(Code::Internal, "the tool could not be called").cause(error)),
                Ok(Err(panic)) => Err(Error::new(Code::Internal, "the tool failed unexpectedly").cause(panic_text(panic.as_ref()))),
                Err(_elapsed) => Err(Error::new(Code::Timeout, format!("no answer within {} s", self.0.call_time.as_secs_f64()))),
            },
            () = cancelled.cancelled() => Err(self.ended(writes)),
        }
    }

    /// Why a call was given up. A write that had begun may have had its effect.
    fn ended(&self, writing: bool) -> Error {
        match (self.0.stopping.is_cancelled(), writing) {
            (true, true) => Error::new(Code::OutcomeUnknown, "the server stopped during the call")
                .hint("check whether it took effect before you repeat it"),
            (true, false) => {
                Error::new(Code::Unavailable, "the server is stopping").hint("repeat the call once it is back")
            }
            (false, _) => Error::new(Code::Cancelled, "cancelled by the caller"),
        }
    }

    fn busy(&self, message: &'static str) -> Error {
        Error::new(Code::Busy, message)
            .hint("send fewer calls at once, or repeat later")
            .retry_after(Duration::from_millis(500))
    }

    /// There is no such tool. `listed` says where tools are listed.
    pub fn unknown(&self, name: &str, listed: &'static str) -> Error {
        let known = self.0.catalogue.iter().map(|tool| tool.name.as_ref());
        let error =
            Error::new(Code::NotFound, format!("no tool `{name}`")).argument("name").did_you_mean(nearest(name, known));
        match catalogue::find(name) {
            Some(catalogue::Tool { group, .. }) => {
                error.hint(format!("it belongs to the group `{group}`, which CALLBOARD_TOOLSETS leaves out"))
            }
            None => error.hint(listed),
        }
    }
}

fn failed(error: &Error, request_id: &str) -> CallToolResult {
    let mut result = CallToolResult::error(Vec::new());
    result.structured_content = Some(serde_json::Value::String(envelope(error, request_id)));
    result
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build());
        config.server_info = Implementation::new("callboard", env!("CARGO_PKG_VERSION")).with_title("Callboard");
        config.instructions = Some(INSTRUCTIONS.to_owned());
        config
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let answer = self.negotiate_initialize(&request)?;
        let mut peer = request;
        // Later requests on this stream are answered in the revision that was agreed on.
        peer.protocol_version = answer.protocol_version.clone();
        context.peer.set_peer_info(peer);
        Ok(answer)
    }

    /// Older clients may ask for log messages; ours go to stderr.
    #[expect(deprecated, reason = "older clients still ask for it")]
    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = clean::sentence(&request.method);
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("no method `{method}`"), None))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if request.and_then(|request| request.cursor).is_some_and(|cursor| !cursor.is_empty()) {
            return Err(ErrorData::invalid_params("no such cursor: all tools come in one answer", None));
        }
        let mut tools = self.0.catalogue.clone();
        products::name(&mut tools, &self.0.tools.app);
        let mut tools = ListToolsResult::with_all_items(tools);
        if context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28) {
            tools.ttl_ms = Some(TOOLS_TTL_MS);
            tools.cache_scope = Some(CacheScope::Public);
        }
        Ok(tools)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        resources::list(&self.0.tools.app.exports, request.and_then(|request| request.cursor).as_deref()).await
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(resources::templates(|tool| self.0.router.get(tool).is_some()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = &request.uri;
        let description = Description::parse(uri)?.filter(|wanted| self.0.router.get(wanted.tool).is_some());
        let Some(description) = description else {
            return Ok(resources::read(&self.0.tools.app.exports, uri).await?.into());
        };
        // The same call as the tool's: its place in the queue, deadline, access, and cleaning.
        context.extensions.insert(RawArguments(description.arguments.into()));
        match self.call_tool(CallToolRequestParams::new(description.tool), context).await? {
            CallToolResponse::Complete(answer) => Ok(descriptions::contents(uri, answer)?.into()),
            _ => Err(ErrorData::internal_error("the tool gave an answer of an unknown kind", None)),
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.0.router.get(name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let deadline = Instant::now() + self.0.call_time;
        let request_id = ids::new(ids::Kind::Request);
        let span = tracing::info_span!("call", tool.name = %request.name, request.id = %request_id);
        let outcome = match self.0.waiting.try_acquire() {
            Ok(_place) => std::pin::pin!(self.answer(request, context, deadline)).instrument(span).await,
            Err(_full) => Err(self.busy("too many calls are already waiting")),
        };
        let mut result = outcome.unwrap_or_else(|error| failed(&error, &request_id));
        if let Some(serde_json::Value::String(text)) = &mut result.structured_content {
            *text = clean::clean(std::mem::take(text));
        }
        Ok(result.into())
    }
}
