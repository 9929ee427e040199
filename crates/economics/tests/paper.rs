//! The paper's numbers to all their printed digits, and its claims computed.

use assay_economics::{
    games::Equilibrium,
    paper::{Optimistic, Sampling},
};
use num_rational::BigRational;
use num_traits::{One, ToPrimitive, Zero};
use rand::{Rng, SeedableRng, rngs::StdRng};

fn ratio(a: i64, b: i64) -> BigRational {
    BigRational::new(a.into(), b.into())
}

fn whole(a: i64) -> BigRational {
    ratio(a, 1)
}

/// `R = 1.2 C, S = 150 C`.
fn example(n: u64, tenths: i64) -> Sampling {
    Sampling { validators: n, ..Sampling::single(whole(1), ratio(12, 10), whole(150), ratio(tenths, 10)) }
}

fn percent(value: &BigRational, digits: usize) -> String {
    format!("{:.digits$}", value.to_f64().map_or(f64::NAN, |x| 100.0 * x))
}

#[test]
fn proposition_1_is_0_735_percent() {
    let p = example(1, 1).threshold().unwrap_or_default();
    // C / ((1 − r)(R + S))
    assert_eq!(p, whole(1) / (ratio(9, 10) * ratio(1_512, 10)));
    assert_eq!(percent(&p, 6), "0.734862");
    assert_eq!(percent(&p, 3), "0.735");
}

#[test]
fn thresholds_over_validators_and_collusion() {
    let expected = [
        (1, ["0.661", "0.735", "0.945", "1.323"]),
        (2, ["0.661", "0.667", "0.725", "0.878"]),
        (3, ["0.661", "0.661", "0.677", "0.752"]),
    ];
    for (n, row) in expected {
        for (tenths, printed) in [0, 1, 3, 5].into_iter().zip(row) {
            let p = example(n, tenths).threshold().unwrap_or_default();
            assert_eq!(percent(&p, 3), printed, "n = {n}, r = {tenths}/10");
        }
    }
    // A certain colluder is no check.
    assert_eq!(example(1, 10).threshold(), None);
}

#[test]
fn opml_cheats_once_in_a_hundred_and_the_solver_finds_it() {
    let game =
        Optimistic { cost: whole(1), reward: ratio(12, 10), stake: whole(150), catch_reward: whole(100) };
    let (check, fraud) = (game.check_chance(), game.fraud_chance());
    assert_eq!(percent(&check, 3), "0.661");
    assert_eq!(percent(&game.undetected(), 5), "0.98355");
    assert_eq!(percent(&game.undetected(), 2), "0.98");
    // "one in two days at 50 a day"
    assert_eq!((whole(100) * game.undetected()).round(), whole(1));

    let all = game.game().mixed_equilibria();
    let [Equilibrium { chances, .. }] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(chances[0], [check.clone(), BigRational::one() - check]);
    assert_eq!(chances[1], [fraud.clone(), BigRational::one() - fraud]);
    assert!(game.game().pure_equilibria().is_empty());
}

fn random(rng: &mut StdRng) -> Sampling {
    let mut amount = |high: i64| ratio(rng.random_range(1..high), 10);
    let (cost, reward) = (amount(100), amount(200));
    Sampling {
        asserter_reward: &cost + reward,
        validator_reward: amount(1_000),
        stake: amount(5_000),
        unchallenged_gain: amount(500),
        colluding_gain: amount(900),
        cost,
        validators: rng.random_range(1..=6),
        collusion: ratio(rng.random_range(0..=100), 100),
    }
}

/// Theorem 1 is the difference of the two payoffs, in the form where C is not charged to nobody; the corollary never claims
/// more; the appendix as printed differs by exactly the extra C.
#[test]
fn theorem_1_is_the_difference_of_the_payoffs() {
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..500 {
        let game = random(&mut rng);
        let p = ratio(rng.random_range(0..=1_000), 1_000);
        let margin = game.theorem_margin(&p);
        assert_eq!(game.honest(&p) - game.cheat(&p), margin);
        assert!(game.corollary_margin(&p) <= margin);
        let nobody: BigRational =
            (0..game.validators).map(|_| BigRational::one() - &game.collusion).product();
        assert_eq!(game.cheat(&p) - game.cheat_as_printed(&p), p.clone() * nobody * &game.cost);
        if let Some(threshold) = game.threshold() {
            let step = ratio(1, 1_000_000);
            assert!(game.theorem_margin(&(&threshold + &step)) > BigRational::zero());
            if threshold > step {
                assert!(game.theorem_margin(&(&threshold - &step)) < BigRational::zero());
            }
        } else {
            assert!(game.theorem_margin(&whole(1)) <= game.theorem_margin(&whole(0)));
        }
    }
}

/// With assumption 1, honesty is the only equilibrium above the threshold, and not below it.
#[test]
fn honesty_is_the_only_equilibrium_above_the_threshold() {
    for n in 1..=4 {
        let game = example(n, 0);
        let threshold = game.threshold().unwrap_or_default();
        let (above, below) = (&threshold * ratio(101, 100), &threshold * ratio(99, 100));
        let honest = vec![0; usize::try_from(n).unwrap_or(0) + 1];
        let solved = game.game(&above, false);
        assert_eq!(solved.pure_equilibria(), std::slice::from_ref(&honest));
        assert_eq!(solved.undominated(), honest.iter().map(|a| vec![*a]).collect::<Vec<_>>());
        for player in 0..honest.len() {
            assert_eq!(solved.dominant(player), Some(0), "n = {n}, player {player}");
        }
        let solved = game.game(&below, false);
        assert_eq!(solved.dominant(0), Some(1), "the asserter cheats");
        assert!(!solved.pure_equilibria().contains(&honest));
    }
}

/// Without assumption 1 the claim fails: where cheats can agree on the same wrong answer (the same cheaper model, say), all of
/// them cheating is an equilibrium at every rate. That is why a commitment hides the digest until both have one.
#[test]
fn cheats_that_match_are_a_second_equilibrium() {
    for n in 1..=4 {
        let solved = example(n, 0).game(&ratio(1, 2), true);
        let players = usize::try_from(n).unwrap_or(0) + 1;
        assert_eq!(solved.pure_equilibria(), [vec![0; players], vec![1; players]]);
        assert_eq!(solved.dominant(0), None);
    }
}

/// Without assumption 2 (an honest validator is better off than a slashed one) validators would rather be slashed.
#[test]
fn a_check_that_costs_more_than_the_stake_is_not_made() {
    let mut game = example(1, 0);
    (game.cost, game.stake, game.asserter_reward) = (whole(10), whole(1), whole(11));
    game.validator_reward = whole(1);
    assert_eq!(game.game(&ratio(1, 2), false).dominant(1), Some(1));
}
