//! One exchange with an engine: sent, awaited within bounds, read, and its failure told by meaning.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use elasticsearch::{
    auth::Credentials,
    cert::{Certificate, CertificateValidation},
    http::{
        Method,
        headers::{ACCEPT_ENCODING, HeaderMap, HeaderValue},
        transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
    },
};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use super::{
    failure,
    lines::{Lines, Part},
    pace::Pace,
};
use crate::{
    adapters::{breaker::Breaker, own_time::within},
    background::Background,
    config::{Login, SearchConfig},
    error::{Code, Error},
};

/// After this long without an answer it is asked whether the engine is alive. Together with the least time for that question (see
/// [`pace`](super::pace)) less than the second within which a dead backend is told.
const PATIENCE: Duration = Duration::from_millis(150);
/// The same for writes: giving one up leaves open what happened, so it is not done lightly. A write comes after a question that is told
/// within the second.
const PATIENCE_WRITING: Duration = Duration::from_secs(4);
/// A short question, such as for a mapping.
pub(super) const SHORT: Duration = Duration::from_secs(15);

/// The way to an engine. Cloning shares.
#[derive(Clone)]
pub(super) struct Wire {
    transport: Lazy,
    breaker: Arc<Breaker>,
    pace: Arc<Pace>,
}

/// Built when first used, because it reads the machine's certificates.
#[derive(Clone)]
struct Lazy {
    built: Arc<OnceLock<Result<Transport, String>>>,
    settings: Arc<SearchConfig>,
    authority: Arc<Option<Vec<u8>>>,
}

/// What is asked.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Segments already encoded by [`segment`].
    pub(super) path: String,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Body,
    /// How long the whole exchange may take.
    pub(super) deadline: Duration,
    /// Whether a connection that breaks leaves open what happened.
    pub(super) writes: bool,
}

/// What goes along.
pub(super) enum Body {
    None,
    Text(String),
    /// A search body, in which the engine's line numbers can be told in the caller's own text.
    Search(Lines),
}

/// What came back, with a status of success.
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    /// The headers say that it is Elasticsearch.
    pub(super) is_elasticsearch: bool,
}

impl<'a> Request<'a> {
    pub(super) fn get(path: impl Into<String>, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { method: Method::Get, path: path.into(), query, body: Body::None, deadline: SHORT, writes: false }
    }

    pub(super) fn post(path: impl Into<String>, query: &'a [(&'a str, &'a str)], body: Body) -> Self {
        Self { method: Method::Post, path: path.into(), query, body, deadline: SHORT, writes: false }
    }

    pub(super) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Answer {
    /// Reads the JSON.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes).map_err(|error| failure::unreadable(error.into()))
    }
}

impl Wire {
    pub(super) fn new(settings: &SearchConfig, background: Background) -> Result<Self, Error> {
        let authority = match &settings.ca_file {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                Error::invalid("ES_CA_CERT", format!("`{}` cannot be read", path.display())).cause(error)
            })?),
        };
        let transport =
            Lazy { built: Arc::default(), settings: Arc::new(settings.clone()), authority: Arc::new(authority) };
        let pace = Arc::new(Pace::default());
        let (looking, known) = (transport.clone(), Arc::clone(&pace));
        let breaker = Breaker::new(background, move || {
            let (transport, patience) = (looking.clone(), known.patience());
            async move { transport.sign_of_life(patience, true).await.is_some_and(serves) }
        });
        Ok(Self { transport, breaker, pace })
    }

    /// Asks the engine, unless it is known to be down.
    pub(super) async fn ask(&self, request: Request<'_>) -> Result<Answer, Error> {
        self.breaker.run(self.exchange(request)).await
    }

    /// Asks even when it is known to be down: for a fresh look.
    pub(super) async fn ask_anyway(&self, request: Request<'_>) -> Result<Answer, Error> {
        let answer = self.exchange(request).await;
        self.breaker.note(&answer);
        answer
    }

    async fn exchange(&self, request: Request<'_>) -> Result<Answer, Error> {
        let transport = self.transport.get()?;
        let (writes, deadline) = (request.writes, request.deadline);
        let (patience, sign) =
            if writes { (PATIENCE_WRITING, PATIENCE_WRITING) } else { (PATIENCE, self.pace.patience()) };
        let started = Instant::now();
        let exchange = exchange(transport, &self.transport, request);
        tokio::pin!(exchange);
        if let Ok(answer) = tokio::time::timeout(patience, &mut exchange).await {
            if answer.is_ok() && !writes {
                self.pace.note(started.elapsed());
            }
            return answer;
        }
        // Slow or dead? Ask something that a living engine answers at once, beside it.
        let asked = Instant::now();
        let alive = self.transport.sign_of_life(sign, false);
        tokio::pin!(alive);
        tokio::select! {
            // What has come counts, also when the time for the sign is over.
            biased;
            answer = &mut exchange => {
                if answer.is_ok() {
                    self.pace.note(asked.elapsed());
                }
                return answer;
            }
            sign = &mut alive => match sign {
                Some(_) => self.pace.note(asked.elapsed()),
                None => return Err(failure::silent(writes)),
            },
        }
        tokio::time::timeout(deadline.saturating_sub(started.elapsed()), exchange)
            .await
            .unwrap_or_else(|_| Err(failure::late(deadline, writes)))
    }
}

async fn exchange(transport: &Transport, lazy: &Lazy, request: Request<'_>) -> Result<Answer, Error> {
    let writes = request.writes;
    let (text, lines): (Option<Bytes>, Vec<Part>) = match request.body {
        Body::None => (None, Vec::new()),
        Body::Text(text) => (Some(text.into()), Vec::new()),
        Body::Search(lines) => (Some(lines.text.into()), lines.parts),
    };
    let query = (!request.query.is_empty()).then_some(request.query);
    let send = || transport.send(request.method, &request.path, lazy.headers(), query, text.clone(), None);
    let response = match send().await {
        // A connection kept from before an engine was restarted breaks at its next use; that says nothing of the engine.
        Err(error) if !writes && !failure::is_connecting(&error) => send().await,
        other => other,
    };
    let response = response.map_err(|error| failure::unreached(error, writes))?;
    let status = response.status_code().as_u16();
    let is_elasticsearch =
        response.headers().get("x-elastic-product").is_some_and(|value| value.as_bytes() == b"Elasticsearch");
    let bytes = response.bytes().await.map_err(|error| failure::broken(error, writes))?;
    if (200..300).contains(&status) {
        return Ok(Answer { bytes, is_elasticsearch });
    }
    Err(failure::refused(status, &bytes, &lines, is_elasticsearch))
}

/// Whether a status is one of an engine that can be used again.
fn serves(status: u16) -> bool {
    status < 500 && status != 401 && status != 429
}

impl Lazy {
    fn get(&self) -> Result<&Transport, Error> {
        let built = self.built.get_or_init(|| build(&self.settings, self.authority.as_deref()));
        built.as_ref().map_err(|why| {
            Error::new(Code::Unavailable, format!("the search engine cannot be used: {why}"))
                .hint("ES_CA_CERT names a PEM file with the authority of the engine's certificate")
        })
    }

    /// The status of something cheap, or nothing when it does not come in time.
    /// Without a login it is cheaper: a password is slow to check, and a refusal is a sign of life too.
    async fn sign_of_life(&self, patience: Duration, with_login: bool) -> Option<u16> {
        let transport = self.get().ok()?;
        let without = (!with_login).then(|| transport.clone_with_auth(None));
        let transport = without.as_ref().unwrap_or(transport);
        let sent = transport.send(Method::Head, "/", HeaderMap::new(), None::<&()>, None::<()>, None);
        let response = within(patience, sent).await?.ok()?;
        Some(response.status_code().as_u16())
    }

    /// Compression pays over a network, not on one machine.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if is_loopback(&self.settings) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        headers
    }
}

fn is_loopback(settings: &SearchConfig) -> bool {
    match settings.url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn build(settings: &SearchConfig, authority: Option<&[u8]>) -> Result<Transport, String> {
    let mut builder =
        TransportBuilder::new(SingleNodeConnectionPool::new(settings.url.clone())).enable_meta_header(false);
    if is_loopback(settings) {
        builder = builder.disable_proxy();
    }
    builder = match &settings.login {
        Login::None => builder,
        Login::Password(user, password) => {
            builder.auth(Credentials::Basic(user.clone(), password.expose_secret().to_owned()))
        }
        Login::ApiKey(key) => builder.auth(api_key(key.expose_secret())),
    };
    if settings.skip_verify {
        builder = builder.cert_validation(CertificateValidation::None);
    } else if let Some(pem) = authority {
        let chain = Certificate::from_pem(pem).map_err(|error| format!("ES_CA_CERT holds no certificate: {error}"))?;
        builder = builder.cert_validation(CertificateValidation::Full(chain));
    } else if settings.url.scheme() == "https"
        && let Some(chain) = machine_authorities()
    {
        builder = builder.cert_validation(CertificateValidation::Full(chain));
    }
    builder.build().map_err(|error| error.to_string())
}

/// `id:key` is sent in base64; anything else is taken to be encoded already.
fn api_key(key: &str) -> Credentials {
    match key.split_once(':') {
        Some((id, key)) => Credentials::ApiKey(id.to_owned(), key.to_owned()),
        // A header cannot hold control characters; a key that has some is refused by the engine, not by a panic of the client.
        None => Credentials::EncodedApiKey(key.chars().filter(|letter| letter.is_ascii_graphic()).collect()),
    }
}

/// The authorities that this machine trusts, beside those built in.
fn machine_authorities() -> Option<Certificate> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut chain: Option<Certificate> = None;
    for certificate in loaded.certs {
        let Ok(certificate) = Certificate::from_der(&certificate) else { continue };
        match &mut chain {
            Some(chain) => chain.append(certificate),
            None => chain = Some(certificate),
        }
    }
    chain
}

/// A name as one path segment: nothing in it can leave the segment. `*` stays, for patterns.
pub(super) fn segment(name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');
    utf8_percent_encode(name, KEPT).to_string()
}
