// SPDX-License-Identifier: MIT

//! LLMService with gRPC by hand on h2, tokio and prost, in one thread: the stack under tonic, so what tonic can do at
//! best.
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use std::error::Error;
use std::future::poll_fn;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};

const OK: i32 = 200;
const PREFIX: usize = 5; // of a message of gRPC: a flag and its length
const MESSAGE_MAX: usize = 4 << 20;
const READ: usize = 128 << 10; // h2 reads 8 KiB at a time by itself
const WINDOW: u32 = 1 << 20;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone, PartialEq, Message)]
struct Context {
    #[prost(string, tag = "1")]
    role: String,
    #[prost(string, tag = "2")]
    content: String,
}

#[derive(Clone, PartialEq, Message)]
struct LlmRequest {
    #[prost(string, tag = "1")]
    model_id: String,
    #[prost(string, tag = "2")]
    prompt: String,
    #[prost(message, repeated, tag = "3")]
    context: Vec<Context>,
    #[prost(string, tag = "4")]
    client_id: String,
    #[prost(string, tag = "5")]
    session_id: String,
    #[prost(string, tag = "6")]
    request_id: String,
    #[prost(string, tag = "7")]
    source_language: String,
    #[prost(float, tag = "8")]
    temperature: f32,
    #[prost(int32, tag = "9")]
    max_tokens: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorDetail {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(string, tag = "3")]
    detail: String,
}

#[derive(Clone, PartialEq, Message)]
struct LlmResponse {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(string, repeated, tag = "2")]
    tokens: Vec<String>,
    #[prost(bool, tag = "3")]
    is_final: bool,
    #[prost(message, optional, tag = "4")]
    error: Option<ErrorDetail>,
}

fn pack(text: String, is_final: bool) -> Bytes {
    let error = Some(ErrorDetail { code: OK, ..Default::default() });
    let response = LlmResponse { text, is_final, error, ..Default::default() };
    let length = response.encoded_len();
    let mut packed = BytesMut::with_capacity(PREFIX + length);
    packed.put_u8(0);
    packed.put_u32(length as u32);
    response.encode(&mut packed).expect("there is room for it");
    packed.freeze()
}

/// Waits for flow control, so a client that stops reading stops the stream.
async fn send(out: &mut SendStream<Bytes>, mut data: Bytes) -> Result<()> {
    while !data.is_empty() {
        out.reserve_capacity(data.len());
        while out.capacity() == 0 {
            poll_fn(|cx| out.poll_capacity(cx)).await.ok_or("the stream is closed")??;
        }
        let n = out.capacity().min(data.len());
        out.send_data(data.split_to(n), false)?;
    }
    Ok(())
}

/// How long the body will be that starts so.
fn length_of(start: &[u8]) -> usize {
    match start {
        [_, a, b, c, d, ..] => PREFIX + MESSAGE_MAX.min(u32::from_be_bytes([*a, *b, *c, *d]) as usize),
        _ => 0,
    }
}

/// The whole body; a body that came in one piece is not copied.
async fn receive(mut body: RecvStream) -> Result<Bytes> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if first.is_empty() {
            first = chunk;
            continue;
        }
        if all.is_empty() {
            all.reserve(length_of(&first));
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn head() -> http::response::Builder {
    Response::builder().header("content-type", "application/grpc")
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<()> {
    let stream = match request.uri().path() {
        "/protocols.grpc.llm.LLMService/Unary" => false,
        "/protocols.grpc.llm.LLMService/OutputStreaming" => true,
        _ => {
            respond.send_response(head().header("grpc-status", "12").body(())?, true)?;
            return Ok(());
        }
    };
    let mut message = receive(request.into_body()).await?;
    if message.len() < PREFIX {
        return Err("the request is too short".into());
    }
    message.advance(PREFIX);
    let request = LlmRequest::decode(message)?;

    let mut out = respond.send_response(head().body(())?, false)?;
    if stream {
        let n = if request.max_tokens > 0 { request.max_tokens } else { 10 };
        for i in 0..n {
            send(&mut out, pack(format!("tok{i} "), i == n - 1)).await?;
        }
    } else {
        send(&mut out, pack(format!("Echo: {}", request.prompt), true)).await?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    out.send_trailers(trailers)?;
    Ok(())
}

async fn serve(socket: TcpStream) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(BufReader::with_capacity(READ, socket))
        .await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

fn main() -> Result<()> {
    let port = std::env::args().nth(1).ok_or("usage: rust-h2 PORT")?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            tokio::spawn(serve(socket));
        }
    })
}
