//! Secret strings, and the cipher that decrypts them.
//!
//! A [`Secret`] has neither `Debug` nor `Display`, so it can't get into a log, an error or a panic by mistake.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::wire::SealedSecret;

/// The length of the node secret key: an AES-256 key.
pub(crate) const KEY_LENGTH: usize = 32;

/// A token or key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Wraps a string.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The string itself. Call this only if the plaintext is needed.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// A sealed secret can't be decrypted. The error reveals nothing about the key or the plaintext.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The key doesn't have the length of an AES-256 key.
    #[error("the node secret key is not {KEY_LENGTH} bytes long")]
    Key,
    /// The ciphertext isn't base64.
    #[error("the secret's ciphertext is not base64")]
    Ciphertext(#[source] base64::DecodeError),
    /// The nonce isn't base64.
    #[error("the secret's nonce is not base64")]
    Nonce(#[source] base64::DecodeError),
    /// The nonce has the wrong length.
    #[error("the secret's nonce is not 12 bytes long")]
    NonceLength,
    /// The key is wrong, or the message was changed.
    #[error("the secret cannot be decrypted with the node secret key")]
    Authentication,
    /// The plaintext isn't valid UTF-8.
    #[error("the secret is not text")]
    Text,
}

/// Decrypts a secret of the Central API: AES-256-GCM, without associated data, and with the tag at the end of the
/// ciphertext.
pub(crate) fn open(sealed: &SealedSecret, key: &[u8]) -> Result<Secret, OpenError> {
    let cipher = Aes256Gcm::new_from_slice(key).map_err(|_| OpenError::Key)?;
    let ciphertext = STANDARD
        .decode(&sealed.ciphertext)
        .map_err(OpenError::Ciphertext)?;
    let nonce = STANDARD.decode(&sealed.nonce).map_err(OpenError::Nonce)?;
    let nonce = Nonce::try_from(nonce.as_slice()).map_err(|_| OpenError::NonceLength)?;
    let plaintext = cipher
        .decrypt(&nonce, ciphertext.as_slice())
        .map_err(|_| OpenError::Authentication)?;
    String::from_utf8(plaintext)
        .map(Secret)
        .map_err(|_| OpenError::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn sealed(plaintext: &[u8]) -> SealedSecret {
        let nonce = [7; 12];
        let cipher = Aes256Gcm::new_from_slice(KEY).unwrap();
        let ciphertext = cipher.encrypt(&nonce.into(), plaintext).unwrap();
        SealedSecret {
            ciphertext: STANDARD.encode(ciphertext),
            nonce: STANDARD.encode(nonce),
        }
    }

    fn failure(sealed: &SealedSecret, key: &[u8]) -> OpenError {
        open(sealed, key).err().unwrap()
    }

    #[test]
    fn a_secret_is_decrypted_with_its_key() {
        assert_eq!(open(&sealed(b"token"), KEY).ok().unwrap().reveal(), "token");
    }

    #[test]
    fn another_key_cannot_decrypt_a_secret() {
        assert!(matches!(
            failure(&sealed(b"token"), &[1; 32]),
            OpenError::Authentication
        ));
        assert!(matches!(
            failure(&sealed(b"token"), b"short"),
            OpenError::Key
        ));
    }

    #[test]
    fn a_modified_secret_is_rejected() {
        let good = sealed(b"token");
        let ciphertext = "AAAA".to_owned() + &good.ciphertext[4..];
        let changed = SealedSecret {
            ciphertext,
            nonce: good.nonce.clone(),
        };
        assert!(matches!(failure(&changed, KEY), OpenError::Authentication));
        let changed = SealedSecret {
            ciphertext: "?".into(),
            nonce: good.nonce.clone(),
        };
        assert!(matches!(failure(&changed, KEY), OpenError::Ciphertext(_)));
        let changed = SealedSecret {
            ciphertext: good.ciphertext.clone(),
            nonce: "AAAA".into(),
        };
        assert!(matches!(failure(&changed, KEY), OpenError::NonceLength));
        let changed = SealedSecret {
            ciphertext: good.ciphertext,
            nonce: "?".into(),
        };
        assert!(matches!(failure(&changed, KEY), OpenError::Nonce(_)));
        assert!(matches!(failure(&sealed(&[0xff]), KEY), OpenError::Text));
    }
}
