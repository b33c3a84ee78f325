//! Errors of transfer, as a person is told them: the exit code, what state things are in, what to do.

use super::{
    authority::AuthorityError,
    bundle::{OpenError, RecipientError, SealError},
    drill::DrillError,
    export::ExportError,
    fence::FenceError,
    import::ImportError,
    key::PublicKey,
    mark::Elsewhere,
    pin::PinError,
    push::{PushError, Side},
    receipt::ReceiptError,
    snapshot::{BY_SNAPSHOT, ContainerError, SnapshotError},
};
use crate::{
    daemon::translate,
    failure::{Exit, Failure},
    vault::VaultError,
};
use donjon_drivers::store::vault::{CallError, Reason};

/// A bundle that was refused.
pub fn bundle(message: impl Into<String>, error: &OpenError) -> Failure {
    let (code, hint) = match error {
        OpenError::Damaged { .. } => (Exit::Integrity, "copy the file again from where it was exported"),
        OpenError::Forged { signer: Some(_), .. } => (
            Exit::Integrity,
            "if the authority has a new key, get it on another way (`donjon export key`) and give it as --authority-key",
        ),
        OpenError::Forged { signer: None, .. } => (Exit::Integrity, "find out where the file has come from"),
        OpenError::Stale(_) => (Exit::Integrity, "ask the authority for a new one: `donjon export bundle`"),
        OpenError::Foreign(_) => {
            (Exit::Integrity, "one file is made for each site and role: take the one for this one")
        }
        OpenError::WrongIdentity => {
            (Exit::NotAllowed, "give the identity whose public key was a recipient: -i IDENTITY")
        }
        OpenError::Newer => (Exit::Integrity, "install the donjon that wrote it, or a newer one"),
    };
    Failure::new(code, message).because(error).state("nothing was changed").hint(hint)
}

/// A custodians' bundle of an authority that nobody has vouched for: all that a deployment trusts comes out of it.
pub fn unknown_authority(message: impl Into<String>, signer: &PublicKey) -> Failure {
    Failure::new(Exit::NotAllowed, message)
        .cause(format!("it was signed by {}, and nothing here says whether that is your authority", signer.id()))
        .state("nothing was changed")
        .hint("give the key that `donjon export key` wrote at the old authority as --authority-key FILE, or --trust-first where you have compared that name")
}

/// A bundle that was not taken in.
pub fn import(message: impl Into<String>, error: &ImportError) -> Failure {
    let simple = |message: String, code| Failure::new(code, message).because(error);
    let message = message.into();
    match error {
        ImportError::Bundle(error) => bundle(message, error),
        ImportError::File(_) | ImportError::Key(_) => simple(message, Exit::Failed).state("the present bundle is kept"),
        ImportError::After { .. } => simple(message, Exit::Failed).state(TAKEN_IN).hint(WRITES_IT),
        ImportError::Busy { .. } => simple(message, Exit::Conflict).state("nothing was changed").hint("try again"),
        ImportError::NodeDamaged { .. } => simple(message, Exit::Failed)
            .state("nothing was changed")
            .hint("give another folder and import the bundle there"),
        ImportError::NodeNewer { .. } => simple(message, Exit::Failed)
            .state("nothing was changed")
            .hint("install the donjon that wrote it, or a newer one"),
        ImportError::Empty { .. } => simple(message, Exit::NotThere)
            .state("nothing was changed")
            .hint("`donjon import BUNDLE --into FOLDER`, or --node with the folder that it was imported into"),
        ImportError::NoPrevious { .. } => simple(message, Exit::NotThere)
            .state("nothing was changed")
            .hint("import the bundle that is wanted; one is kept for a step back"),
        ImportError::Overtaken { .. } => simple(message, Exit::Waiting).state("nothing was signed").hint(
            "the same command again is about the newest one; a receipt for an older one would be refused as stale",
        ),
        ImportError::Store { written: 0, source, .. } => translate::store(message, source),
        ImportError::TakenBack { source, .. } => {
            let told = translate::store(message, source);
            Failure { causes: simple(String::new(), told.code).causes, ..told }
                .state("what was written of it was taken back: readers find what was there before")
                .hint("the same command again takes it in as a whole")
        }
        ImportError::Store { source, .. } => {
            let told = translate::store(message, source);
            Failure { causes: simple(String::new(), told.code).causes, ..told }
                .state("what was written stays, and is whole; the rest is as it was")
                .hint("the same command again goes on from there")
        }
        ImportError::Elsewhere(error) => elsewhere(error),
        ImportError::OtherBundle => simple(message, Exit::Conflict).state("nothing was changed").hint(
            "`donjon up --from` with that bundle goes on with it; where it is lost, `donjon down --force` destroys what is here, and this one begins anew",
        ),
        ImportError::Occupied { .. } => simple(message, Exit::Conflict)
            .state("nothing was changed")
            .hint("restore into a store that is empty: another DONJON_HOME"),
        ImportError::Vault(error) => push(&message, error),
        ImportError::Authority(error) | ImportError::Pin(PinError::Authority(error)) => authority(message, error),
        ImportError::Pin(PinError::Store(error)) => translate::store(message, error),
        ImportError::Pin(PinError::Several) => simple(message, Exit::Integrity)
            .state("nothing was changed")
            .hint("find out which of them is yours, and give its key once: --authority-key FILE"),
    }
}

/// A bundle that was not made.
pub fn export(message: impl Into<String>, error: &ExportError) -> Failure {
    match error {
        ExportError::Missing { .. } => Failure::new(Exit::NotThere, message)
            .because(error)
            .state("no bundle was made")
            .hint("`donjon generate`, or take the names out of the role's `reads`"),
        ExportError::Store(error) => translate::store(message, error),
        ExportError::Authority(error) => authority(message, error),
        ExportError::Seal(SealError::Room { .. }) => Failure::new(Exit::Unavailable, message)
            .because(error)
            .state("no bundle was made; what is stored is safe")
            .hint("make room on the disk of DONJON_HOME, then the same command again"),
        ExportError::Seal(_) => Failure::new(Exit::Failed, message).because(error).state("no bundle was made"),
    }
}

/// The authority's key cannot be had.
pub fn authority(message: impl Into<String>, error: &AuthorityError) -> Failure {
    match error {
        AuthorityError::Store(error) => translate::store(message, error),
        AuthorityError::Key(_) | AuthorityError::Vanished => Failure::new(Exit::Failed, message).because(error),
    }
}

/// A recipient that was refused.
pub fn recipient(error: &RecipientError) -> Failure {
    Failure::new(Exit::Usage, "cannot encrypt to these recipients")
        .because(error)
        .state("no bundle was made")
        .hint("`age-keygen` prints a public key that begins with `age1`")
}

/// A receipt that was refused.
pub fn receipt(message: impl Into<String>, error: &ReceiptError) -> Failure {
    let message = message.into();
    match error {
        ReceiptError::Store(error) => translate::store(message, error),
        ReceiptError::Newer => Failure::new(Exit::Integrity, message)
            .because(error)
            .state("nothing was recorded")
            .hint("install the donjon that wrote it, or a newer one, here first"),
        ReceiptError::Replayed { .. } => Failure::new(Exit::Integrity, message)
            .because(error)
            .state("nothing was recorded; what was accepted before holds")
            .hint(
                "where the node has done more since, let it say so anew: `donjon drain` there, and bring that receipt",
            ),
        ReceiptError::Older { .. } => Failure::new(Exit::Integrity, message)
            .because(error)
            .state("nothing was recorded")
            .hint("the site takes the newest bundle first: `donjon import` there, and bring the receipt of that"),
        ReceiptError::Damaged | ReceiptError::Forged { .. } | ReceiptError::Foreign { .. } => {
            Failure::new(Exit::Integrity, message).because(error).state("nothing was recorded")
        }
    }
}

/// A receipt that came to a store whose authority is elsewhere, or goes there: it would stay behind.
pub fn receipt_elsewhere(error: &Elsewhere) -> Failure {
    Failure::new(Exit::Conflict, "cannot accept the receipt: this store is not the authority")
        .because(error)
        .state("nothing was recorded")
        .hint("bring it to the authority: `donjon status` says where that is; where a move is taken back, the same again here")
}

/// A drill that failed.
pub fn drill(message: impl Into<String>, error: &DrillError) -> Failure {
    match error {
        DrillError::Bundle(error) => bundle(message, error),
        DrillError::Receipt(error) => receipt(message, error),
        DrillError::TooFew { .. } => Failure::new(Exit::NotAllowed, message)
            .because(error)
            .state("nothing was recorded; this bundle would come back with fewer custodians than were asked for")
            .hint(
                "an identity of each: -i IDENTITY -i IDENTITY; or export the custodians' bundle to those who are there",
            ),
        DrillError::Store(error) => translate::store(message, error),
    }
}

/// This store neither rotates nor signs.
pub fn elsewhere(error: &Elsewhere) -> Failure {
    let hint = match error {
        Elsewhere::Moving { to } if to == BY_SNAPSHOT => {
            "under the broker of the temporary Vault the same `donjon export snapshot` again goes on with it, and `donjon export cancel` takes it back; what was carried of it is no authority by itself"
        }
        Elsewhere::Moving { .. } => {
            "the same `donjon export vault` again goes on with it; `donjon export cancel` takes it back"
        }
        Elsewhere::Moved { .. } => "ask the broker there; `donjon down` destroys what is here",
        Elsewhere::Arriving => "the same `donjon export vault` at the old authority goes on with it",
        Elsewhere::Withdrawn => {
            "ask the broker of the old store, which is the authority; the same `donjon export vault` there begins anew"
        }
        Elsewhere::Restoring => {
            "the same `donjon up --from` again goes on with it; where that bundle is lost, `donjon down --force` destroys what is here, and another bundle begins anew"
        }
        Elsewhere::Following => {
            "do it at the authority, and import its next bundle; if it is lost, `donjon up --from` its custodians' bundle makes a new one"
        }
    };
    Failure::new(Exit::Conflict, "this store is not the authority, so nothing is rotated or signed here")
        .because(error)
        .state("nothing was changed")
        .hint(hint)
}

/// The authority has begun to leave this store under another broker, while something was written here.
pub fn overtaken(error: &Elsewhere) -> Failure {
    Failure::new(Exit::Conflict, "the authority has begun to leave this store while this was done")
        .because(error)
        .state("it was done here, and may not have been carried along: what the authority has is what counts")
        .hint("once the move has ended, look there (`donjon history NAME`) and give the same command there; where it is taken back, here")
}

/// A push that did not go through.
pub fn push(message: &str, error: &PushError) -> Failure {
    let told = |code| Failure::new(code, message).because(error);
    match error {
        PushError::NoAddress | PushError::Address(_) | PushError::OtherMount { .. } | PushError::Policy { .. } => {
            told(Exit::Usage).state("nothing was changed")
        }
        PushError::Itself => told(Exit::Usage)
            .state("nothing was changed")
            .hint("name the Vault that is to be the authority; in this one, another --mount or --namespace"),
        PushError::Sealed { .. } => {
            told(Exit::Unavailable).state("nothing was changed").hint("its operators unseal it: `bao operator unseal`")
        }
        PushError::Call { source, .. } => match source {
            CallError::Refused { reason: Reason::Denied, .. } => told(Exit::NotAllowed)
                .state(GOES_ON)
                .hint("the token must be one that makes mounts, policies and AppRoles there"),
            CallError::Refused { .. } | CallError::Unreachable { .. } | CallError::Unreadable { .. } => {
                told(Exit::Unavailable)
                    .state(GOES_ON)
                    .hint("`--address` can be given for each node: the first that answers is asked")
            }
        },
        PushError::Differs { .. } => told(Exit::Conflict)
            .state("what is there was left as it is; this store is the authority as before")
            .hint("`--plan` shows every record; take another --mount, or remove those records there"),
        PushError::Foreign { .. } => told(Exit::Conflict)
            .state("nothing was changed")
            .hint("one Vault, or one namespace of it, for each deployment and mount: `--namespace`; or remove that policy and its AppRole there if nobody uses them"),
        PushError::Taken | PushError::OtherDestination => told(Exit::Conflict)
            .state("nothing was changed")
            .hint("`donjon status` says where the authority is, or where it is moving"),
        PushError::Arrived => told(Exit::Conflict).state("nothing was changed").hint(
            "the same `donjon export vault` again ends it; where that store is lost now: `donjon export cancel --lost`",
        ),
        PushError::Elsewhere(error) => elsewhere(error),
        PushError::NothingThere { .. } => told(Exit::NotThere).state("nothing was changed").hint(
            "the --address, --mount and --namespace of then; where that store was wiped, `donjon export cancel --lost`",
        ),
        PushError::Blind { .. } => told(Exit::NotAllowed)
            .state("nothing was changed")
            .hint("a token that reads and writes the records in that mount; or the --mount and --namespace of then"),
        PushError::Overtaken => told(Exit::Conflict).state(OVERTAKEN).hint(STATUS),
        PushError::Unfinished { .. } => told(Exit::Waiting)
            .state("what was copied stays there; this store is the authority as before")
            .hint("`donjon rotate resume` or `donjon rotate abort`, then the same command again"),
        PushError::Deployer { .. } => told(Exit::Waiting)
            .state("what was copied stays there; this store is the authority as before")
            .hint(ONCE_IT_ENDS),
        PushError::ReadBack { .. } => told(Exit::Integrity)
            .state("what was copied stays there; this store is the authority as before")
            .hint("the same command again writes what is missing"),
        PushError::Store { source, side } => {
            let side_told = translate::store(message, source);
            let cause = told_causes(error);
            match side {
                Side::Here => Failure { causes: cause, ..side_told },
                Side::There => Failure { causes: cause, ..side_told }
                    .state(GOES_ON)
                    .hint("the same command again goes on from there"),
            }
        }
        PushError::Authority(error) => authority(message, error),
    }
}

/// As [`push`], of what only looked.
pub fn looked(message: &str, error: &PushError) -> Failure {
    push(message, error).state("nothing was changed")
}

/// A database that was not carried.
pub fn snapshot(message: &str, error: &SnapshotError) -> Failure {
    let told = |code| Failure::new(code, message).because(error);
    match error {
        SnapshotError::Elsewhere(error) => elsewhere(error),
        SnapshotError::OtherWay { .. } => {
            told(Exit::Conflict).state("nothing was changed").hint("the same `donjon export vault` again ends it")
        }
        SnapshotError::Arrived => told(Exit::Conflict).state("nothing was changed").hint(
            "the same `donjon export snapshot` again ends it; where the cluster is lost now: `donjon export cancel --lost`",
        ),
        SnapshotError::LoginStays(VaultError::Call { source, .. }) if source.reason() == Some(Reason::Denied) => {
            told(Exit::NotAllowed).state(LOGIN_STAYS).hint(
                "the broker's own credential may have ended: `donjon unseal` where custodians open this Vault, else a daemon that is \
                 started again (`donjon up`) logs in anew; then the same command",
            )
        }
        SnapshotError::LoginStays(_) => told(Exit::Unavailable).state(LOGIN_STAYS).hint(
            "once this Vault answers again, the same command: `donjon status` says how it is, `donjon unseal` opens it, and \
             it needs room on its disk",
        ),
        SnapshotError::NotArrived => told(Exit::Conflict)
            .state("this store is fenced for it, or is the authority, as before")
            .hint("the same `donjon export snapshot` again goes on with it"),
        SnapshotError::Copy => told(Exit::Conflict).state("nothing was changed").hint(
            "`donjon export cancel` under the broker of that Vault takes it back there; where that Vault is gone for good, \
             `donjon export cancel --lost` makes this copy the authority: if it is not, two stores rotate and sign",
        ),
        SnapshotError::Overtaken => told(Exit::Conflict).state(OVERTAKEN).hint(STATUS),
        SnapshotError::OtherSnapshot => {
            told(Exit::Integrity).state(CARRIED_ON).hint("the same command again takes another snapshot and goes on")
        }
        SnapshotError::NoSnapshot(_) => told(Exit::Integrity)
            .state("nothing was sent to the cluster; nothing is rotated or signed here until it is carried")
            .hint("the same command again takes another; vault/server.log in DONJON_HOME says more"),
        SnapshotError::Container(error) => container(message, error),
        SnapshotError::Fence(FenceError::Unfinished { .. }) => told(Exit::Waiting)
            .state("nothing was taken; this store is the authority as before")
            .hint("`donjon rotate resume` or `donjon rotate abort`, then the same command again"),
        SnapshotError::Fence(FenceError::Deployer { .. }) => {
            told(Exit::Waiting).state("nothing was taken; this store is the authority as before").hint(ONCE_IT_ENDS)
        }
        SnapshotError::Fence(FenceError::Overtaken) => told(Exit::Conflict).state(OVERTAKEN).hint(STATUS),
        SnapshotError::Fence(FenceError::Store(source)) => translate::store(message, source),
        SnapshotError::Vault(VaultError::Call { source: CallError::Refused { reason: Reason::Denied, .. }, .. }) => {
            told(Exit::NotAllowed).state(CARRIED_ON).hint(
                "a temporary Vault that an earlier donjon made has no right to this: `donjon export vault` carries its records",
            )
        }
        SnapshotError::Vault(VaultError::TooFewShares { .. } | VaultError::Share(_)) => told(Exit::NotAllowed)
            .state(CARRIED_ON)
            .hint("enough custodians of this Vault at once: -i IDENTITY -i IDENTITY"),
        SnapshotError::Vault(_) | SnapshotError::NotYet { .. } | SnapshotError::Voters { .. } => {
            told(Exit::Unavailable).state(CARRIED_ON).hint("the same command again goes on; the servers' own logs say more")
        }
        SnapshotError::Storage { .. } | SnapshotError::Version { .. } => {
            told(Exit::Usage).state(CARRIED_ON).hint("or push the records alone: `donjon export vault`")
        }
        SnapshotError::Taken { .. } => told(Exit::Conflict).state(CARRIED_ON).hint(
            "nothing of this database is in that server; if nothing else is, stop it, empty its storage folder, start it, and \
             give the same command again; if it is of use to others, name another",
        ),
        SnapshotError::Standby { .. } => told(Exit::Conflict)
            .state("nothing was sent to it")
            .hint("the first --address is that of a server that is alone: stop it, empty its storage folder, start it again"),
        SnapshotError::Sealed { .. } => told(Exit::Waiting).state(CARRIED_ON).hint(
            "its custodians open it with their new shares, which lie in overcloud/shares in DONJON_HOME: \
             `age -d -i IDENTITY N.age`, then `bao operator unseal`; then the same command again",
        ),
        SnapshotError::NoAudit { .. } => told(Exit::Usage).state(CARRIED_ON).hint(
            "declare an audit device in each server's configuration, under another name than `donjon`, restart or reload \
             them, and give the same command again",
        ),
        SnapshotError::OtherCustodians => told(Exit::Conflict)
            .state(CARRIED_ON)
            .hint("the --custodian keys and --threshold of the first run, in the same order"),
        SnapshotError::Store { source, .. } => {
            let causes = told(Exit::Failed).causes;
            Failure { causes, ..translate::store(message, source) }.state(CARRIED_ON).hint("the same command again goes on")
        }
        SnapshotError::Authority(error) => authority(message, error),
        SnapshotError::Grants(error) => push(message, error),
    }
}

/// The file of a snapshot that was refused.
pub fn container(message: &str, error: &ContainerError) -> Failure {
    let (code, hint) = match error {
        ContainerError::WrongIdentity => {
            (Exit::NotAllowed, "give an identity whose public key was a --recipient: -i IDENTITY")
        }
        ContainerError::Encrypt(_) => (Exit::Failed, "the same command again goes on"),
        ContainerError::Damaged { .. }
        | ContainerError::Forged
        | ContainerError::Foreign { .. }
        | ContainerError::Newer
        | ContainerError::Snapshot(_) => (Exit::Integrity, "the same command again takes another snapshot"),
    };
    Failure::new(code, message).because(error).state(CARRIED_ON).hint(hint)
}

fn told_causes(error: &PushError) -> Vec<String> {
    Failure::new(Exit::Failed, "").because(error).causes
}

const CARRIED_ON: &str =
    "what was done stays done; nothing is rotated or signed here from the first step on, and readers go on reading";
/// The state of a bundle that is taken in where what follows has failed.
pub const TAKEN_IN: &str = "the bundle is taken in, and is what is read from now on; its receipt was not given out";
/// What to do then.
pub const WRITES_IT: &str = "the same command again writes the receipt";
const OVERTAKEN: &str =
    "this command has stopped before the authority changed sides; what was written there is no authority by it";
const LOGIN_STAYS: &str = "nothing is rotated or signed here as before, and what is known of the login is kept";
const ONCE_IT_ENDS: &str = "the same command again once it has ended";
const STATUS: &str = "`donjon status` says where the authority is, or where it is moving";
const GOES_ON: &str = "what was written there stays, and is whole; the same command again goes on";
