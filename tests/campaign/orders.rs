//! The two usual orders, under the same faults: change the account and then the record, or the record and then the account.

use super::{
    chance::Chance,
    outside::{Gate, Login},
};
use crate::{
    mariadb::{MariaDb, native_hash},
    proxy::{Act, Proxy},
};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use std::net::Ipv4Addr;

/// In which order a runbook does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// ALTER USER, then the record.
    AlterThenStore,
    /// The record, then ALTER USER: as kolla-ansible does it.
    StoreThenAlter,
}

/// What interrupts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interrupted {
    StatementLost,
    ReplyLost,
    Between,
}

/// Rotates so often, each time interrupted; says how often the record's value is refused afterwards, also when it is run again.
pub async fn lockouts(order: Order, trials: usize, seed: u64) -> usize {
    let server = MariaDb::start().await;
    let (proxy, port) = Proxy::tcp((Ipv4Addr::LOCALHOST, server.port).into()).await;
    let gate = Gate::to(&server).await;
    let mut chance = Chance::new(seed);
    let mut locked = 0;
    for trial in 0..trials {
        let mut record = format!("value-{trial}-before");
        server.account("nova", "%", &record).await;
        let all = [Interrupted::StatementLost, Interrupted::ReplyLost, Interrupted::Between];
        rotate(order, *chance.pick(&all), &proxy, port, &mut record, &format!("value-{trial}")).await;
        proxy.release();
        // The one who runs it again has the record, and nothing else.
        again(order, port, &mut record, &format!("value-{trial}-again")).await;
        locked += usize::from(gate.login("nova", "%", &record).await != Login::Accepted);
    }
    locked
}

async fn rotate(order: Order, how: Interrupted, proxy: &Proxy, port: u16, record: &mut String, new: &str) {
    match how {
        Interrupted::StatementLost => proxy.set("ALTER USER", 0, Act::LoseStatement),
        Interrupted::ReplyLost => proxy.set("ALTER USER", 0, Act::LoseReply),
        Interrupted::Between => {}
    }
    let old = record.clone();
    match order {
        Order::AlterThenStore => {
            let done = alter(port, &old, new).await;
            // An error is taken for "nothing happened".
            if done && how != Interrupted::Between {
                *record = new.to_owned();
            }
        }
        Order::StoreThenAlter => {
            *record = new.to_owned();
            if how != Interrupted::Between {
                alter(port, &old, new).await;
            }
        }
    }
}

async fn again(order: Order, port: u16, record: &mut String, new: &str) {
    let old = record.clone();
    if order == Order::StoreThenAlter {
        *record = new.to_owned();
    }
    if alter(port, &old, new).await {
        *record = new.to_owned();
    }
}

async fn alter(port: u16, value: &str, new: &str) -> bool {
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).prefer_socket(false);
    let Ok(mut conn) = Conn::new(options.user(Some("nova")).pass(Some(value))).await else { return false };
    let hash = native_hash(new);
    conn.query_drop(format!("ALTER USER nova@'%' IDENTIFIED VIA mysql_native_password USING '{hash}'")).await.is_ok()
}
