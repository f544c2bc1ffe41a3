//! Where calls get their randomness: the machine's, or a seed's.
//!
//! Shape:   [`Rng::u128`] and [`Rng::uuid`] for names that must not collide: sessions, idempotency tokens. Keys and
//!          nonces are not drawn here: those are random in a simulation too.
//! Sources: [`simulate::random`], for the seeded one.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::{Builder, Uuid};

use crate::simulate;

/// A source of randomness. Clones of a seeded one go on with the same numbers.
#[derive(Clone, Debug, Default)]
pub enum Rng {
    /// The machine's.
    #[default]
    System,
    /// A seed's: the same numbers every time. For simulations; whoever knows the seed knows the numbers.
    Seeded(Arc<Mutex<simulate::random::SeededRng>>),
}

impl Rng {
    /// The numbers of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(simulate::random::SeededRng::new(seed))))
    }

    /// 128 random bits; [`Self::System`] gives 122 and the marks of a UUID.
    #[must_use]
    pub fn u128(&self) -> u128 {
        match self {
            Self::System => Uuid::new_v4().as_u128(),
            Self::Seeded(state) => {
                // A number is drawn whole or not at all.
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let (high, low) = (state.number(), state.number());
                u128::from(high) << 64 | u128::from(low)
            }
        }
    }

    /// A random UUID (version 4).
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        match self {
            Self::System => Uuid::new_v4(),
            Self::Seeded(_) => Builder::from_random_bytes(self.u128().to_be_bytes()).into_uuid(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_own_numbers_and_clones_share_them() {
        let (one, same, other) = (Rng::seeded(7), Rng::seeded(7), Rng::seeded(8));
        let drawn = [one.uuid(), one.clone().uuid(), one.uuid()];
        assert_eq!(drawn, [same.uuid(), same.uuid(), same.uuid()]);
        assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2]);
        assert!(!drawn.contains(&other.uuid()));
        assert_eq!(drawn[0].get_version_num(), 4);
    }

    #[test]
    fn the_published_generator_is_meant() {
        // The first numbers of SplitMix64 for the seed 1234567, as its test vectors have them.
        let drawn = Rng::seeded(1_234_567).u128();
        assert_eq!(drawn, 6_457_827_717_110_365_317 << 64 | 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_machines_numbers_do_not_repeat() {
        assert_ne!(Rng::System.u128(), Rng::System.u128());
    }
}
