// SPDX-License-Identifier: MIT

//! The messages of proto/ that the cases use.
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct LlmRequest {
    #[prost(string, tag = "1")]
    pub model_id: String,
    #[prost(string, tag = "2")]
    pub prompt: String,
    #[prost(int32, tag = "9")]
    pub max_tokens: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct ErrorDetail {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(string, tag = "3")]
    pub detail: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LlmReply {
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(bool, tag = "3")]
    pub is_final: bool,
    #[prost(message, optional, tag = "4")]
    pub error: Option<ErrorDetail>,
}

/// google.protobuf.Struct, as far as numbers go.
#[derive(Clone, PartialEq, Message)]
pub struct Struct {
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Field {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(oneof = "Kind", tags = "2")]
    pub kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    #[prost(double, tag = "2")]
    Number(f64),
}

#[derive(Clone, PartialEq, Message)]
pub struct CommonRequest {
    #[prost(message, optional, tag = "1")]
    pub data: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
pub struct CommonReply {
    #[prost(message, optional, tag = "1")]
    pub data: Option<Struct>,
}

impl CommonRequest {
    pub fn number(n: f64) -> CommonRequest {
        let value = Some(Value { kind: Some(Kind::Number(n)) });
        CommonRequest { data: Some(Struct { fields: vec![Field { key: "n".into(), value }] }) }
    }
}

impl CommonReply {
    pub fn number_of(&self, key: &str) -> Option<f64> {
        let field = self.data.as_ref()?.fields.iter().find(|field| field.key == key)?;
        match field.value.as_ref()?.kind.as_ref()? {
            Kind::Number(n) => Some(*n),
        }
    }
}
