//! OpenBao's own `database/rotate-root` under one lost reply.

use super::outside::{Gate, Login};
use crate::{mariadb::MariaDb, openbao::OpenBao, wire::Wire};
use donjon_drivers::{
    material::Material,
    store::vault::{Call, CallError, Connection},
};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// Loses one reply of the server after the other, each on a fresh account. Says how many replies were lost, and after how
/// many of them neither the old value nor OpenBao got in any more.
pub async fn loses_its_password() -> (usize, usize) {
    let (server, vault) = (MariaDb::start().await, OpenBao::start().await);
    let wire = Wire::before((Ipv4Addr::LOCALHOST, server.port).into()).await;
    let gate = Gate::to(&server).await;
    let connection = vault.connection();
    done(&connection, "sys/mounts/database", &json!({"type": "database"})).await.unwrap();
    let (mut lost, mut locked) = (0, 0);
    for number in 0..REPLIES {
        let old = format!("root-value-{number}");
        server.account(KEEPER, "%", &old).await;
        let described = json!({
            "plugin_name": "mysql-database-plugin",
            "connection_url": format!("{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{})/", wire.port),
            "username": KEEPER, "password": old, "allowed_roles": "*",
        });
        let name = format!("database/config/db{number}");
        done(&connection, &name, &described).await.unwrap();
        wire.lose_answer(number);
        // It may say that it failed, or try again by itself.
        let _ = done(&connection, &format!("database/rotate-root/db{number}"), &json!({})).await;
        wire.calm();
        if !wire.has_lost() {
            continue;
        }
        lost += 1;
        let refused = gate.login(KEEPER, "%", &old).await == Login::Refused;
        let again = done(&connection, &format!("database/rotate-root/db{number}"), &json!({})).await;
        locked += usize::from(refused && again.is_err());
    }
    (lost, locked)
}

async fn done(connection: &Connection, path: &str, body: &Value) -> Result<(), CallError> {
    connection.call(Call::post(path, Material::from(body.to_string()))).await.map(drop)
}

/// How many replies are lost in turn: more than one rotation waits for.
const REPLIES: usize = 14;
/// The account that OpenBao has to itself.
const KEEPER: &str = "keeper";
