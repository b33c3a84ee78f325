//! What the daemon answers from memory: never what another has replaced, and nothing for long when the Vault is away.

use donjon::socket::{
    client::Client,
    message::{Asked, Request},
};
use donjon_drivers::store::{Version, secret::Part, vault::Trust};
use donjon_tests::{donjon::Donjon, openbao::OpenBao, process::wait_for, wait::until};
use std::{
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A daemon of its own on a server that is there.
fn daemon(server: &OpenBao, lease: u32) -> Donjon {
    started(Donjon::new(), server, lease)
}

fn started(mut donjon: Donjon, server: &OpenBao, lease: u32) -> Donjon {
    let Trust::Only(authority) = &server.address().trust else { panic!("the server has its own authority") };
    let path = donjon.home().join("ca.pem");
    donjon_drivers::fs::replace(&path, authority).expect("a temporary file can be written");
    let token = server.root().expose_text().unwrap().to_owned(); // EXPOSE: the root token of a server of this test
    for (name, value) in [
        ("BAO_ADDR", server.address().url.as_str()),
        ("BAO_TOKEN", &token),
        ("BAO_CACERT", &path.display().to_string()),
        ("DONJON_MOUNT", "kv"),
    ] {
        donjon.set(name, value);
    }
    donjon.describe(&format!("deployment: site1\nread_lease: {lease}\n"));
    donjon.up();
    donjon
}

fn client(donjon: &Donjon) -> Client {
    Client::at(&donjon.home().join("run/donjon.sock")).expect("the daemon listens")
}

fn read(client: &mut Client) -> Result<String, u8> {
    let names = vec![Asked { name: "x".to_owned(), part: Part::Whole }];
    let request = Request::Read { names, version: None, epoch: None };
    let reply = client.ask_quietly(&request, Vec::new()).map_err(|failure| u8::from(failure.code))?;
    Ok(reply.materials[0].expose_text().unwrap().to_owned()) // EXPOSE: a test value
}

/// Neither the value nor the broker's token stands in what was told, whatever failed, at the finest level.
#[track_caller]
fn told_nothing(server: &OpenBao, donjon: &Donjon) {
    let token = server.root().expose_text().unwrap(); // EXPOSE: the root token of a server of this test
    assert_eq!(donjon.tells(&["a-value-long-enough", token]), [] as [PathBuf; 0]);
}

/// Asks until the value is answered from memory.
fn warm(donjon: &Donjon) {
    wait_for("the value to be kept", Duration::from_secs(60), || {
        read(&mut client(donjon)).expect("the store answers");
        donjon.run(&["status", "--output", "json"]).json()["memory"]["kept"] != 0
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_is_answered_everywhere_at_once() {
    let server = OpenBao::start().await;
    let (publisher, other) = (daemon(&server, 1), daemon(&server, 1));
    let put = |n: u64| publisher.run_with_input(&["put", "x"], format!("value-number-{n}").as_bytes()).ok();
    put(0);
    warm(&publisher);
    warm(&other);
    let (done, published) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asking: Vec<_> = [&publisher, &other]
        .map(|donjon| {
            let (mut client, done, published) = (client(donjon), done.clone(), published.clone());
            std::thread::spawn(move || {
                let mut answers = 0_u64;
                while !done.load(Ordering::SeqCst) {
                    let least = published.load(Ordering::SeqCst);
                    let answer = read(&mut client).expect("it is answered");
                    let number: u64 = answer.rsplit('-').next().and_then(|n| n.parse().ok()).expect("a number");
                    assert!(number >= least, "{number} was answered after {least} had been published");
                    answers += 1;
                }
                answers
            })
        })
        .into();
    for n in 1..=4 {
        put(n);
        published.store(n, Ordering::SeqCst);
        for donjon in [&publisher, &other] {
            assert_eq!(donjon.run(&["get", "x"]).ok(), format!("value-number-{n}"));
        }
        let of = |version: &str| publisher.run(&["get", "x", "--version", version]).ok();
        assert_eq!((of("1"), of("previous")), ("value-number-0".into(), format!("value-number-{}", n - 1)));
    }
    done.store(true, Ordering::SeqCst);
    for thread in asking {
        assert!(thread.join().expect("nothing old was answered") > 10, "the control: it was asked all the time");
    }
    let readers = async || server.store().list(&"donjon-private/site1/readers".parse().unwrap()).await.unwrap();
    assert_eq!(readers().await.len(), 2);
    other.run(&["down", "--no-search"]).ok();
    let left =
        until("its record to go", Duration::from_secs(20), async || Some(readers().await).filter(|r| r.len() < 2));
    assert!(left.await.len() <= 1, "one that has ended is not waited for");
}

/// What the mask of a run of Ansible asks for.
fn replaced(client: &mut Client, epoch: Option<u64>) -> Result<Vec<(String, String)>, u8> {
    let names = ["x", "y", "z"].map(|name| Asked { name: name.to_owned(), part: Part::Whole }).into();
    let reply = client.ask_quietly(&Request::Replaced { names, epoch }, Vec::new());
    let reply = reply.map_err(|failure| u8::from(failure.code))?;
    let names: Vec<String> = serde_json::from_value(reply.value["names"].clone()).expect("names");
    let values = reply.materials.iter().map(|value| value.expose_text().unwrap().to_owned()); // EXPOSE: test values
    Ok(names.into_iter().zip(values).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_replaced_is_told_together_of_those_that_were_changed() {
    let server = OpenBao::start().await;
    let donjon = daemon(&server, 1);
    let put = |name: &str, n: u64| donjon.run_with_input(&["put", name], format!("{name}-value-{n}").as_bytes()).ok();
    for (name, times) in [("x", 1), ("y", 2), ("z", 3)] {
        (1..=times).for_each(|n| drop(put(name, n)));
    }
    let mut client = client(&donjon);
    let pair = |name: &str, n: u64| (name.to_owned(), format!("{name}-value-{n}"));
    assert_eq!(replaced(&mut client, None), Ok(vec![pair("y", 1), pair("z", 2)]));
    let epoch = client.ask_quietly(&Request::Names, Vec::new()).unwrap().value["epoch"].as_u64().unwrap();
    assert_eq!(replaced(&mut client, Some(epoch)), Ok(vec![pair("y", 1), pair("z", 2)]));
    assert_eq!(replaced(&mut client, Some(epoch - 1)), Err(5), "a run that is pinned to another epoch hears that");
    let [y, z] = ["y", "z"].map(|name| format!("site1/{name}").parse().unwrap());
    server.store().destroy(&y, &[Version(1)]).await.unwrap();
    server.store().destroy(&z, &[Version(2)]).await.unwrap();
    assert_eq!(replaced(&mut client, None), Ok(vec![pair("z", 1)]), "what was destroyed is nothing that a diff shows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_vault_away_it_answers_within_the_lease_and_not_after() {
    let mut server = OpenBao::start().await;
    let donjon = started(Donjon::verbose(), &server, 5);
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    warm(&donjon);
    let mut client = client(&donjon);
    server.kill();
    let gone = Instant::now();
    assert_eq!(read(&mut client), Ok("a-value-long-enough".to_owned()));
    let (mut code, mut answered) = (0, Duration::ZERO);
    wait_for("the lease to run out", Duration::from_secs(60), || {
        let asked = gone.elapsed();
        match read(&mut client) {
            Ok(_) => answered = asked,
            Err(refused) => code = refused,
        }
        code != 0
    });
    assert_eq!(code, 6);
    // The lease counts from a question that the server answered, so however loaded the machine is, nothing that is asked later
    // is answered.
    assert!(answered < Duration::from_secs(5), "it answered what was asked {answered:?} after the server had gone");
    assert_eq!(read(&mut client), Err(6), "and it stays so");
    let error = donjon.run(&["get", "x"]).failed(6);
    assert!(error.contains("did not answer"), "{error}");
    told_nothing(&server, &donjon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_vault_ends_it_and_an_unsealed_one_begins_it_again() {
    let server = OpenBao::start().await;
    let donjon = started(Donjon::verbose(), &server, 10);
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    warm(&donjon);
    let mut client = client(&donjon);
    server.seal().await;
    // Long before the lease is over: at the next look.
    wait_for("the daemon to see it", Duration::from_secs(9), || read(&mut client) == Err(6));
    server.unseal().await;
    assert_eq!(read(&mut client), Ok("a-value-long-enough".to_owned()));
    told_nothing(&server, &donjon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_not_in_memory_that_root_reads() {
    let server = OpenBao::start().await;
    let donjon = daemon(&server, 5);
    let value = "Qm7vXc2LkTz9RwYd4HsPn6JfBg3NaEoU";
    donjon.run_with_input(&["put", "x"], value.as_bytes()).ok();
    warm(&donjon);
    let pid = donjon.daemon().expect("it runs");
    let found = |needle: &str| occurrences(pid, needle.as_bytes());
    let home = donjon.home().display().to_string();
    assert!(found(&home) > 0 && found("a-text-that-is-nowhere") == 0, "the control: its memory is read");
    // The connection that it came by is closed a moment after it was last used.
    wait_for("the value to be in no memory that root reads", Duration::from_secs(60), || {
        assert_eq!(read(&mut client(&donjon)).as_deref(), Ok(value));
        let halves = [&value[..16], &value[16..]];
        halves.iter().all(|half| found(half) == 0 && found(&hex(half)) == 0)
    });
    // The looks may have taken longer than it is kept for nobody.
    assert_eq!(read(&mut client(&donjon)).as_deref(), Ok(value));
    let status = donjon.run(&["status", "--output", "json"]).json();
    assert_eq!(status["memory"]["kept"], 1, "and yet it is kept: {status}");
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

/// How often it stands in what a process has mapped for writing.
fn occurrences(pid: i32, needle: &[u8]) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process runs");
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("root reads it");
    let mut found = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw"))) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let at = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let mut bytes = vec![0; usize::try_from(at(range.1) - at(range.0)).expect("it fits")];
        // Secret pages are refused, and that is the point.
        if memory.read_exact_at(&mut bytes, at(range.0)).is_ok() {
            found += bytes.windows(needle.len()).filter(|window| *window == needle).count();
        }
    }
    found
}
