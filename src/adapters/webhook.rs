//! The way out for webhooks: HTTP POST to hosts whose addresses are public, looked up by the connection that uses them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, ClientBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use tokio::sync::OnceCell;

use crate::{
    domain::webhooks::{Hosts, is_public},
    error::{Code, Error},
    ports::webhooks::{Message, WebhookSender},
};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read. What it says is of no interest; that it comes to an end is good manners.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends webhooks. Cloning shares.
#[derive(Clone)]
pub struct HttpSender {
    hosts: Arc<Hosts>,
    /// For what the operator names. Made when the first message goes there, like the other.
    anywhere: Arc<OnceCell<Client>>,
    /// For all others.
    public: Arc<OnceCell<Client>>,
}

impl HttpSender {
    /// `hosts` may be called wherever their addresses are.
    pub fn new(hosts: Hosts) -> Self {
        Self { hosts: Arc::new(hosts), anywhere: Arc::default(), public: Arc::default() }
    }

    /// A resolver is told the name and not the port, so what one port of a host may do is decided here.
    async fn client(&self, url: &Url) -> Result<&Client, Error> {
        if self.hosts.name(url) {
            self.anywhere.get_or_try_init(async || built(Client::builder())).await
        } else {
            self.public.get_or_try_init(async || built(Client::builder().dns_resolver(Arc::new(PublicNames)))).await
        }
    }
}

fn built(client: ClientBuilder) -> Result<Client, Error> {
    client
        // A proxy would look names up by itself, and a redirect would lead anywhere.
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        // A connection that is kept would not be looked up again.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::new(Code::Internal, "the way out for webhooks cannot be made").cause(error))
}

#[async_trait::async_trait]
impl WebhookSender for HttpSender {
    async fn send(&self, message: Message) -> Result<u16, Error> {
        let client = self.client(&message.url).await?;
        let mut request = client
            .post(message.url)
            .timeout(message.time)
            .header("content-type", "application/json")
            .body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let mut answer = request.send().await.map_err(meaning)?;
        let status = answer.status().as_u16();
        let mut read = 0;
        // The status is what counts: an answer that breaks off afterwards was one.
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read >= ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(status)
    }
}

/// Why there was no answer, without the URL, which may hold secrets in its path.
fn meaning(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let refused = std::iter::successors(std::error::Error::source(&error), |cause| cause.source())
        .find_map(|cause| cause.downcast_ref::<NotPublic>().map(ToString::to_string));
    if let Some(refused) = refused {
        return Error::new(Code::Denied, refused);
    }
    if error.is_timeout() {
        return Error::new(Code::Timeout, "there was no answer in time").cause(error);
    }
    let what = if error.is_connect() { "it cannot be reached" } else { "the exchange broke off" };
    Error::new(Code::Unavailable, what).cause(error)
}

/// A name that leads into a network of the operator's own.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` has no public address")]
struct NotPublic(String);

/// Looks names up, and leaves out every address that is not public: what is connected to is what was looked at.
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if addresses.is_empty() {
                return Err(NotPublic(host).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
