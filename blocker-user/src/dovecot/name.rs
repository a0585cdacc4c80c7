//! Whom a line names, to compare with whom another line names, and for nothing else.
//!
//! A name is a client's text of any length, and one is kept for every connection, so what is
//! kept is a hash. Its seed is this host's own: nobody can look for two names that share it.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    num::NonZeroU32,
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// What a seed takes.
pub const SEED_LEN: usize = 16;

static SEED: OnceLock<[u8; SEED_LEN]> = OnceLock::new();

/// A seed that nobody outside can foresee: the standard library seeds its hashers so.
#[must_use]
pub fn random_seed() -> [u8; SEED_LEN] {
    let state = RandomState::new();
    let [a, b] = [0, 1].map(|half: u8| u128::from(state.hash_one(half)));
    (a << 64 | b).to_ne_bytes()
}

/// A user, as Dovecot's lines name one: without regard to case. In the upper bits what stands
/// before the first `@`, which is 0 in [`Name::MASTER`] only; in the [`DOMAIN`] bits what stands
/// behind it, 0 where nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name(NonZeroU32);

/// How many bits tell a domain from another: by far the fewest names differ in that alone.
const DOMAIN: u32 = 12;

impl Name {
    /// Whoever tries to log in as somebody else, by a password of his own.
    pub const MASTER: Self = Self(NonZeroU32::MIN);

    /// Names are compared with those of an earlier life of this process, which had this seed.
    /// Without effect once a name has been made.
    pub fn keep_seed(seed: [u8; SEED_LEN]) {
        SEED.get_or_init(|| seed);
    }

    /// `None` where nobody is named.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let at = memchr::memchr(b'@', text).unwrap_or(text.len());
        let (local, domain) = text.split_at_checked(at)?;
        let local = hash(local, u32::BITS - DOMAIN) << DOMAIN;
        // The `@` itself is no domain.
        let domain = if domain.len() > 1 { hash(domain, DOMAIN) } else { 0 };
        let number = NonZeroU32::new(local | domain)?;
        (!text.is_empty()).then_some(Self(number))
    }

    /// Whether the two can be one user. A password database may be asked for `alice` and
    /// answer for `alice@example.org`; of two domains, each has its own alice.
    #[must_use]
    pub fn can_be(self, other: Self) -> bool {
        let [one, other] = [self, other].map(|name| name.0.get());
        let domain = |name: u32| name & ((1 << DOMAIN) - 1);
        one >> DOMAIN == other >> DOMAIN && (one == other || domain(one) == 0 || domain(other) == 0)
    }
}

/// A number of so many bits that is not 0.
fn hash(text: &[u8], bits: u32) -> u32 {
    let mut hasher = SipHasher13::new_with_key(SEED.get_or_init(random_seed));
    let mut lower = [0; 64];
    for piece in text.chunks(lower.len()) {
        let Some(lower) = lower.get_mut(..piece.len()) else { break };
        lower.copy_from_slice(piece);
        lower.make_ascii_lowercase();
        hasher.write(lower);
    }
    let [a, b, c, d, ..] = hasher.finish().to_ne_bytes();
    (u32::from_ne_bytes([a, b, c, d]) >> (u32::BITS - bits)).max(1)
}

#[cfg(test)]
mod tests {
    use super::Name;

    fn can_be(one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|name| Name::new(name.as_bytes()).unwrap());
        assert_eq!(one.can_be(other), other.can_be(one));
        one.can_be(other)
    }

    #[test]
    fn case_is_nothing_and_a_domain_only_tells_from_another() {
        assert!(can_be("alice", "Alice"));
        assert!(can_be("alice@EXAMPLE.org", "ALICE@example.org"));
        assert!(can_be("alice", "alice@example.org"));
        assert!(!can_be("alice@example.net", "alice@example.org"));
        assert!(!can_be("alice", "mallory"));
        assert!(!can_be("alice@example.org", "mallory@example.org"));
        let long = "a".repeat(64);
        assert!(!can_be(&format!("{long}b"), &format!("{long}c")));
    }

    #[test]
    fn nobody_is_the_master_by_name() {
        assert_eq!(Name::new(b""), None);
        for name in ["@", "@example.org", "master", "alice*master"] {
            assert!(!Name::new(name.as_bytes()).unwrap().can_be(Name::MASTER), "{name}");
        }
    }
}
