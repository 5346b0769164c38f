// SPDX-License-Identifier: MIT

//! What tonic makes of a brickd: with-tonic SERVER. A line of JSON for each case: { client, name, failure }, where failure
//! is null if all is well.
mod messages;

use std::collections::HashMap;
use std::future::Future;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use messages::{CommonReply, CommonRequest, LlmReply, LlmRequest};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

const UNARY: &str = "/protocols.grpc.llm.LLMService/Unary";
const OUTPUT: &str = "/protocols.grpc.llm.LLMService/OutputStreaming";
const INPUT: &str = "/protocols.grpc.common.CommonService/InputStreaming";
const BIDI: &str = "/protocols.grpc.common.CommonService/BidiStreaming";
const LIMIT: Duration = Duration::from_secs(60);

type Outcome = Result<(), Box<dyn std::error::Error>>;

macro_rules! same {
    ($actual:expr, $expected:expr) => {
        let (actual, expected) = (&$actual, &$expected);
        if actual != expected {
            return Err(format!("line {}: expected {expected:?}, got {actual:?}", line!()).into());
        }
    };
}

/// Where the server is, from a JSON object of strings.
struct Server(HashMap<String, String>);

impl Server {
    fn from_arguments() -> Server {
        let text = std::env::args().nth(1).expect("with-tonic SERVER");
        let strings: Vec<String> = text.split('"').skip(1).step_by(2).map(String::from).collect();
        Server(strings.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
    }

    fn said(&self, name: &str) -> &str {
        &self.0[name]
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.said(name)).expect(name)
    }

    fn endpoint(&self, port: &str) -> Endpoint {
        let address = self.said(port);
        let scheme = match port {
            "tls" | "mutual" => "https://",
            "unix" => "",
            _ => "http://",
        };
        Endpoint::from_shared(format!("{scheme}{address}")).expect("an address")
    }

    async fn client(&self, port: &str) -> Result<Client, tonic::transport::Error> {
        Ok(Client(Grpc::new(self.endpoint(port).connect().await?)))
    }

    fn brickctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.said("brickctl"));
        command.args(["-c", self.said("config")]).args(arguments);
        command
    }

    fn in_flight(&self) -> u64 {
        let output = self.brickctl(&["status", "--json"]).output().expect("brickctl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let bricks = text.split("\"bricks\"").nth(1).expect("bricks in the status");
        let numbers = bricks.split("\"in_flight\":").skip(1);
        numbers
            .map(|rest| rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// Waits until the server has noticed that its client has left.
    async fn idle(&self) -> Outcome {
        let end = Instant::now() + LIMIT;
        while self.in_flight() > 0 {
            same!(Instant::now() < end, true);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Client(Grpc<Channel>);

impl Client {
    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|e| Status::unavailable(format!("{e:?}")))
    }

    async fn unary(&mut self, request: impl tonic::IntoRequest<LlmRequest>) -> Result<LlmReply, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(UNARY);
        Ok(self.0.unary(request.into_request(), path, ProstCodec::default()).await?.into_inner())
    }

    async fn output(&mut self, request: impl tonic::IntoRequest<LlmRequest>) -> Result<Streaming<LlmReply>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(OUTPUT);
        Ok(self.0.server_streaming(request.into_request(), path, ProstCodec::default()).await?.into_inner())
    }

    async fn input(&mut self, requests: Vec<CommonRequest>) -> Result<CommonReply, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(INPUT);
        let requests = Request::new(tokio_stream::iter(requests));
        Ok(self.0.client_streaming(requests, path, ProstCodec::default()).await?.into_inner())
    }

    async fn bidi(&mut self, requests: Vec<CommonRequest>) -> Result<Streaming<CommonReply>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static(BIDI);
        let requests = Request::new(tokio_stream::iter(requests));
        Ok(self.0.streaming(requests, path, ProstCodec::default()).await?.into_inner())
    }
}

fn prompt(text: &str) -> LlmRequest {
    LlmRequest { prompt: text.into(), ..LlmRequest::default() }
}

fn of_model(model: &str) -> LlmRequest {
    LlmRequest { model_id: model.into(), ..prompt("hello") }
}

fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

async fn calls_of_all_four_kinds(server: &Server) -> Outcome {
    let mut client = server.client("plain").await?;
    same!(client.unary(prompt("hello 你好")).await?.text, "Echo: hello 你好");
    let replies = client.output(LlmRequest { max_tokens: 3000, ..prompt("x") }).await?;
    let replies: Vec<LlmReply> = replies.collect::<Result<_, _>>().await?;
    same!((replies.len(), replies[2999].is_final, replies[7].text.as_str()), (3000, true, "tok7 "));
    let numbers = |n: i32| (0..n).map(|i| CommonRequest::number(i.into())).collect::<Vec<_>>();
    let reply = client.input(numbers(500)).await?;
    same!(reply.number_of("count"), Some(500.0));
    let replies: Vec<CommonReply> = client.bidi(numbers(300)).await?.collect::<Result<_, _>>().await?;
    same!(
        replies.iter().map(|r| r.number_of("n").unwrap()).collect::<Vec<_>>(),
        (0..300).map(f64::from).collect::<Vec<_>>()
    );
    Ok(())
}

async fn errors(server: &Server) -> Outcome {
    let mut client = server.client("faults").await?;
    let error = client.unary(prompt("case:fail")).await?.error.unwrap_or_default();
    same!((error.code, error.message.as_str(), error.detail.as_str()), (2003, "bad param", "the detail"));
    let status = client.unary(prompt("case:status")).await.unwrap_err();
    same!((status.code(), status.message()), (Code::FailedPrecondition, "not in this state"));
    let status = match client.output(prompt("case:status")).await {
        Ok(mut replies) => replies.message().await.unwrap_err(),
        Err(status) => status,
    };
    same!((status.code(), status.message()), (Code::FailedPrecondition, "not in this state"));
    let path = PathAndQuery::from_static("/protocols.grpc.llm.LLMService/Nothing");
    let codec = ProstCodec::<LlmRequest, LlmReply>::default();
    client.ready().await?;
    same!(code(client.0.unary(Request::new(prompt("")), path, codec).await), Code::Unimplemented);
    Ok(())
}

/// tonic's client, too, watches the deadline; which of the two is first is chance.
async fn deadlines(server: &Server) -> Outcome {
    let mut client = server.client("faults").await?;
    for _ in 0..5 {
        let mut request = Request::new(prompt("case:wait"));
        request.set_timeout(Duration::from_millis(200));
        let found = code(client.unary(request).await);
        same!(matches!(found, Code::DeadlineExceeded | Code::Cancelled), true);
    }
    server.idle().await
}

async fn clients_that_leave(server: &Server) -> Outcome {
    let mut client = server.client("plain").await?;
    for _ in 0..20 {
        let mut replies = client.output(of_model("slow")).await?;
        same!(replies.message().await?.is_some(), true); // and drops the stream
    }
    let mut late = client.clone();
    same!(tokio::time::timeout(Duration::from_millis(100), late.unary(of_model("late"))).await.is_err(), true);
    server.idle().await?;
    same!(client.unary(prompt("x")).await?.text, "Echo: x");
    Ok(())
}

async fn calls_at_once(server: &Server) -> Outcome {
    let client = server.client("plain").await?;
    let mut calls = JoinSet::new();
    for i in 0..64 {
        let mut client = client.clone();
        calls.spawn(async move {
            let mut texts = Vec::new();
            for _ in 0..10 {
                texts.push(client.unary(prompt(&i.to_string())).await?.text);
            }
            Ok::<_, Status>((i, texts))
        });
    }
    while let Some(done) = calls.join_next().await {
        let (i, texts) = done??;
        same!(texts, vec![format!("Echo: {i}"); 10]);
    }
    Ok(())
}

async fn large_messages(server: &Server) -> Outcome {
    let mut client = server.client("plain").await?;
    client.0 = client.0.max_decoding_message_size(64 << 20);
    let text = "x".repeat((4 << 20) - 20);
    same!(client.unary(prompt(&text)).await?.text.len(), text.len() + 6);
    same!(code(client.unary(prompt(&(text + &"x".repeat(20)))).await), Code::ResourceExhausted);
    same!(client.unary(prompt("x")).await?.text, "Echo: x");
    Ok(())
}

async fn compression(server: &Server) -> Outcome {
    for (port, expected) in [("gzip", Code::Ok), ("plain", Code::Unimplemented)] {
        let mut client = server.client(port).await?;
        client.0 = client.0.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
        same!(code(client.unary(prompt(&"y".repeat(100_000))).await), expected);
    }
    Ok(())
}

fn with_token(token: &str) -> Request<LlmRequest> {
    let mut request = Request::new(prompt("hello"));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

async fn tls_and_tokens(server: &Server) -> Outcome {
    let trusting = |file: &str| ClientTlsConfig::new().ca_certificate(Certificate::from_pem(server.read(file)));
    let connect = |port: &str, tls| {
        server.endpoint(port).tls_config(tls).map(|endpoint| Client(Grpc::new(endpoint.connect_lazy())))
    };
    let mut client = connect("tls", trusting("ca"))?;
    same!(client.unary(with_token(server.said("token"))).await?.text, "Echo: hello");
    let replies: Vec<LlmReply> =
        client.output(with_token(server.said("token"))).await?.collect::<Result<_, _>>().await?;
    same!(replies.len(), 10);
    same!(code(client.unary(with_token("another")).await), Code::Unauthenticated);
    same!(code(client.unary(prompt("hello")).await), Code::Unauthenticated);
    same!(code(connect("tls", trusting("certificate"))?.unary(prompt("hello")).await), Code::Unavailable);
    let identity = Identity::from_pem(server.read("certificate"), server.read("key"));
    same!(connect("mutual", trusting("ca").identity(identity))?.unary(prompt("x")).await?.text, "Echo: x");
    let without = connect("mutual", trusting("ca"))?.unary(prompt("x")).await;
    same!(without.is_err(), true); // the code depends on when it learns of that
    Ok(())
}

async fn a_unix_socket(server: &Server) -> Outcome {
    same!(server.client("unix").await?.unary(prompt("x")).await?.text, "Echo: x");
    Ok(())
}

async fn keepalive(server: &Server) -> Outcome {
    let endpoint =
        server.endpoint("plain").http2_keep_alive_interval(Duration::from_millis(1100)).keep_alive_timeout(LIMIT);
    let mut client = Client(Grpc::new(endpoint.connect().await?));
    same!(client.unary(of_model("late")).await?.text, "Echo: hello");
    Ok(())
}

/// Tries again for a call that tonic has not sent. If a stream is open on a connection whose server asks for a new one, hyper
/// gives up the next call, with a status of its own making; other clients send it on the new connection.
async fn unary_once_more(client: &mut Client, unsent: &mut u32) -> Result<LlmReply, Status> {
    match client.unary(prompt("x")).await {
        Err(status) if status.code() == Code::Cancelled && status.message() == "operation was canceled" => {
            *unsent += 1;
            client.unary(prompt("x")).await
        }
        other => other,
    }
}

/// The old workers ask for new connections; no call fails, and streams go on.
async fn reloads_meanwhile(server: &Server) -> Outcome {
    let mut client = server.client("plain").await?;
    let mut replies = client.output(LlmRequest { max_tokens: 100, ..of_model("slow") }).await?;
    let mut unsent = 0;
    for _ in 0..2 {
        let mut reload = server.brickctl(&["reload"]).stdout(Stdio::null()).spawn()?;
        let status = loop {
            same!(unary_once_more(&mut client, &mut unsent).await?.text, "Echo: x");
            if let Some(status) = reload.try_wait()? {
                break status;
            }
        };
        same!(status.success(), true);
        for _ in 0..50 {
            same!(unary_once_more(&mut client, &mut unsent).await?.text, "Echo: x");
        }
    }
    same!(unsent <= 2, true); // one for each connection
    let mut count = 0;
    while replies.message().await?.is_some() {
        count += 1;
    }
    same!(count, 100);
    Ok(())
}

/// As a string of JSON.
fn quoted(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").chars().map(plain).collect::<String>())
}

async fn tell<'a, F: Future<Output = Outcome>>(server: &'a Server, name: &str, case: impl Fn(&'a Server) -> F) {
    let failure = match tokio::time::timeout(LIMIT * 2, case(server)).await {
        Ok(Ok(())) => "null".into(),
        Ok(Err(error)) => quoted(&error.to_string()),
        Err(_) => quoted("it takes too long"),
    };
    println!(r#"{{"client": "tonic", "name": "{}", "failure": {failure}}}"#, name.replace('_', " "));
}

macro_rules! cases {
    ($server:ident: $($case:ident),+) => { $(tell(&$server, stringify!($case), $case).await;)+ };
}

fn main() {
    let server = Server::from_arguments();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        cases!(server: calls_of_all_four_kinds, errors, deadlines, clients_that_leave, calls_at_once, large_messages,
               compression, tls_and_tokens, a_unix_socket, keepalive, reloads_meanwhile);
    });
}
