//! AppRoles of a node: made here, so that no secret-id ever travels; kept as a digest; checked in constant time.

use super::{
    callers::Callers,
    grants::{Decision, Grants},
    peer::{Peer, Place},
};
use crate::{absence, edition};
use aws_lc_rs::digest::{SHA256, digest};
use donjon_drivers::{
    fs::{self, FileError},
    material::Material,
    store::RecordPath,
};
use donjon_policies::name::RoleName;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The roles of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

/// One AppRole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// Its role-id, which is no secret.
    pub role_id: String,
    /// The SHA-256 of its secret-id; those have 122 random bits, so that no slow hash is needed.
    #[serde(with = "crate::transfer::bundle::hexadecimal")]
    secret_id: [u8; 32],
    /// The records it may read.
    pub reads: Vec<String>,
    /// How long its tokens live, in seconds.
    pub token_ttl: u32,
    /// How long its tokens live at most, renewals included, in seconds.
    pub token_max_ttl: u32,
    /// Who may act as it.
    #[serde(default)]
    pub callers: Callers,
    /// Tokens of earlier epochs are good no longer; it counts up with each revocation.
    #[serde(default)]
    pub epoch: u64,
}

/// What a consumer logs in with. It is shown once.
#[derive(Debug)]
pub struct Credential {
    /// The role-id.
    pub role_id: String,
    /// The secret-id.
    pub secret_id: Material,
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    format: u32,
    roles: Vec<Role>,
}

impl Role {
    /// A new role with a new credential.
    pub fn generate(name: RoleName, reads: &BTreeSet<RecordPath>) -> Result<(Self, Credential), RolesError> {
        let (credential, secret_id) = Credential::generate()?;
        let role = Self {
            name,
            role_id: credential.role_id.clone(),
            secret_id,
            reads: reads.iter().map(ToString::to_string).collect(),
            token_ttl: TOKEN_TTL,
            token_max_ttl: TOKEN_MAX_TTL,
            callers: Callers::default(),
            epoch: 0,
        };
        Ok((role, credential))
    }

    /// The same role and credential, reading this.
    #[must_use]
    pub fn reading(&self, reads: &BTreeSet<RecordPath>) -> Self {
        Self { reads: reads.iter().map(ToString::to_string).collect(), ..self.clone() }
    }

    /// The same role and credential, for these.
    #[must_use]
    pub fn of(&self, callers: Callers) -> Self {
        Self { callers, ..self.clone() }
    }

    /// The same role; every token that was given for it is good no longer.
    #[must_use]
    pub fn revoked(&self) -> Self {
        Self { epoch: self.epoch + 1, ..self.clone() }
    }

    /// The same role with a new credential: the one of before, and every token that came of it, is good no longer.
    pub fn renewed(&self) -> Result<(Self, Credential), RolesError> {
        let (credential, secret_id) = Credential::generate()?;
        Ok((Self { role_id: credential.role_id.clone(), secret_id, ..self.revoked() }, credential))
    }

    /// What names the credential of this role: a token that was given for another one is good no longer.
    pub(super) fn credential(&self) -> &[u8; 32] {
        &self.secret_id
    }
}

impl Credential {
    /// A new one, and the digest of its secret-id.
    fn generate() -> Result<(Self, [u8; 32]), RolesError> {
        let (role_id, secret_id) = (random_uuid()?, Material::from(random_uuid()?));
        let digest = sha256(secret_id.expose()); // EXPOSE: digested
        Ok((Self { role_id, secret_id }, digest))
    }
}

impl Roles {
    /// These roles.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        Self(roles.into_iter().collect())
    }

    /// Reads a node's roles; none where there is no such file.
    pub fn read(file: &Path) -> Result<Self, RolesError> {
        let Some(text) = absence::read_private(file)? else { return Ok(Self::default()) };
        if edition::is_newer(&text, FORMAT) {
            return Err(RolesError::Newer { file: file.into() });
        }
        let read = serde_json::from_slice::<OnDisk>(&text).ok().filter(|r| r.format == FORMAT);
        read.map(|read| Self(read.roles)).ok_or_else(|| RolesError::Damaged { file: file.into() })
    }

    /// Writes a node's roles.
    pub fn write(&self, file: &Path) -> Result<(), RolesError> {
        let json = serde_json::to_vec_pretty(&OnDisk { format: FORMAT, roles: self.0.clone() })
            .expect("strings and numbers always have a JSON text");
        Ok(fs::replace(file, &json)?)
    }

    /// A role by name.
    pub fn named(&self, name: &RoleName) -> Option<&Role> {
        self.0.iter().find(|role| role.name == *name)
    }

    /// Every role.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.0.iter()
    }

    /// These roles with the credentials and epochs that are kept of them. One of which none is kept any more is none.
    #[must_use]
    pub fn as_kept(&self, kept: &Self) -> Self {
        let of = |role: &Role| {
            let kept = kept.named(&role.name)?;
            let (role_id, secret_id, epoch) = (kept.role_id.clone(), kept.secret_id, kept.epoch);
            Some(Role { role_id, secret_id, epoch, ..role.clone() })
        };
        Self(self.0.iter().filter_map(of).collect())
    }

    /// Adds a role, or replaces the one of that name.
    pub fn set(&mut self, role: Role) {
        self.0.retain(|known| known.name != role.name);
        self.0.push(role);
    }

    /// The role that this credential belongs to. Unknown role-ids take the same path, and the same time, as known ones.
    fn check(&self, role_id: &Material, secret_id: &Material) -> Option<&Role> {
        // EXPOSE: digested, so that the comparison depends on no length
        let (asked, shown) = (sha256(role_id.expose()), sha256(secret_id.expose()));
        let mut found = 0_u64;
        for (place, role) in (1..).zip(&self.0) {
            let fits: Choice = sha256(role.role_id.as_bytes()).ct_eq(&asked) & role.secret_id.ct_eq(&shown);
            found.conditional_assign(&place, fits);
        }
        let place = usize::try_from(found).ok()?.checked_sub(1)?;
        self.0.get(place)
    }

    /// Whether some role is for this user or key.
    pub(super) fn name(&self, peer: &Peer) -> bool {
        self.0.iter().any(|role| role.callers.has_uid(peer) || role.callers.has_key(peer))
    }

    /// Whether some role could be this peer's that does not name it, as far as its place tells: a key is told later, and a
    /// network says nothing.
    pub(super) fn may_be(&self, peer: &Peer) -> bool {
        matches!(peer.place, Place::Network(_)) || self.0.iter().any(|role| !role.callers.bound())
    }

    /// The role that this peer is known as without a credential. Who could be two must say which.
    pub(super) fn known(&self, peer: &Peer) -> Option<&Role> {
        let mut known = self.0.iter().filter(|role| role.callers.know(peer));
        known.next().filter(|_| known.next().is_none())
    }

    /// The role of this credential, where this peer may act as it.
    pub(super) fn admit(&self, role_id: &Material, secret_id: &Material, peer: &Peer) -> Result<&Role, Option<&Role>> {
        let role = self.check(role_id, secret_id).ok_or(None)?;
        match role.callers.admit(peer) {
            Decision::Granted => Ok(role),
            Decision::Denied => Err(Some(role)),
        }
    }

    /// Who may read what.
    pub fn grants(&self) -> Grants {
        let paths = |role: &Role| role.reads.iter().filter_map(|path| path.parse().ok()).collect();
        Grants::new(self.0.iter().map(|role| (role.name.clone(), paths(role))))
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn random_uuid() -> Result<String, RolesError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RolesError::Chance)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// Why roles cannot be read, written or made.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// The file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file cannot be understood.
    #[error("{} is damaged", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
    },
    /// The file is of a version that this program does not know.
    #[error("{} was written by a newer donjon", file.display())]
    Newer {
        /// Which file.
        file: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Chance,
}

const FORMAT: u32 = 1;
const TOKEN_TTL: u32 = 3600;
const TOKEN_MAX_TTL: u32 = 32 * 86400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_halves_of_one_credential_are_a_login() {
        let (a, ours) = Role::generate("a".parse().unwrap(), &BTreeSet::new()).unwrap();
        let (b, theirs) = Role::generate("b".parse().unwrap(), &BTreeSet::new()).unwrap();
        let roles = Roles::new([a.clone(), b]);
        let id = |credential: &Credential| Material::from(credential.role_id.clone());
        assert_eq!(roles.check(&id(&ours), &ours.secret_id), Some(&a));
        assert_eq!(roles.check(&id(&ours), &theirs.secret_id), None);
        assert_eq!(roles.check(&Material::from(String::new()), &ours.secret_id), None);
        assert_eq!(roles.check(&id(&ours), &Material::from(String::new())), None);
    }

    #[test]
    fn a_renewed_role_is_the_same_with_another_credential() {
        let (role, before) = Role::generate("a".parse().unwrap(), &["d/x".parse().unwrap()].into()).unwrap();
        let role = role.of(Callers { uids: [7].into(), ..Callers::default() });
        let (renewed, now) = role.renewed().unwrap();
        let roles = Roles::new([renewed.clone()]);
        let id = |credential: &Credential| Material::from(credential.role_id.clone());
        assert_eq!(roles.check(&id(&before), &before.secret_id), None);
        assert_eq!(roles.check(&id(&before), &now.secret_id), None, "both halves are new");
        assert_eq!(roles.check(&id(&now), &now.secret_id), Some(&renewed));
        assert_eq!((&renewed.reads, &renewed.callers), (&role.reads, &role.callers), "it opens to nobody else");
        assert_ne!(renewed.credential(), role.credential(), "no token of before is good");
    }

    #[test]
    fn what_is_kept_of_a_role_is_its_credential_and_epoch_and_nothing_else() {
        let (a, _) = Role::generate("a".parse().unwrap(), &["d/x".parse().unwrap()].into()).unwrap();
        let a = a.of(Callers { uids: [7].into(), ..Callers::default() });
        let (gone, _) = Role::generate("gone".parse().unwrap(), &BTreeSet::new()).unwrap();
        let (renewed, now) = a.renewed().unwrap();
        let other = renewed.reading(&["d/y".parse().unwrap()].into()).of(Callers::default());
        let kept = Roles::new([other, Role::generate("new".parse().unwrap(), &BTreeSet::new()).unwrap().0]);
        let roles = Roles::new([a, gone]).as_kept(&kept);
        assert_eq!(roles, Roles::new([renewed.clone()]), "who reads what is as it was");
        let role_id = Material::from(now.role_id.clone());
        assert_eq!(roles.check(&role_id, &now.secret_id), Some(&renewed));
    }

    #[test]
    fn the_file_holds_no_secret_id() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roles.json");
        let (role, credential) = Role::generate("a".parse().unwrap(), &["d/x".parse().unwrap()].into()).unwrap();
        Roles::new([role.clone()]).write(&file).unwrap();
        assert_eq!(Roles::read(&file).unwrap().named(&role.name), Some(&role));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&credential.role_id), "the control");
        assert!(!text.contains(credential.secret_id.expose_text().unwrap())); // EXPOSE: searched for
    }
}
