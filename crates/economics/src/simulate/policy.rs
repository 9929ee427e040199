//! What agents do: a point in the space that learning agents search.

/// How a server behaves. Shares are probabilities, drawn anew for each request.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Share of answers that are wrong.
    pub lie: f64,
    /// Only responses of at least so many units are lied about.
    pub lie_from: u32,
    /// Whether a wrong answer claims as many units as a response can have.
    pub inflate: bool,
    /// What a wrong answer costs, as a share of the right one's: a cheaper model, or nothing.
    pub effort: f64,
    /// Lies come so many in a row, then honest answers until all rewards are free; 0: no such pattern.
    pub burst: u32,
    /// Share of requests left without an answer.
    pub silent: f64,
    /// Share of its pay that it gives the user of a wrong answer for not challenging it.
    pub bribe: f64,
    /// Signs the one of so many versions of an answer whose ticket it likes best; in vain, as tickets are drawn later.
    pub grind: u32,
    /// What it does with users of its own. Its lies go to them alone.
    pub own_users: OwnUsers,
    /// As a validator.
    pub check: Duty,
    /// As a juror.
    pub vote: Duty,
    /// Whether it helps others of its kind: copies their answers as a validator, votes for them as a juror.
    pub colludes: bool,
}

/// What a server does with users of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnUsers {
    /// It has none.
    None,
    /// Answers them with nothing and is never challenged, for the pay.
    Deal,
    /// Has them convict it, for the compensation.
    Convict,
}

/// How a server does work that it was drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Recomputes.
    Work,
    /// Commits to something without recomputing: a guess, or a copy of another's commitment, which hides the digest.
    Guess,
    /// Does nothing.
    Silent,
    /// Commits to a wrong digest that its kind votes for.
    Frame,
}

impl Policy {
    /// Answers and checks as the protocol asks.
    pub const HONEST: Self = Self {
        lie: 0.0,
        lie_from: 0,
        inflate: false,
        effort: 0.0,
        burst: 0,
        silent: 0.0,
        bribe: 0.0,
        grind: 1,
        own_users: OwnUsers::None,
        check: Duty::Work,
        vote: Duty::Work,
        colludes: false,
    };

    /// Agents by name: those that docs/ECONOMICS.md shows.
    pub fn named() -> Vec<(&'static str, Self)> {
        let honest = Self::HONEST;
        let colluding = Self { colludes: true, ..honest.clone() };
        vec![
            ("honest", honest.clone()),
            ("lying", Self { lie: 1.0, ..honest.clone() }),
            ("inflating", Self { lie: 1.0, inflate: true, ..honest.clone() }),
            ("seldom lying", Self { lie: 0.01, inflate: true, ..honest.clone() }),
            ("downgrading", Self { lie: 1.0, effort: 0.3, ..honest.clone() }),
            ("burst-cheating", Self { lie: 1.0, inflate: true, burst: 20, ..honest.clone() }),
            ("ticket-grinding", Self { lie: 1.0, inflate: true, grind: 100, ..honest.clone() }),
            ("self-dealing", Self { lie: 1.0, inflate: true, own_users: OwnUsers::Deal, ..honest.clone() }),
            (
                "self-convicting",
                Self { lie: 1.0, inflate: true, own_users: OwnUsers::Convict, ..honest.clone() },
            ),
            ("bribing", Self { lie: 1.0, inflate: true, bribe: 0.5, ..honest.clone() }),
            ("lazy validator", Self { check: Duty::Guess, ..honest.clone() }),
            ("silent validator", Self { check: Duty::Silent, ..honest.clone() }),
            ("vote-copying", Self { vote: Duty::Guess, ..honest.clone() }),
            ("silent juror", Self { vote: Duty::Silent, ..honest.clone() }),
            ("silent server", Self { silent: 0.5, ..honest }),
            ("colluding", Self { lie: 1.0, inflate: true, ..colluding.clone() }),
            ("framing", Self { check: Duty::Frame, ..colluding }),
        ]
    }

    /// The agent of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::named().into_iter().find(|(known, _)| *known == name).map(|(_, policy)| policy)
    }
}

/// How a user behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserPolicy {
    /// Challenges what the beacon draws.
    Challenges,
    /// Never challenges.
    Skips,
    /// Challenges unless it is paid not to.
    TakesBribes,
    /// Belongs to the server of that number and asks it alone; challenges if the server wants it.
    OwnedBy(u32),
}
