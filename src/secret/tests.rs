use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

const ODD: &str = "s3cret \"quoted\" <&> pässwort's 🗝";

#[test]
fn a_mask_hides_each_form_of_a_secret() {
    let mask = Mask::new([Secret::new(ODD), Secret::new("")]);
    let json = serde_json::to_string(ODD).unwrap();
    let twice = serde_json::to_string(&json).unwrap();
    let texts = [
        ODD,
        json.trim_matches('"'),
        twice[1..twice.len() - 1].trim_matches(['"', '\\']),
        &STANDARD.encode(ODD),
        &URL_SAFE_NO_PAD.encode(ODD),
        r#"s3cret \"quoted\" \u003c\u0026\u003e pässwort's 🗝"#,
        r#"s3cret \"quoted\" <&> p\u00e4sswort's \ud83d\udddd"#,
        "s3cret%20%22quoted%22%20%3C%26%3E%20p%C3%A4sswort%27s%20%F0%9F%97%9D",
        "s3cret%20%22quoted%22%20%3C%26%3E%20p%C3%A4sswort's%20%F0%9F%97%9D",
        "s3cret+%22quoted%22+%3C%26%3E+p%C3%A4sswort%27s+%F0%9F%97%9D",
        "s3cret &quot;quoted&quot; &lt;&amp;&gt; pässwort&#39;s 🗝",
        "s3cret &quot;quoted&quot; &lt;&amp;&gt; pässwort&apos;s 🗝",
        "s3cret &#34;quoted&#34; &lt;&amp;&gt; pässwort&#39;s 🗝",
        "s3cret \"quoted\" <&> pässwort''s 🗝",
    ];
    for text in texts {
        assert_eq!(mask.apply(&format!("a {text} b")), "a *** b", "{text}");
    }
}

#[test]
fn a_variable_is_masked_as_written_in_the_manifest_and_as_seen_by_the_process() {
    let mask = Mask::new([Secret::new("pa$$word")]);
    assert_eq!(mask.apply("pa$word pa$$word pa$$$$word"), "*** *** ***");
}

#[test]
fn a_secret_is_masked_in_the_base64_of_a_longer_text() {
    let secret = "correct-horse";
    let mask = Mask::new([Secret::new(secret)]);
    for before in ["", "u", "us", "user", "user:"] {
        let encoded = STANDARD.encode(format!("{before}{secret}:rest"));
        let masked = mask.apply(&encoded);
        assert!(masked.contains("***"), "{masked}");
        // The remaining characters contain no complete byte of the secret except for the first and the last one.
        assert!(masked.len() <= encoded.len() - 12, "{encoded} {masked}");
    }
}

#[test]
fn wrapped_base64_is_masked_line_by_line() {
    let secret: String = ('a'..='z').cycle().take(150).collect();
    let mask = Mask::new([Secret::new(&*secret)]);
    let encoded = STANDARD.encode(secret);
    for length in [64, 76] {
        for line in encoded.as_bytes().chunks(length) {
            let line = str::from_utf8(line).unwrap();
            assert_eq!(mask.apply(line), Mask::PLACEHOLDER, "{line}");
        }
    }
}

#[test]
fn a_secret_that_contains_another_one_is_masked_completely() {
    let mask = Mask::new([Secret::new("abcdef"), Secret::new("abcdefghij")]);
    assert_eq!(mask.apply("abcdefghij abcdef"), "*** ***");
}

#[test]
fn overlapping_secrets_are_masked_completely() {
    let mask = Mask::new([Secret::new("abcdef"), Secret::new("defghi")]);
    assert_eq!(mask.apply("- abcdefghi -"), "- *** -");
}

#[test]
fn each_line_of_a_long_secret_is_masked() {
    let mask = Mask::new([Secret::new("-----BEGIN-----\n  first line\r\nx\n")]);
    assert_eq!(mask.apply("log: first line"), "log: ***");
    assert_eq!(mask.apply("x"), "x");
}

#[test]
fn a_trailing_line_ending_does_not_belong_to_a_secret() {
    let mask = Mask::new([Secret::new("from a file\n")]);
    assert_eq!(mask.apply("log: from a file."), "log: ***.");
}

#[test]
fn short_values_are_not_masked() {
    let guessed = ["true", "short", " "].into_iter().map(Secret::guessed);
    assert!(guessed.into_iter().all(|secret| secret.is_none()));
    let mask = Mask::new(["pin", "4711"].map(Secret::new));
    assert_eq!(mask.apply("pin 4711"), "pin ***");
}

#[test]
fn names_determine_which_values_are_secret() {
    for name in [
        "API_TOKEN",
        "db-password",
        "client.secret",
        "privateKey",
        "DJANGO_SECRET_KEY",
        "CONFIG_KEY",
        "keyring_password",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "secret_key",
        "config-key",
        "TOKEN_FILE",
        "secrets_count",
        "public-key",
        "interval",
        "tls_key_path",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}
