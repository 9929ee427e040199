//! Finite games in normal form, solved exactly: payoffs are fractions, and equilibria are computed, not assumed.

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// A game of some players with some actions each.
#[derive(Debug, Clone)]
pub struct Game {
    actions: Vec<usize>,
    /// By profile (the first player's action varies slowest), one payoff a player.
    payoffs: Vec<Vec<BigRational>>,
}

/// An equilibrium of two players: the chances of each one's actions, and what each expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equilibrium {
    /// By player, by action.
    pub chances: [Vec<BigRational>; 2],
    /// By player.
    pub payoffs: [BigRational; 2],
}

impl Game {
    /// `payoff(profile)` gives one payoff a player. `actions` holds the number of actions of each.
    pub fn new(actions: &[usize], payoff: impl Fn(&[usize]) -> Vec<BigRational>) -> Self {
        let mut game = Self { actions: actions.to_vec(), payoffs: Vec::new() };
        game.payoffs = game.profiles().map(|profile| payoff(&profile)).collect();
        game
    }

    /// A game of `players` with the same `actions` each, where a player's payoff depends on its own action and on how many
    /// of the others chose each: `payoff(own, counts)`.
    pub fn symmetric(
        players: usize,
        actions: usize,
        payoff: impl Fn(usize, &[usize]) -> BigRational,
    ) -> Self {
        Self::new(&vec![actions; players], |profile| {
            let mut counts = vec![0; actions];
            for action in profile {
                counts[*action] += 1;
            }
            let of = |own: &usize| {
                let mut others = counts.clone();
                others[*own] -= 1;
                payoff(*own, &others)
            };
            profile.iter().map(of).collect()
        })
    }

    /// All profiles, the first player's action varying slowest.
    fn profiles(&self) -> impl Iterator<Item = Vec<usize>> + use<'_> {
        let count = self.actions.iter().product::<usize>();
        (0..count).map(|mut index| {
            let mut profile = vec![0; self.actions.len()];
            for (place, size) in profile.iter_mut().zip(&self.actions).rev() {
                (*place, index) = (index % size, index / size);
            }
            profile
        })
    }

    /// What each player gets in `profile`, one action a player.
    pub fn payoff(&self, profile: &[usize]) -> &[BigRational] {
        let index = profile.iter().zip(&self.actions).fold(0, |index, (action, size)| index * size + action);
        &self.payoffs[index]
    }

    fn deviation(&self, profile: &[usize], player: usize, action: usize) -> &BigRational {
        let mut other = profile.to_vec();
        other[player] = action;
        &self.payoff(&other)[player]
    }

    /// Profiles in which nobody gains by acting differently alone.
    pub fn pure_equilibria(&self) -> Vec<Vec<usize>> {
        let stable = |profile: &Vec<usize>| {
            (0..self.actions.len()).all(|player| {
                let own = &self.payoff(profile)[player];
                (0..self.actions[player]).all(|action| self.deviation(profile, player, action) <= own)
            })
        };
        self.profiles().filter(stable).collect()
    }

    /// The action of `player` that beats each of its others whatever the rest do, if there is one.
    pub fn dominant(&self, player: usize) -> Option<usize> {
        (0..self.actions[player]).find(|own| {
            (0..self.actions[player]).filter(|other| other != own).all(|other| {
                self.profiles().all(|profile| {
                    self.deviation(&profile, player, *own) > self.deviation(&profile, player, other)
                })
            })
        })
    }

    /// What is left of each player's actions when those strictly dominated by another one go, again and again. One action
    /// each: the game's only equilibrium, mixed ones included.
    pub fn undominated(&self) -> Vec<Vec<usize>> {
        let mut left: Vec<Vec<usize>> = self.actions.iter().map(|count| (0..*count).collect()).collect();
        loop {
            let profiles: Vec<_> = self
                .profiles()
                .filter(|profile| profile.iter().zip(&left).all(|(action, own)| own.contains(action)))
                .collect();
            let beaten = (0..left.len()).find_map(|player| {
                let beats = |better: usize, worse: usize| {
                    profiles.iter().all(|profile| {
                        self.deviation(profile, player, better) > self.deviation(profile, player, worse)
                    })
                };
                let own = &left[player];
                let worse = own.iter().find(|worse| own.iter().any(|better| beats(*better, **worse)))?;
                Some((player, *worse))
            });
            match beaten {
                Some((player, worse)) => left[player].retain(|action| *action != worse),
                None => return left,
            }
        }
    }

    /// Equilibria of two players, pure and mixed, by enumerating supports of equal size. These are all of them unless
    /// payoffs tie in a way that makes the game degenerate.
    ///
    /// # Panics
    /// Where there are not two players.
    pub fn mixed_equilibria(&self) -> Vec<Equilibrium> {
        assert_eq!(self.actions.len(), 2, "mixed equilibria are found for two players");
        let mut found: Vec<Equilibrium> = Vec::new();
        for first in supports(self.actions[0]) {
            for second in supports(self.actions[1]).filter(|second| second.len() == first.len()) {
                if let Some(equilibrium) = self.on_supports(&first, &second)
                    && !found.contains(&equilibrium)
                {
                    found.push(equilibrium);
                }
            }
        }
        found
    }

    fn on_supports(&self, first: &[usize], second: &[usize]) -> Option<Equilibrium> {
        // Each one's chances make the other indifferent.
        let (chances_2, payoff_1) = indifference(first, second, |a, b| self.payoff(&[a, b])[0].clone())?;
        let (chances_1, payoff_2) = indifference(second, first, |b, a| self.payoff(&[a, b])[1].clone())?;
        let spread = |support: &[usize], chances: &[BigRational], count| {
            let mut all = vec![BigRational::zero(); count];
            for (action, chance) in support.iter().zip(chances) {
                all[*action] = chance.clone();
            }
            all
        };
        let chances =
            [spread(first, &chances_1, self.actions[0]), spread(second, &chances_2, self.actions[1])];
        let expects = |player: usize, own: usize| -> BigRational {
            let other = &chances[1 - player];
            let profile = |theirs: usize| if player == 0 { [own, theirs] } else { [theirs, own] };
            other.iter().enumerate().map(|(b, chance)| chance * &self.payoff(&profile(b))[player]).sum()
        };
        let stable = (0..self.actions[0]).all(|action| expects(0, action) <= payoff_1)
            && (0..self.actions[1]).all(|action| expects(1, action) <= payoff_2);
        stable.then_some(Equilibrium { chances, payoffs: [payoff_1, payoff_2] })
    }
}

/// Non-empty sets of actions.
fn supports(actions: usize) -> impl Iterator<Item = Vec<usize>> {
    (1usize..1 << actions).map(move |set| (0..actions).filter(|action| set >> action & 1 == 1).collect())
}

/// Positive chances of `theirs` at which all of `own` pay the same, and what they pay.
fn indifference(
    own: &[usize],
    theirs: &[usize],
    payoff: impl Fn(usize, usize) -> BigRational,
) -> Option<(Vec<BigRational>, BigRational)> {
    // Unknowns: a chance for each of theirs, then the payoff.
    let width = theirs.len() + 1;
    let mut rows: Vec<Vec<BigRational>> = own
        .iter()
        .map(|a| {
            let mut row: Vec<_> = theirs.iter().map(|b| payoff(*a, *b)).collect();
            row.extend([-BigRational::one(), BigRational::zero()]);
            row
        })
        .collect();
    let mut sum = vec![BigRational::one(); width + 1];
    sum[theirs.len()] = BigRational::zero();
    rows.push(sum);
    let mut solution = solve(rows)?;
    let value = solution.pop()?;
    solution.iter().all(BigRational::is_positive).then_some((solution, value))
}

/// The only solution of a square system, each row its coefficients and then its right side.
fn solve(mut rows: Vec<Vec<BigRational>>) -> Option<Vec<BigRational>> {
    let n = rows.len();
    for column in 0..n {
        let pivot = (column..n).find(|row| !rows[*row][column].is_zero())?;
        rows.swap(column, pivot);
        let lead = rows[column][column].clone();
        for value in &mut rows[column] {
            *value /= &lead;
        }
        let lead = rows[column].clone();
        for row in rows.iter_mut().enumerate().filter(|(row, _)| *row != column).map(|(_, row)| row) {
            let factor = row[column].clone();
            for (value, above) in row.iter_mut().zip(&lead) {
                *value -= &factor * above;
            }
        }
    }
    Some(rows.into_iter().filter_map(|mut row| row.pop()).collect())
}

/// Chances of the second of two actions at which a symmetric game of any size is in equilibrium with everybody mixing alike:
/// 0 and 1 where nobody would leave them, and what lies between, each as an interval not wider than `width`.
///
/// `gain[j]` is what the second action pays more than the first when `j` of the others choose the second: the coefficients, in
/// Bernstein's form, of the polynomial whose roots are sought. Roots of even multiplicity are not seen.
pub fn symmetric_mixes(gain: &[BigRational], width: &BigRational) -> Vec<(BigRational, BigRational)> {
    let (zero, one) = (BigRational::zero(), BigRational::one());
    let mut mixes = Vec::new();
    if gain.first().is_some_and(|first| !first.is_positive()) {
        mixes.push((zero.clone(), zero.clone()));
    }
    roots(gain.to_vec(), zero, one.clone(), width, &mut mixes);
    if gain.last().is_some_and(|last| !last.is_negative()) {
        mixes.push((one.clone(), one));
    }
    mixes
}

/// Descartes' rule on the coefficients, halving where it does not decide.
fn roots(
    coefficients: Vec<BigRational>,
    low: BigRational,
    high: BigRational,
    width: &BigRational,
    found: &mut Vec<(BigRational, BigRational)>,
) {
    let signs: Vec<_> = coefficients.iter().filter(|c| !c.is_zero()).map(BigRational::is_positive).collect();
    let changes = signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if changes == 0 {
        return;
    }
    if changes == 1 && &high - &low <= *width {
        found.push((low, high));
        return;
    }
    if &high - &low <= *width {
        return;
    }
    // De Casteljau.
    let two = BigRational::from_integer(2.into());
    let (mut left, mut right, mut row) = (Vec::new(), Vec::new(), coefficients);
    while let (Some(first), Some(last)) = (row.first(), row.last()) {
        left.push(first.clone());
        right.push(last.clone());
        row = row.windows(2).map(|pair| (&pair[0] + &pair[1]) / &two).collect();
    }
    right.reverse();
    let middle = (&low + &high) / two;
    if right.first().is_some_and(Zero::is_zero) {
        found.push((middle.clone(), middle.clone()));
    }
    roots(left, low, middle.clone(), width, found);
    roots(right, middle, high, width, found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn whole(n: i64) -> BigRational {
        BigRational::from_integer(n.into())
    }

    fn ratio(a: i64, b: i64) -> BigRational {
        BigRational::new(a.into(), b.into())
    }

    fn bimatrix(first: [[i64; 2]; 2], second: [[i64; 2]; 2]) -> Game {
        Game::new(&[2, 2], |p| vec![whole(first[p[0]][p[1]]), whole(second[p[0]][p[1]])])
    }

    #[test]
    fn textbook_games() {
        let dilemma = bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]]);
        assert_eq!(dilemma.pure_equilibria(), [[1, 1]]);
        assert_eq!((dilemma.dominant(0), dilemma.dominant(1)), (Some(1), Some(1)));
        assert_eq!(dilemma.undominated(), [[1], [1]]);
        assert_eq!(dilemma.mixed_equilibria().len(), 1);

        let pennies = bimatrix([[1, -1], [-1, 1]], [[-1, 1], [1, -1]]);
        assert!(pennies.pure_equilibria().is_empty());
        let half = vec![ratio(1, 2); 2];
        let only = Equilibrium { chances: [half.clone(), half], payoffs: [whole(0), whole(0)] };
        assert_eq!(pennies.mixed_equilibria(), [only]);

        let chicken = bimatrix([[0, -1], [1, -10]], [[0, 1], [-1, -10]]);
        assert_eq!(chicken.pure_equilibria(), [[0, 1], [1, 0]]);
        let mixed = chicken.mixed_equilibria();
        assert_eq!(mixed.len(), 3);
        assert_eq!(mixed[2].chances[0], [ratio(9, 10), ratio(1, 10)]);
        assert_eq!(chicken.undominated(), [[0, 1], [0, 1]]);
        assert_eq!(chicken.dominant(0), None);
    }

    /// What the solver calls an equilibrium is one, every pure one is among them, and there is always one.
    #[test]
    fn random_games_against_brute_force() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..400 {
            let (rows, columns) = (rng.random_range(1..=3), rng.random_range(1..=3));
            // Wide enough that ties, which make games degenerate, are rare.
            let table: Vec<[i64; 2]> = (0..rows * columns)
                .map(|_| [rng.random_range(-10_000..10_000), rng.random_range(-10_000..10_000)])
                .collect();
            let game = Game::new(&[rows, columns], |p| table[p[0] * columns + p[1]].map(whole).to_vec());
            let all = game.mixed_equilibria();
            assert!(all.len() % 2 == 1, "a game without ties has an odd number of equilibria: {table:?}");
            for equilibrium in &all {
                for player in 0..2 {
                    let sum: BigRational = equilibrium.chances[player].iter().sum();
                    assert_eq!(sum, whole(1));
                }
            }
            for pure in game.pure_equilibria() {
                let chances = |player: usize, count| {
                    (0..count).map(|a| whole(i64::from(a == pure[player]))).collect::<Vec<_>>()
                };
                let wanted = [chances(0, rows), chances(1, columns)];
                assert!(all.iter().any(|e| e.chances == wanted));
            }
            for (player, size) in [rows, columns].into_iter().enumerate() {
                if let Some(best) = game.dominant(player) {
                    assert!(all.iter().all(|e| e.chances[player][best] == whole(1)), "{size}");
                }
            }
        }
    }

    #[test]
    fn a_symmetric_game_of_many_is_the_same_game_written_out() {
        // A public good: 1 costs 3 and gives everybody 1 for each who pays.
        let game = Game::symmetric(4, 2, |own, others| {
            whole(i64::try_from(others[1] + own).unwrap_or(0)) - whole(3) * whole(i64::from(own == 1))
        });
        assert_eq!(game.pure_equilibria(), [[0, 0, 0, 0]]);
        assert_eq!(game.undominated(), vec![vec![0]; 4]);
        assert_eq!(game.payoff(&[1, 0, 0, 1])[0], whole(-1));
    }

    #[test]
    fn mixes_of_many_are_found_by_their_signs() {
        let fine = ratio(1, 1 << 20);
        // A volunteer's dilemma of three: volunteering gains 1 if nobody else does, costs 1/4 else.
        let gain = [ratio(3, 4), ratio(-1, 4), ratio(-1, 4)];
        let mixes = symmetric_mixes(&gain, &fine);
        // (1 − q)² = 1/4
        let [(low, high)] = mixes.as_slice() else { panic!("{mixes:?}") };
        assert!(*low <= ratio(1, 2) && *high >= ratio(1, 2));
        // Coordination: both ends and one between.
        let mixes = symmetric_mixes(&[whole(-1), whole(0), whole(2)], &fine);
        assert_eq!(mixes.len(), 3);
        assert_eq!((mixes[0].0.clone(), mixes[2].1.clone()), (whole(0), whole(1)));
        assert_eq!(symmetric_mixes(&[whole(1), whole(2)], &fine), [(whole(1), whole(1))]);
    }

    #[test]
    #[should_panic(expected = "two players")]
    fn mixed_equilibria_are_for_two() {
        Game::symmetric(3, 2, |_, _| whole(0)).mixed_equilibria();
    }
}
