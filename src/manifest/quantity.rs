//! Kubernetes quantities: amounts of CPU, memory and storage.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// One, in billionths. A billionth is the smallest unit of a quantity.
pub const ONE: i128 = 1_000_000_000;
/// The decimal suffixes, each a thousand times the previous one, from billionths.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// The binary suffixes, each 1024 times the previous one, from 1024.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The number of a quantity, with its sign, and the suffix; `None` if the quantity is invalid.
pub(super) fn parse(text: &str) -> Option<(&str, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let suffix = unsigned.trim_start_matches(is_number);
    let number = unsigned.strip_suffix(suffix)?;
    let has_digit = number.contains(|c: char| c.is_ascii_digit());
    let is_valid = has_digit && number.matches('.').count() <= 1 && is_suffix(suffix);
    is_valid.then_some((text.strip_suffix(suffix)?, suffix))
}

fn is_suffix(suffix: &str) -> bool {
    let exponent = suffix.strip_prefix(['e', 'E']);
    DECIMAL.contains(&suffix)
        || BINARY.contains(&suffix)
        || exponent.is_some_and(|exponent| exponent.parse::<i32>().is_ok())
}

/// A quantity in billionths; `None` if it is invalid or too large.
pub fn billionths(Quantity(text): &Quantity) -> Option<i128> {
    let (number, suffix) = parse(text)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(digits.checked_mul(unit(suffix)?)? / scale)
}

/// The unit that a suffix stands for, in billionths.
fn unit(suffix: &str) -> Option<i128> {
    let decimal = DECIMAL.into_iter().zip(0..);
    let decimal = decimal.map(|(name, power)| (name, 1000_i128.pow(power)));
    let binary = BINARY.into_iter().zip(1..);
    let binary = binary.map(|(name, power)| (name, 1024_i128.pow(power) * ONE));
    let mut units = decimal.chain(binary);
    let named = units.find(|(name, _)| *name == suffix);
    named.map(|(_, unit)| unit).or_else(|| {
        let power = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        10_i128.checked_pow(power)?.checked_mul(ONE)
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quantities_parse_as_in_kubernetes() {
        for text in [
            "0", "1", "+1", "-1", "1.5", ".5", "5.", "100m", "64Mi", "1e3", "1E-3", "2E", "1n",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
        for text in [
            "", ".", "+", "Mi", "64MB", "64mi", "1 Gi", "1.2.3", "1e", "1e3m", "0x1", "1Ki ",
            "lots",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
