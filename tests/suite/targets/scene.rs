//! What the tests of MariaDB begin with: a server, an administrator who stays, and short words for the rest.

use donjon_drivers::{
    material::Material,
    target::{
        Account, Admin, Survey, Target, TargetError,
        mariadb::{Limits, MariaDb as Driver},
    },
};
use donjon_tests::mariadb::MariaDb;
use mysql_async::{Conn, OptsBuilder};

/// An administrator who is none of the accounts under test.
pub(super) const ADMIN: &str = "keeper";
pub(super) const ADMIN_VALUE: &str = "keeper-value-1";

pub(super) fn material(text: &str) -> Material {
    Material::from(text.to_owned())
}

pub(super) fn account(user: &str, host: &str) -> Account {
    Account { user: user.into(), host: host.into() }
}

pub(super) fn driver(server: &MariaDb) -> Driver {
    Driver::new(vec![server.member("db1")], Limits::default())
}

pub(super) async fn start(extra: &[&str]) -> MariaDb {
    let server = MariaDb::start_with(extra).await;
    server.account(ADMIN, "localhost", ADMIN_VALUE).await;
    server
}

pub(super) async fn survey(driver: &Driver, user: &str, known: &[&Material]) -> Survey {
    let value = material(ADMIN_VALUE);
    driver.survey(&Admin { user: ADMIN, values: &[&value], fence: None, passes: &[] }, user, known).await.unwrap()
}

pub(super) async fn declare(driver: &Driver, account: &Account, values: &[&Material]) -> Result<(), TargetError> {
    let value = material(ADMIN_VALUE);
    driver.declare(&Admin { user: ADMIN, values: &[&value], fence: None, passes: &[] }, account, values).await
}

/// A session that stays open.
pub(super) async fn session(server: &MariaDb, user: &str, value: &str) -> Conn {
    let opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(server.port)
        .prefer_socket(false)
        .user(Some(user))
        .pass(Some(value));
    Conn::new(opts).await.unwrap()
}
