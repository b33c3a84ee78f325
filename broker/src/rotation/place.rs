//! A place: a credential of a rotation, the target that holds it, and who changes it there.

use super::{
    Rotation, Subject, checkpoint,
    journal::{Credential, Item},
    probe,
    turn::Turn,
    values::{Both, Login, Side, Values},
};
use crate::failure::Failure;
use donjon_drivers::{
    material::Material,
    target::{
        Account, Admin, Mark, Node, Target, TargetError,
        fence::{Fence, Fenced, Fencing},
    },
};

/// One credential of one secret, at its target.
pub struct Place<'a> {
    /// The secret.
    pub item: &'a Item,
    /// The credential.
    pub credential: &'a Credential,
    /// The target.
    pub target: &'a dyn Target,
    subject: &'a Subject,
    pair: &'a Both,
    login: &'a Login,
    known: Vec<&'a Material>,
    turn: Turn<'a>,
}

/// Every credential of what the rotation holds.
pub fn places<'a>(rotation: &'a Rotation<'_>, values: &'a Values) -> Vec<Place<'a>> {
    let place = |item: &'a Item, credential: &'a Credential| {
        let login = values.administrator(&credential.target);
        Place {
            item,
            credential,
            target: &*rotation.subject.targets[&credential.target].target,
            subject: rotation.subject,
            pair: values.of(&item.secret),
            login,
            known: login.values(),
            turn: rotation.turn(),
        }
    };
    rotation.items().into_iter().flat_map(|item| item.credentials.iter().map(move |c| place(item, c))).collect()
}

impl Place<'_> {
    /// One of the secret's two values.
    pub fn value(&self, side: Side) -> &Material {
        self.pair.side(side)
    }

    /// Makes an account accept exactly these of the two values, the likeliest first.
    pub async fn declare(&self, account: &Account, sides: &[Side]) -> Result<(), Failure> {
        self.asked().await?;
        let values: Vec<&Material> = sides.iter().map(|side| self.value(*side)).collect();
        self.told(self.target.declare(&self.admin(), account, &values).await)
    }

    /// Makes several accept them; `point` is reached with each that a node has been told of.
    pub async fn declare_all(&self, accounts: &[Account], sides: &[Side], point: &str) -> Result<(), Failure> {
        if self.target.fencing() == Fencing::Caller {
            for account in accounts {
                self.declare(account, sides).await?;
                checkpoint::reached(point);
            }
            return Ok(());
        }
        let accounts: Vec<&Account> = accounts.iter().collect();
        let values: Vec<&Material> = sides.iter().map(|side| self.value(*side)).collect();
        let done = || checkpoint::reached(point);
        self.told(self.target.declare_all(&self.admin(), &accounts, &values, &done).await)
    }

    /// Gives an account its twin, which accepts the new value.
    pub async fn twin(&self, account: &Account, twin: &Account) -> Result<(), Failure> {
        self.asked().await?;
        self.told(self.target.twin(&self.admin(), account, twin, self.value(Side::New)).await)
    }

    /// Removes an account.
    pub async fn remove(&self, account: &Account) -> Result<(), Failure> {
        self.asked().await?;
        self.told(self.target.remove(&self.admin(), account).await)
    }

    /// Ends a user's sessions on a node, up to a mark.
    pub async fn end_sessions(&self, node: &Node, user: &str, until: Mark) -> Result<(), Failure> {
        self.told(self.target.end_sessions(&self.admin(), node, user, until).await)
    }

    fn admin(&self) -> Admin<'_> {
        self.login.admin(&self.known, Some(&self.turn))
    }

    /// Is it still this broker's to change? A target that can hold others off meanwhile asks by itself.
    async fn asked(&self) -> Result<(), Failure> {
        match self.target.fencing() {
            Fencing::Target => Ok(()),
            Fencing::Caller => {
                let node = self.target.nodes().first().map(|node| node.name.clone()).unwrap_or_default();
                let fenced = |source: Fenced| TargetError::Fenced { node, source };
                self.told(self.turn.holds().await.map_err(fenced))
            }
        }
    }

    fn told<T>(&self, answer: Result<T, TargetError>) -> Result<T, Failure> {
        answer.map_err(|error| probe::failed(self.subject, &self.credential.target, &error))
    }
}
