//! What happened in a world, step by step, so that it can be done again elsewhere.

/// What a party committed to, and a verdict may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// The right one.
    Right,
    /// The wrong one of the server.
    Servers,
    /// The wrong one of the validator.
    Validators,
    /// A guess, which nobody shares.
    Another,
}

/// One response and all that came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Who answered.
    pub server: u32,
    /// Who asked.
    pub user: u32,
    /// The response's size.
    pub units: u32,
    /// Whether the digest is not the right one.
    pub is_wrong: bool,
    /// Nothing if it was not drawn, or not challenged, or no validator answered.
    pub check: Option<Check>,
}

/// A check, and the dispute that it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Who checked.
    pub validator: u32,
    /// Whether its digest is not the right one.
    pub validator_is_wrong: bool,
    /// Whether both digests are the same, so that there is no dispute.
    pub is_alike: bool,
    /// Of the dispute; fewer than the protocol needs where another conviction ended it.
    pub ballots: Vec<Ballot>,
}

/// A jury's votes; nothing for a juror that was silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// In the order in which they were drawn.
    pub votes: Vec<(u32, Option<Digest>)>,
}

/// One world from start to end, with what everybody has then beyond what it started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// In order of the requests.
    pub exchanges: Vec<Exchange>,
    /// By server, in the order of the groups.
    pub servers: Vec<i128>,
    /// By user.
    pub users: Vec<i128>,
    /// In the token's smallest unit.
    pub burnt: i128,
}
