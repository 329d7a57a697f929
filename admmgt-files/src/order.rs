//! How the ids of one namespace are ordered.

use std::cmp::Ordering;

/// Numbers as numbers, with dots between them as versions (`2_x` before `2.1_x`), everything else as bytes;
/// equal only for equal texts.
///
/// ```
/// use admmgt_files::order::natural;
///
/// let mut names = ["10_b", "2.1_a", "2_a"];
/// names.sort_by(|a, b| natural(a, b));
/// assert_eq!(names, ["2_a", "2.1_a", "10_b"]);
/// ```
pub fn natural(a: &str, b: &str) -> Ordering {
    let (x, y) = (a.as_bytes(), b.as_bytes());
    let differ = shared(x, y);
    // What comes before is shared, but for the version that the difference may stand in.
    let is_of_version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let start = x[..differ].iter().rposition(|byte| !is_of_version(byte)).map_or(0, |at| at + 1);
    let (mut x, mut y) = (&x[start..], &y[start..]);
    loop {
        match (x.first(), y.first()) {
            (Some(p), Some(q)) if p.is_ascii_digit() && q.is_ascii_digit() => {
                let (left, right) = (version(x), version(y));
                match versions(left, right) {
                    Ordering::Equal => (x, y) = (&x[left.len()..], &y[right.len()..]),
                    unequal => return unequal,
                }
            }
            (Some(p), Some(q)) if p == q => (x, y) = (&x[1..], &y[1..]),
            (None, None) => return a.cmp(b),
            (p, q) => return p.cmp(&q),
        }
    }
}

/// The version a text starts with: `2.1` of `2.1_plans` and of `2.1.plans`.
fn version(text: &[u8]) -> &[u8] {
    let mut end = digits(text).len();
    while let [b'.', rest @ ..] = &text[end..] {
        match digits(rest).len() {
            0 => break,
            more => end += 1 + more,
        }
    }
    &text[..end]
}

/// Number by number; of two that begin alike, the shorter comes first.
fn versions(x: &[u8], y: &[u8]) -> Ordering {
    let (mut x, mut y) = (x.split(|byte| *byte == b'.'), y.split(|byte| *byte == b'.'));
    loop {
        match (x.next(), y.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => {
                let (left, right) = (without_zeros(left), without_zeros(right));
                let order = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

/// How many bytes two texts begin with in common.
fn shared(x: &[u8], y: &[u8]) -> usize {
    const WORD: usize = 8;
    let words = x.chunks_exact(WORD).zip(y.chunks_exact(WORD)).take_while(|(p, q)| p == q).count() * WORD;
    words + x[words..].iter().zip(&y[words..]).take_while(|(p, q)| p == q).count()
}

fn digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    &digits[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_order_is_total(start in "[a01_.]{0,9}", a in "[a01_.]{0,4}", b in "[a01_.]{0,4}", c in "[a01_.]{0,4}") {
            // What begins alike is what goes wrong.
            let [a, b, c] = [a, b, c].map(|end| format!("{start}{end}"));
            let (a, b, c) = (a.as_str(), b.as_str(), c.as_str());
            proptest::prop_assert_eq!(natural(a, b), natural(b, a).reverse());
            proptest::prop_assert_eq!(natural(a, b) == Ordering::Equal, a == b);
            if natural(a, b) != Ordering::Greater && natural(b, c) != Ordering::Greater {
                proptest::prop_assert_ne!(natural(a, c), Ordering::Greater);
            }
        }
    }
}
