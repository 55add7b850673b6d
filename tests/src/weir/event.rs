//! One record of `weir run`, with names for the fields that tests ask for.

use std::fmt;

use serde_json::Value;

/// A record that is valid by weir's own schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Event(Value);

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Event {
    pub(super) const fn new(value: Value) -> Self {
        Self(value)
    }

    /// What is at a JSON pointer.
    #[must_use]
    pub fn value(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// The text at a JSON pointer; empty where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The number at a JSON pointer; 0 where there is none.
    #[must_use]
    pub fn number(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    /// `violation`, `flow`, `attach`, `detach`, `lost`, `policy` or `tamper`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `allow`, `block` or `audit`.
    #[must_use]
    pub fn verdict(&self) -> &str {
        self.text("/verdict")
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.text("/reason")
    }

    /// The process's name.
    #[must_use]
    pub fn comm(&self) -> &str {
        self.text("/process/comm")
    }

    /// The name that was asked for.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text("/destination/host")
    }

    /// The address.
    #[must_use]
    pub fn ip(&self) -> &str {
        self.text("/destination/ip")
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u64 {
        self.number("/destination/port")
    }

    /// `tcp`, `udp`, `icmp`, `dns` or `ip-N`.
    #[must_use]
    pub fn proto(&self) -> &str {
        self.text("/destination/proto")
    }

    /// The names from the oldest ancestor down.
    #[must_use]
    pub fn ancestry(&self) -> Vec<&str> {
        let list = self.0.pointer("/process/ancestry").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
