//! A broker: which rotation it drives, its copy of the journal, and the point of the program that it has reached.

use crate::world::{Journal, Rotation, Value, Values, Version};
use donjon_policies::transition::Event;

/// A broker at work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Broker {
    /// Which of the two it is.
    pub own: usize,
    /// What it drives.
    pub rotation: Rotation,
    /// The journal as it wrote it last, with what it has changed since.
    pub held: Journal,
    /// The new value, as it read it at the beginning of a step.
    pub new: Value,
    /// Whether another one drove it before.
    pub taken_over: bool,
    /// What it does next.
    pub at: At,
}

/// What a broker does next: one effect, or one look on which something depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// begin: is the secret free, and does every account accept what is stored?
    Preflight,
    /// begin: writes the journal.
    Create,
    /// take-over: writes the journal, so that its former driver can no longer move it.
    TakeOver(Asked),
    /// take-over: looks at the labels.
    Renew(Asked),
    /// take-over: writes them once more as they were seen.
    RenewWrite(Asked, Version),
    /// claim: looks at the labels.
    Claim(Claiming),
    /// claim: asks the journal.
    ClaimAsk(Claiming, Version),
    /// claim: writes the labels.
    ClaimWrite(Claiming, Version),
    /// begin: another one was faster; the journal ends.
    GiveUp,
    /// abort: may a consumer have read the new value?
    AbortLook,
    /// drive: looks at the labels, and reads the values.
    Step,
    /// drive: the labels name another one; was this one overtaken?
    Lost,
    /// drive: the journal moves.
    Move(Event),
    /// Planned: is the stored value still the one of the journal?
    Stage,
    /// Planned: stores the new value.
    StageWrite,
    /// A change: takes the lock, and looks at the account.
    Change(Change),
    /// A change: another connection holds the lock; asks the journal.
    Overtake(Change),
    /// A change: ends the connection that holds the lock.
    Kill(Change),
    /// A change: asks the journal, under the lock.
    Ask(Change, Values),
    /// A change: the statement.
    Say(Change, Values),
    /// Added: tries both values everywhere.
    Verify,
    /// Verified: are both values accepted still?
    Publish,
    /// Verified: writes the record.
    Record,
    /// Tells readers, then goes on.
    Tell(Told),
    /// Rolling: the next consumer that is not proven.
    Roll,
    /// Rolling: the journal says that a consumer is touched.
    Touch(usize),
    /// Rolling: it restarts.
    Restart(usize),
    /// Rolling: it is proven, or it fails.
    Prove(usize),
    /// Rolling: the journal says that it is proven.
    Proven,
    /// One value is accepted everywhere, and the other refused.
    Alone(Side),
    /// Trial: every consumer is well without the old value, or one is not.
    Trial,
    /// Trial: the journal says that the old value came back.
    Returned,
    /// Aborting: stops whoever would publish late.
    Shut,
    /// Restoring: are both values accepted still?
    Back,
    /// Restoring: publishes the old value again.
    Restore,
    /// Going back: the next consumer that can have read the new value returns to the old one, from this one on.
    Return(usize),
    /// The last step: looks at the labels.
    Release,
    /// The last step: asks the journal.
    ReleaseAsk(Version),
    /// The last step: removes what is pending.
    ReleasePending(Version),
    /// The last step: lets the secret go.
    ReleaseWrite(Version),
}

/// What an operator asked of a broker that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// `donjon rotate resume`.
    Resume,
    /// `donjon rotate abort`.
    Abort,
}

/// Why a secret is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claiming {
    /// A rotation begins.
    Begin,
    /// Whoever began it was killed before it held the secret.
    TakeOver(Asked),
}

/// Which of the two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// What was current before.
    Old,
    /// What is to be current.
    New,
}

/// Accounts are changed from this one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Change {
    /// The account.
    pub account: usize,
    /// What for.
    pub what: What,
}

/// What accounts are changed for, and so what they are to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// Staged: both.
    Declare,
    /// Added: one was refused; both again.
    Verify,
    /// Verified: one was refused; both again.
    Publish,
    /// Rolling: one was refused; both again.
    Roll,
    /// Restoring: one was refused; both again.
    Back,
    /// Trial: the old value comes back, once.
    Return,
    /// Drained: the new one alone.
    RemoveOld,
    /// Trial: the new one alone, so that nobody who stalled brings the other back.
    HoldOff,
    /// Going back: the old one alone.
    RemoveNew,
}

/// What follows once readers were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// The rotation is published.
    Published,
    /// Consumers return to the old value.
    Return,
}
