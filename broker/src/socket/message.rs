//! What is asked over the socket, and what is answered. Values travel beside these, in material frames.

use crate::{failure::Failure, scan::Elsewhere};
use donjon_drivers::store::secret::Part;
use donjon_policies::name::{DeploymentName, HostName, RoleName, SecretName, SiteName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// A request about the records of one deployment.
#[derive(Debug, Serialize)]
pub struct Of<'a> {
    /// The deployment that is meant.
    pub deployment: &'a DeploymentName,
    /// What is asked.
    #[serde(flatten)]
    pub request: &'a Request,
}

/// Whose records a request is about; whoever does not say means those of the daemon that it asks.
#[derive(Debug, Default, Deserialize)]
pub struct Whose {
    /// The deployment that is meant.
    #[serde(default)]
    pub deployment: Option<DeploymentName>,
}

/// A request, told apart by its `op`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// How things are. Never refused, never audited.
    Status,
    /// Values, in the order of the names.
    Read {
        /// What is asked for.
        names: Vec<Asked>,
        /// One version of it, for a single name.
        #[serde(default)]
        version: Option<VersionAsked>,
        /// The epoch that the caller is pinned to.
        #[serde(default)]
        epoch: Option<u64>,
    },
    /// What these were before their current values, of those that have such a version: for whoever covers values in output.
    Replaced {
        /// The secrets or views.
        names: Vec<Asked>,
        /// The epoch that the caller is pinned to.
        #[serde(default)]
        epoch: Option<u64>,
    },
    /// Whole records, all of one epoch, for a role that a reader of the daemon's own user has let in.
    Record {
        /// The role, for the audit log.
        role: RoleName,
        /// The secrets or views.
        names: Vec<SecretName>,
        /// One version, of one of them alone.
        #[serde(default)]
        version: Option<VersionAsked>,
    },
    /// Whether values can be read now. Never audited.
    Ready,
    /// The names of every secret, and the epoch that they are at least of.
    Names,
    /// A new version of a secret; its value is the one material.
    Put {
        /// The secret.
        name: String,
        /// The deployment is meant to be new, beside another in the same store.
        #[serde(default)]
        new_deployment: bool,
    },
    /// Every secret there is.
    List,
    /// The versions of a secret.
    History {
        /// The secret.
        name: String,
    },
    /// Makes the secrets of a catalogue that are not there yet.
    Generate {
        /// The catalogue's name, or `None` for the deployment's own.
        #[serde(default)]
        catalogue: Option<String>,
        /// The text of a catalogue file, where one was named.
        #[serde(default)]
        catalogue_text: Option<String>,
        /// Only these; all where empty.
        #[serde(default)]
        names: Vec<String>,
        /// The deployment is meant to be new, beside another in the same store.
        #[serde(default)]
        new_deployment: bool,
    },
    /// Takes over values of a deployer's file, the materials, in the order of the names.
    Adopt(AdoptAsked),
    /// Unseal shares, one a material.
    Unseal,
    /// Ends the daemon, and the temporary Vault with it.
    Down {
        /// Without a receipt or a drilled custodians' bundle.
        #[serde(default)]
        force: bool,
    },
    /// Holds rotations off for as long as this connection stays open, and tells the epoch.
    Deploy,
    /// What a rotation would do.
    RotatePlan(RotateAsked),
    /// Rotates.
    RotateApply(RotateAsked),
    /// Goes on with rotations that were interrupted.
    RotateResume(ResumeAsked),
    /// Undoes rotations whose new values no consumer can have read.
    RotateAbort(ResumeAsked),
    /// How rotations stand.
    RotateStatus,
    /// Renews what opens the temporary Vault; custodians' shares are its materials.
    RotateBroker,
    /// Renews the key that signs bundles.
    RotateSigningKey {
        /// Only say what that would mean.
        plan: bool,
    },
    /// When secrets are due, and why.
    Schedule,
    /// Figures for Prometheus.
    Metrics,
    /// Which stored value logs in where, and what to do next. Changes nothing.
    Doctor(DoctorAsked),
    /// Looks for stored values in files.
    Scan {
        /// Files and folders, absolute.
        paths: Vec<String>,
        /// Other places.
        #[serde(default)]
        elsewhere: Vec<Elsewhere>,
    },
    /// The values of some secrets that are looked for, for the witness of a teardown: to root alone.
    Witness {
        /// Whose, as many as fit into one answer.
        names: Vec<SecretName>,
    },
    /// Proves that the custodians' bundle can be opened. Materials: identity files, then the bundle, in pieces.
    Drill {
        /// How many of the materials are identity files.
        identities: usize,
        /// How many of them have to open it; as many as open the Vault where not given.
        needed: Option<usize>,
    },
    /// Makes a bundle; its bytes come back as [`Answer::Piece`]s.
    ExportBundle(BundleAsked),
    /// Pushes everything into a Vault that is there, and moves the authority. Materials: the token for it.
    ExportVault(VaultAsked),
    /// Carries the temporary Vault's own database into a cluster.
    ExportSnapshot {
        /// Which part of it.
        asked: SnapshotAsked,
    },
    /// Takes a move of the authority back. Materials: the token for a Vault that is named.
    ExportCancel {
        /// The Vault that it was on its way to.
        there: Option<VaultAsked>,
        /// That one is gone for good.
        lost: bool,
    },
    /// The authority's public key, which sites pin.
    ExportKey,
    /// Takes a bundle into the store. Materials: the identity file, then the bundle, in pieces.
    Import(ImportAsked),
    /// Makes an empty store the new authority. Materials: the identity file, then the custodians' bundle, in pieces.
    Restore(RestoreAsked),
    /// Recipients of bundles, and hosts and sites that leave. Material: the token for a Vault that is named.
    Recipients {
        /// What is to be done.
        asked: RecipientsAsked,
    },
    /// Takes a site's receipt, the one material; without one, says which are missing.
    Receipt,
}

impl Request {
    /// Whether the store is looked at again before it is answered.
    pub fn afterwards(&self) -> Afterwards {
        let alone = matches!(self, Self::RotateApply(_) | Self::RotateResume(_) | Self::RotateAbort(_) | Self::Deploy);
        if alone || self.is_for() == IsFor::Any { Afterwards::Rests } else { Afterwards::Looks }
    }

    /// Which store answers it.
    pub fn is_for(&self) -> IsFor {
        match self {
            Self::Put { .. }
            | Self::Generate { .. }
            | Self::Adopt(_)
            | Self::RotateApply(_)
            | Self::RotateResume(_)
            | Self::RotateAbort(_)
            | Self::ExportBundle(_)
            | Self::ExportKey
            | Self::Recipients { .. }
            | Self::Drill { .. } => IsFor::Authority,
            Self::Deploy | Self::Import(_) => IsFor::OneThatStays,
            Self::Status
            | Self::Read { .. }
            | Self::Replaced { .. }
            | Self::Record { .. }
            | Self::Ready
            | Self::Names
            | Self::List
            | Self::History { .. }
            | Self::Unseal
            | Self::Down { .. }
            | Self::RotatePlan(_)
            | Self::RotateStatus
            | Self::RotateBroker
            | Self::RotateSigningKey { .. }
            | Self::Schedule
            | Self::Metrics
            | Self::Doctor(_)
            | Self::Scan { .. }
            | Self::Witness { .. }
            | Self::ExportVault(_)
            | Self::ExportSnapshot { .. }
            | Self::ExportCancel { .. }
            | Self::Restore(_)
            | Self::Receipt => IsFor::Any,
        }
    }
}

/// Whether what a request has written counts only where the store is still what it was asked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It is looked at again, after the last write and before the answer.
    Looks,
    /// It writes nothing that is to be carried along, or looks by itself: a rotation and a deployer do once they are announced,
    /// and a move waits for those.
    Rests,
}

/// Which store answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsFor {
    /// The one that rotates and signs.
    Authority,
    /// That one, and one that follows it: not one whose authority has left or has not arrived.
    OneThatStays,
    /// Any.
    Any,
}

/// What is taken over from a deployer's file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AdoptAsked {
    /// Only say how the store stands to it.
    pub plan: bool,
    /// Store these values as next versions where the store has others.
    #[serde(default)]
    pub overwrite: bool,
    /// The deployment is meant to be new, beside another in the same store.
    #[serde(default)]
    pub new_deployment: bool,
    /// The file, for the journal.
    pub file: String,
    /// Whose values these are.
    pub secrets: Vec<Adopted>,
}

/// One secret that is taken over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Adopted {
    /// Its name.
    pub name: SecretName,
    /// The public half, where it is a pair; the private one is the material.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
}

/// A bundle that is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BundleAsked {
    /// Site and role, or everything for the custodians.
    pub site: Option<(String, String)>,
    /// The one host that it is for.
    #[serde(default)]
    pub host: Option<String>,
    /// Who can open it; the deployment file's where empty.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// For how many days it is good.
    pub days: u32,
    /// With a key that the authority's has named, for the custodians.
    #[serde(default)]
    pub heir: bool,
}

/// What is to be done with recipients.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientsAsked {
    /// Show them all.
    List,
    /// Encrypt later bundles to one.
    Add {
        /// Its age public key.
        recipient: String,
        /// Whose it is.
        name: Option<String>,
        /// The site whose bundles it opens.
        site: Option<String>,
    },
    /// Encrypt no later bundle to one.
    Remove {
        /// Its key, or its name.
        recipient: String,
    },
    /// A host or a site leaves.
    Retire {
        /// Its name.
        name: String,
        /// The Vault in which its credentials are destroyed.
        vault: Option<VaultAsked>,
    },
}

/// A Vault that is pushed to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct VaultAsked {
    /// The addresses of its nodes.
    pub addresses: Vec<String>,
    /// The certificates to trust there, as PEM; those of the operating system where there are none.
    #[serde(default)]
    pub trust: Option<String>,
    /// The namespace there.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The mount there.
    pub mount: String,
    /// Only say what would change.
    #[serde(default)]
    pub plan: bool,
    /// Make credentials for the roles, and answer them.
    #[serde(default)]
    pub credentials: bool,
    /// The hosts that credentials are for; for any where there are none.
    #[serde(default)]
    pub hosts: Vec<HostName>,
}

/// A part of the way of a database into a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotAsked {
    /// Fence this store and take a snapshot; its file comes back as materials, in pieces.
    Take {
        /// Who can open the file; whoever opens this Vault where empty.
        recipients: Vec<String>,
    },
    /// Carry it. Materials: unseal shares, then the snapshot, in pieces; the broker's token and credentials come back.
    Carry(CarryAsked),
    /// The operator has what came back.
    Finish(CarryAsked),
}

/// A cluster that a database is carried into.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CarryAsked {
    /// The addresses of its servers, the one that takes the database first.
    pub addresses: Vec<String>,
    /// The certificates to trust there, as PEM; those of the operating system where there are none.
    #[serde(default)]
    pub trust: Option<String>,
    /// Only say how far it is.
    #[serde(default)]
    pub plan: bool,
    /// How many of the materials are unseal shares.
    #[serde(default)]
    pub shares: usize,
    /// Who holds the new shares.
    #[serde(default)]
    pub custodians: Vec<String>,
    /// How many of them open the cluster.
    #[serde(default)]
    pub threshold: Option<u32>,
    /// Make credentials for the roles, and answer them.
    #[serde(default)]
    pub credentials: bool,
    /// The hosts that credentials are for; for any where there are none.
    #[serde(default)]
    pub hosts: Vec<HostName>,
}

/// A bundle that is to be taken in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ImportAsked {
    /// Only say what would change.
    pub plan: bool,
    /// The authority's public key, as PEM, where it is pinned by file.
    #[serde(default)]
    pub authority: Option<String>,
    /// Refuse a bundle for another site.
    #[serde(default)]
    pub site: Option<SiteName>,
    /// Refuse a bundle for another role.
    #[serde(default)]
    pub role: Option<RoleName>,
}

/// A custodians' bundle that is to make a new authority.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RestoreAsked {
    /// The old authority's public key, as PEM.
    #[serde(default)]
    pub authority: Option<String>,
    /// Whoever signed the bundle is to be believed.
    #[serde(default)]
    pub trust_first: bool,
    /// Its time may be over.
    #[serde(default)]
    pub expired: bool,
}

/// One value that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// The secret or view.
    pub name: String,
    /// Which part of it.
    #[serde(default)]
    pub part: Part,
}

/// Which version is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionAsked {
    /// By its number.
    Number(u64),
    /// The one before the current.
    Previous,
}

/// What is to be rotated, and what is accepted for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RotateAsked {
    /// The secrets by name.
    #[serde(default)]
    pub names: Vec<String>,
    /// All that may be rotated in bulk.
    #[serde(default)]
    pub all: bool,
    /// What is due by the schedule.
    #[serde(default)]
    pub due: bool,
    /// What this recipient could ever open, by its key or name.
    #[serde(default)]
    pub exposed_to: Option<String>,
    /// The operator accepts an outage where the strategy has one.
    #[serde(default)]
    pub accept_outage: bool,
    /// The old value is known to others: remove it first.
    #[serde(default)]
    pub compromised: bool,
    /// Accounts (`user@host`) that nobody can prove from here and that the operator vouches for.
    #[serde(default)]
    pub vouched: Vec<String>,
    /// Consumers (`service@host`) and sites to go on without, as in [`ResumeAsked`].
    #[serde(default)]
    pub leave: BTreeSet<String>,
    /// The names were chosen for the caller, who has named none: what the servers have no account of is left alone. Never asked
    /// over the socket.
    #[serde(skip)]
    pub chosen: bool,
}

/// Which interrupted rotations are meant, and what is accepted for them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ResumeAsked {
    /// Those of these secrets; all where empty.
    #[serde(default)]
    pub names: Vec<SecretName>,
    /// Consumers (`service@host`) to go on without: they are cut off once the value that they run on is removed.
    #[serde(default)]
    pub leave: BTreeSet<String>,
    /// Whether to take them from a broker that is alive, too.
    #[serde(default)]
    pub take_over: bool,
}

/// Which secrets are examined; those whose rotations have not ended where none are named.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DoctorAsked {
    /// The secrets by name.
    #[serde(default)]
    pub names: Vec<String>,
    /// Every secret that a target has.
    #[serde(default)]
    pub all: bool,
}

/// An answer: progress comes first, then the pieces of a file where one was asked for, then a reply or an error.
///
/// On the wire it is one of the keys `event`, `piece`, `reply` and `error`, beside `v` and `materials`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "OneOf", try_from = "OneOf")]
pub enum Answer {
    /// How long work goes on.
    Event(Event),
    /// The next bytes of a file, as the one material. A file that no reply follows is not whole.
    Piece(Piece),
    /// Done.
    Reply(Value),
    /// Not done.
    Error(Failure),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct OneOf {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    piece: Option<Piece>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

impl From<Answer> for OneOf {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Event(event) => Self { event: Some(event), ..Self::default() },
            Answer::Piece(piece) => Self { piece: Some(piece), ..Self::default() },
            Answer::Reply(reply) => Self { reply: Some(reply), ..Self::default() },
            Answer::Error(error) => Self { error: Some(error), ..Self::default() },
        }
    }
}

impl TryFrom<OneOf> for Answer {
    type Error = &'static str;
    fn try_from(one: OneOf) -> Result<Self, &'static str> {
        match one {
            OneOf { error: Some(error), .. } => Ok(Self::Error(error)),
            OneOf { reply: Some(reply), .. } => Ok(Self::Reply(reply)),
            OneOf { event: Some(event), .. } => Ok(Self::Event(event)),
            OneOf { piece: Some(piece), .. } => Ok(Self::Piece(piece)),
            OneOf { .. } => Err("neither event, piece, reply nor error"),
        }
    }
}

/// Where a piece of a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// How long the file is, in bytes.
    pub of: u64,
}

/// One step of long work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What is happening, in a line.
    pub text: String,
    /// How much is done, where it can be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Of how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl Event {
    /// A step without a count.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), done: None, total: None }
    }
}
