//! The forms in which a secret may appear: plain, or encoded or escaped as in URLs, JSON, markup and base64.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// The line lengths at which `base64` and PEM files wrap.
const WRAPS: [usize; 2] = [76, 64];
/// The length of the shortest piece of base64 that is masked. A shorter piece could also occur in unrelated text.
const SHORTEST_PIECE: usize = 7;

/// `text` in all forms that are masked.
pub(super) fn of(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    forms.extend(json(text));
    // JSON within JSON, such as a quoted body in a log with JSON lines.
    forms.extend(json(text).iter().flat_map(|escaped| json(escaped)));
    forms.extend(url(text));
    forms.extend(markup(text));
    // In YAML, SQL and PowerShell, a single quote within a string is doubled.
    forms.push(text.replace('\'', "''"));
    // A container's variable, as written in the manifest and as seen by the process.
    forms.extend([text.replace('$', "$$"), text.replace("$$", "$")]);
    forms.extend(base64(text));
    forms
}

/// Escaped for a JSON string in three ways: with as few escapes as possible, as Go does it, and in ASCII only, as
/// Python does it.
fn json(text: &str) -> [String; 3] {
    let quoted = serde_json::Value::from(text).to_string();
    // Without quotes, because the secret may be part of a longer text.
    let plain = quoted[1..quoted.len() - 1].to_owned();
    let go = plain
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e");
    let mut ascii = String::new();
    for c in plain.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    [plain, go, ascii]
}

/// Percent-encoded in three ways: all characters that RFC 3986 doesn't list as unreserved, the characters that
/// JavaScript's `encodeURIComponent` encodes, and as in HTML forms.
fn url(text: &str) -> [String; 3] {
    let encoded = |kept: &str| {
        let mut encoded = String::new();
        for byte in text.bytes() {
            let c = char::from(byte);
            if c.is_ascii_alphanumeric() || kept.contains(c) {
                encoded.push(c);
            } else {
                // Writing to a string can't fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    };
    let strict = encoded("-._~");
    let form = strict.replace("%20", "+");
    [strict, encoded("-._~!*'()"), form]
}

/// Escaped as in XML and HTML, with each of the usual names for quotes.
fn markup(text: &str) -> [String; 4] {
    let plain = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let quoted = |double: &str, single: &str| plain.replace('"', double).replace('\'', single);
    [
        quoted("&quot;", "&#39;"),
        quoted("&quot;", "&#x27;"),
        quoted("&quot;", "&apos;"),
        quoted("&#34;", "&#39;"),
    ]
}

/// In base64, standard and URL-safe: alone, wrapped into lines, and as part of a longer text.
fn base64(text: &str) -> Vec<String> {
    let mut forms: Vec<String> = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .map(|engine| engine.encode(text))
        .collect();
    let encoded = forms[0].clone();
    for length in WRAPS {
        let lines = encoded.as_bytes().chunks(length);
        let long = lines.filter(|line| line.len() >= SHORTEST_PIECE);
        forms.extend(long.map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for before in 0..3 {
            let bytes = [&b"\0\0"[..before], text.as_bytes()].concat();
            let encoded = engine.encode(&bytes);
            // Only the characters that consist entirely of bits of the text.
            let piece = &encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6];
            if piece.len() >= SHORTEST_PIECE {
                forms.push(piece.to_owned());
            }
        }
    }
    forms
}
