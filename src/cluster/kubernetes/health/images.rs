//! Why an image was not pulled.

use crate::event::Symptom;

/// What a registry answers if it has no image of that name, or doesn't give it to us.
const NAME: [&str; 5] = [
    "not found",
    "denied",
    "does not exist",
    "manifest unknown",
    "invalid reference",
];

/// Why an image wasn't pulled: no registry has it under its name, or else the network's fault.
pub(super) fn of_pull(why: &str) -> Symptom {
    if NAME.iter().any(|words| why.contains(words)) || is_named_host_unknown(why) {
        Symptom::ImageNameUnusable
    } else {
        Symptom::ImagePullFailed
    }
}

/// Whether DNS doesn't know the registry that the image's name starts with. If it doesn't know another host, such as the default
/// registry or one that hands out tokens, the name server or the way to it is in trouble.
fn is_named_host_unknown(why: &str) -> bool {
    let Some((before, _)) = why.split_once(": no such host") else {
        return false;
    };
    let host = before
        .rsplit_once("lookup ")
        .and_then(|(_, host)| host.split_whitespace().next());
    // A reference is quoted; in a URL, the scheme comes first.
    host.is_some_and(|host| {
        ["/", ":"]
            .iter()
            .any(|end| why.contains(&format!("\"{host}{end}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_host_is_a_wrong_name_only_if_the_image_names_it() {
        let pull = |image: &str, host: &str| {
            format!(
                "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": failed to do request: \
                 Head \"https://{host}/v2/a/manifests/1\": dial tcp: lookup {host} on 172.18.0.1:53: no such host"
            )
        };
        let cases = [
            (
                pull("nope.invalid/a:1", "nope.invalid"),
                Symptom::ImageNameUnusable,
            ),
            (
                pull("nope.invalid:5000/a:1", "nope.invalid"),
                Symptom::ImageNameUnusable,
            ),
            (
                pull("docker.io/library/a:1", "registry-1.docker.io"),
                Symptom::ImagePullFailed,
            ),
            (
                pull("ghcr.io/a/b:1", "tokens.example.com"),
                Symptom::ImagePullFailed,
            ),
            ("no such host".to_owned(), Symptom::ImagePullFailed),
        ];
        for (why, expected) in cases {
            assert_eq!(of_pull(&why), expected, "{why}");
        }
    }

    #[test]
    fn what_a_registry_answers_is_a_wrong_name_and_what_the_network_does_is_not() {
        for words in NAME {
            assert_eq!(of_pull(words), Symptom::ImageNameUnusable, "{words}");
        }
        for words in [
            "i/o timeout",
            "server misbehaving",
            "connection refused",
            "",
        ] {
            assert_eq!(of_pull(words), Symptom::ImagePullFailed, "{words}");
        }
    }
}
