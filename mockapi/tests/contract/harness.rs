//! A mock in this process, and a client for it.

use std::net::SocketAddr;
use std::sync::Once;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use mockapi::view::{Counter, Counters, Nodes};
use mockapi::{Options, Server};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// A running mock.
pub(crate) struct Mock {
    server: Server,
    client: Client,
}

/// A registered node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// A client that accepts any certificate. The crypto provider is installed once for all tests.
pub(crate) fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap();
    });
    Client::builder()
        .danger_accept_invalid_certs(true)
        .build()
        .unwrap()
}

impl Mock {
    pub(crate) async fn start() -> Self {
        let addr = || "127.0.0.1:0".to_owned();
        let options = Options {
            addr: addr(),
            tls_addr: addr(),
            ..Options::default()
        };
        Self {
            server: mockapi::start(options).await.unwrap(),
            client: client(),
        }
    }

    /// The address of the plain listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addr()
    }

    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
    }

    /// A call on the plain listener.
    pub(crate) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.server.addr()))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.call(Method::POST, path)
    }

    /// A call on the TLS listener.
    pub(crate) fn local(&self, path: &str) -> RequestBuilder {
        self.client.post(format!(
            "https://localhost:{}{path}",
            self.server.tls_addr().port()
        ))
    }

    pub(crate) async fn register(&self, hostname: &str) -> Node {
        let answer = self
            .registration(&json!({"token": "t", "public_key": "k", "hostname": hostname}))
            .await;
        Node {
            id: text(&answer["node_id"]),
            key: text(&answer["node_secret_key"]),
        }
    }

    pub(crate) async fn registration(&self, body: &Value) -> Value {
        let response = self
            .post("/v1/register")
            .bearer_auth("bootstrap")
            .json(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    /// Sends a heartbeat with `path_id` in the path, and checks the response.
    pub(crate) async fn heartbeat(&self, path_id: &str, bearer: Option<&str>) {
        let call = self
            .post(&format!("/v1/nodes/{path_id}/heartbeat"))
            .body("{}");
        let call = bearer.into_iter().fold(call, RequestBuilder::bearer_auth);
        assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
    }

    pub(crate) async fn assertions(&self) -> Counters {
        self.get("/test/assertions")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    pub(crate) async fn nodes(&self) -> Nodes {
        self.get("/test/assertions/nodes")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// One node's counter; 0 if the node doesn't exist.
    pub(crate) async fn count(&self, node: &str, counter: Counter) -> u64 {
        self.nodes()
            .await
            .nodes
            .get(node)
            .map_or(0, |view| view.counters[counter])
    }

    /// Calls an endpoint of the test interface that configures the mock.
    pub(crate) async fn configure(&self, path: &str, body: &Value) {
        let response = self.post(path).json(body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path} {body}");
    }

    pub(crate) async fn stream(&self, path: &str) -> Events {
        let response = self.get(path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events {
            chunks: response.bytes_stream().map(Result::unwrap).boxed(),
            text: String::new(),
        }
    }
}

/// A stream of server-sent events.
pub(crate) struct Events {
    chunks: BoxStream<'static, bytes::Bytes>,
    text: String,
}

/// One event; missing fields are empty.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Events {
    /// The next event; `None` at the stream's end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, _)) = self.text.split_once("\n\n") {
                let (event, length) = (parse(block), block.len() + 2);
                self.text.drain(..length);
                return Some(event);
            }
            self.text
                .push_str(std::str::from_utf8(&self.chunks.next().await?).unwrap());
        }
    }

    /// The next event's data, which is JSON.
    pub(crate) async fn next_json<T: serde::de::DeserializeOwned>(&mut self) -> T {
        serde_json::from_str(&self.next().await.expect("the stream has not ended").data).unwrap()
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for (field, value) in block.lines().filter_map(|line| line.split_once(": ")) {
        match field {
            "event" => value.clone_into(&mut event.name),
            "id" => value.clone_into(&mut event.id),
            "data" => value.clone_into(&mut event.data),
            other => panic!("unexpected field: {other}"),
        }
    }
    event
}

/// Asserts that a response is a problem document for `path`.
pub(crate) async fn assert_problem(response: Response, status: StatusCode, path: &str) {
    assert_eq!(response.status(), status, "{path}");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json",
        "{path}"
    );
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem["title"], status.canonical_reason().unwrap());
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["instance"], path);
    assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
}

pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a string"))
        .to_owned()
}
