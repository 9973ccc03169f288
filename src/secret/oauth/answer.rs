//! What a provider answers, in JSON: its texts are overwritten when they are needed no more, for some are tokens.

use serde_json::Value;
use zeroize::Zeroize;

/// An answer; whatever it is, it is asked by name.
pub struct Answer(Value);

impl Answer {
    /// `None` where it is not JSON.
    pub fn read(bytes: &[u8]) -> Option<Answer> {
        serde_json::from_slice(bytes).ok().map(Answer)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// What it says of an error (RFC 6749 section 5.2): which, and more of it. Some providers say it in a table of its own.
    pub fn error(&self) -> Option<(&str, &str)> {
        let error = self.0.get("error").filter(|error| !error.is_null())?;
        let within = |name: &str| error.get(name).and_then(Value::as_str);
        let name = error.as_str().or_else(|| within("status")).unwrap_or("error");
        let more = self.text("error_description").or_else(|| within("message"));
        Some((name, more.unwrap_or_default()))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        for value in self.0.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}
