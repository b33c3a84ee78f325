//! Drains on a real HAProxy: clients see nothing of a restart, and would have without.

use donjon_drivers::{
    drain::{
        Drain, DrainError, Left, Mode, Standing,
        registry::{DRAINS, Place},
    },
    host::{Host, local::Local},
};
use donjon_tests::{debian_root::DebianRoot, haproxy::Haproxy, wait};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

fn open_with(host: Arc<dyn Host>, options: Value) -> Arc<dyn Drain> {
    let hosts = [("local".to_owned(), Arc::clone(&host)), ("far".to_owned(), host)];
    let place = Place { host_name: "w1".into(), hosts: Arc::new(hosts.into()) };
    DRAINS.open("haproxy", &serde_json::from_value(options).unwrap(), "services.s.drain", place).unwrap()
}

fn open(options: Value) -> Arc<dyn Drain> {
    open_with(Arc::new(Local::new("local", vec![])), options)
}

fn unix(proxy: &Haproxy, server: &str) -> Arc<dyn Drain> {
    open(json!({"backend": "web", "server": server, "proxies": [{"socket": proxy.socket()}], "well": 30}))
}

async fn runtime(proxy: &Haproxy, command: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(proxy.socket()).await.unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.trim(), "");
}

/// Clients that ask without pause and count.
struct Clients {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    fn start(proxy: &Haproxy) -> Self {
        let (ended, answered, failed): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let loops = ["/", "/", "/", "/slow", "/slow"].map(|path| {
            let (ended, answered, failed) = (Arc::clone(&ended), Arc::clone(&answered), Arc::clone(&failed));
            let url = proxy.url(path);
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                while !ended.load(Relaxed) {
                    let answer = client.get(&url).send().await.and_then(reqwest::Response::error_for_status);
                    let whole = match answer {
                        Ok(answer) => answer.bytes().await.is_ok(),
                        Err(_) => false,
                    };
                    if whole { &answered } else { &failed }.fetch_add(1, Relaxed);
                }
            })
        });
        Self { ended, answered, failed, tasks: loops.into() }
    }

    /// Waits until so many more were answered.
    async fn answered(&self, more: u64) {
        let until = self.answered.load(Relaxed) + more;
        wait::until("clients to be answered", BOUND, async || (self.answered.load(Relaxed) >= until).then_some(()))
            .await;
    }

    /// How many failed.
    async fn end(self) -> (u64, u64) {
        self.ended.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        (self.answered.load(Relaxed), self.failed.load(Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_sees_the_restart_of_a_drained_server() {
    let mut proxy = Haproxy::start("check");
    // The control: without a drain they do.
    let clients = Clients::start(&proxy);
    clients.answered(100).await;
    proxy.restart(0);
    clients.answered(100).await;
    let (_, failed) = clients.end().await;
    assert!(failed > 0, "a killed server is seen by nobody: the clients are blind");

    let drains = [("w1", 0), ("w2", 1)].map(|(server, at)| (unix(&proxy, server), at));
    let clients = Clients::start(&proxy);
    clients.answered(100).await;
    for (drain, at) in &drains {
        let before = drain.standing().await.unwrap();
        assert_eq!(before, Standing(vec![Mode::Ready]));
        // HAProxy must have seen the other one well after its own restart.
        assert_eq!(drain.drain().await.unwrap(), Left(0));
        assert_eq!(drain.standing().await.unwrap(), Standing(vec![Mode::Drain]));
        proxy.restart(*at);
        clients.answered(100).await;
        drain.release(&before).await.unwrap();
        assert_eq!(drain.standing().await.unwrap(), before);
        clients.answered(100).await;
    }
    let (answered, failed) = clients.end().await;
    assert_eq!(failed, 0, "of {answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_server_is_not_drained_and_one_that_is_ill_is_not_released() {
    let mut proxy = Haproxy::start("check");
    let (first, second) = (unix(&proxy, "w1"), unix(&proxy, "w2"));
    let before = first.standing().await.unwrap();
    first.drain().await.unwrap();
    let refused = second.drain().await.unwrap_err();
    assert!(matches!(&refused, DrainError::Last { server, .. } if server == "web/w2"), "{refused}");
    assert_eq!(second.standing().await.unwrap(), before, "it stands as it stood");
    // Draining again changes nothing, and is no error.
    assert_eq!(first.drain().await.unwrap(), Left(0));

    proxy.kill(0);
    let ill = open(json!({"backend": "web", "proxies": [{"socket": proxy.socket()}], "well": 1}));
    let refused = ill.release(&before).await.unwrap_err();
    assert!(matches!(refused, DrainError::NotWell { seconds: 1, .. }), "{refused}");
    assert_eq!(first.standing().await.unwrap(), Standing(vec![Mode::Drain]), "it stays drained");
    proxy.restart(0);
    ill.restore(&before).await.unwrap();
    first.release(&before).await.unwrap();

    // A broker that died in between: all that another has is what was kept.
    first.drain().await.unwrap();
    let kept: Standing = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
    unix(&proxy, "w1").restore(&kept).await.unwrap();
    assert_eq!(first.standing().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_took_out_stays_out() {
    let proxy = Haproxy::start("check");
    let drain = unix(&proxy, "w1");
    for (state, mode) in [("maint", Mode::Maintenance), ("drain", Mode::Drain)] {
        runtime(&proxy, &format!("set server web/w1 state {state}")).await;
        let before = drain.standing().await.unwrap();
        assert_eq!(before, Standing(vec![mode]));
        assert_eq!(drain.drain().await.unwrap(), Left(0));
        drain.release(&before).await.unwrap();
        assert_eq!(drain.standing().await.unwrap(), before);
        drain.restore(&before).await.unwrap();
        assert_eq!(drain.standing().await.unwrap(), before);
    }
    // Also where that was after clients were led away.
    runtime(&proxy, "set server web/w1 state ready").await;
    let before = drain.standing().await.unwrap();
    drain.drain().await.unwrap();
    runtime(&proxy, "set server web/w1 state maint").await;
    drain.restore(&before).await.unwrap();
    assert_eq!(drain.standing().await.unwrap(), Standing(vec![Mode::Maintenance]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_leave_are_counted() {
    let proxy = Haproxy::start("");
    let drain = open(json!({"backend": "web", "proxies": [{"socket": proxy.address()}], "leave": 0}));
    let before = drain.standing().await.unwrap();
    let url = proxy.url("/slow");
    // They ask again and again: all of one moment may be the other server's.
    let counted = Arc::new(AtomicBool::new(false));
    let asks = || {
        let (url, counted) = (url.clone(), Arc::clone(&counted));
        tokio::spawn(async move {
            while !counted.load(Relaxed) {
                assert!(reqwest::get(&url).await.unwrap().status().is_success(), "a drain cuts nobody off");
            }
        })
    };
    let slow: Vec<_> = (0..4).map(|_| asks()).collect();
    let left = wait::until("a client that stays", BOUND, async || match drain.drain().await.unwrap() {
        Left(0) => {
            drain.restore(&before).await.unwrap();
            None
        }
        left => Some(left),
    });
    assert!(left.await.0 > 0);
    counted.store(true, Relaxed);
    for asking in slow {
        asking.await.unwrap();
    }
    // Without checks there is nothing to wait for.
    drain.release(&before).await.unwrap();
    assert_eq!(drain.standing().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_on_another_host_is_reached_through_it() {
    let debian = DebianRoot::boot().await;
    let proxy = Haproxy::start_in(tempfile::tempdir_in(debian.folder()).unwrap(), "check");
    let socket = format!("/test/{}", proxy.socket().strip_prefix(debian.folder()).unwrap().display());
    let relay = json!([
        "perl",
        "-MIO::Socket::UNIX",
        "-e",
        "$s=IO::Socket::UNIX->new(shift) or exit 4;print $s <STDIN>;print <$s>",
        socket
    ]);
    for far in [json!({"socket": socket, "host": "far"}), json!({"socket": socket, "host": "far", "relay": relay})] {
        // Two ways to one proxy are drained as two proxies are.
        let proxies = json!([far, {"socket": proxy.socket()}]);
        let drain =
            open_with(Arc::new(debian.host("far")), json!({"backend": "web", "server": "{host}", "proxies": proxies}));
        let before = drain.standing().await.unwrap();
        assert_eq!(before, Standing(vec![Mode::Ready, Mode::Ready]));
        drain.drain().await.unwrap();
        assert_eq!(unix(&proxy, "w1").standing().await.unwrap(), Standing(vec![Mode::Drain]));
        drain.release(&before).await.unwrap();
    }
    let nobody = open_with(
        Arc::new(debian.host("far")),
        json!({"backend": "web", "proxies": [{"socket": "/nowhere", "host": "far"}]}),
    );
    let error = nobody.standing().await.unwrap_err();
    assert!(matches!(error, DrainError::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_haproxy_refuses_is_told() {
    let proxy = Haproxy::start("check");
    let drain = |backend: &str, server: &str, socket: Value| {
        open(json!({"backend": backend, "server": server, "proxies": [{"socket": socket}]}))
    };
    let socket = json!(proxy.socket());
    for (drain, part) in [
        (drain("nowhere", "w1", socket.clone()), "Can't find backend"),
        (drain("web", "w9", socket.clone()), "there is no server web/w9"),
    ] {
        let error = drain.drain().await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // One of two proxies cannot be reached: the other one stands as it stood.
    let proxies = json!([{"socket": socket}, {"socket": "127.0.0.1:1"}]);
    let half = open(json!({"backend": "web", "proxies": proxies}));
    assert!(matches!(half.drain().await.unwrap_err(), DrainError::Unreachable { .. }));
    assert_eq!(unix(&proxy, "w1").standing().await.unwrap(), Standing(vec![Mode::Ready]));

    let place = || Place { host_name: "h".into(), hosts: Arc::default() };
    for (options, part) in [
        (json!({"backend": "a b", "proxies": [{"socket": "/x"}]}), "no name of a backend"),
        (json!({"backend": "a;shutdown", "proxies": [{"socket": "/x"}]}), "no name of a backend"),
        (json!({"backend": "a", "proxies": [{"socket": "x"}]}), "neither an absolute path nor address:port"),
        (json!({"backend": "a", "proxies": [{"socket": "/x", "host": "h9"}]}), "`h9`, which is not under `hosts`"),
    ] {
        let options = serde_json::from_value(options).unwrap();
        let mistakes = DRAINS.open("haproxy", &options, "d", place()).map(|_| ()).unwrap_err();
        assert!(mistakes[0].what.contains(part), "{mistakes:?}");
    }
}

const BOUND: Duration = Duration::from_secs(60);
