//! Bundles for many sites: the processor's time and the memory that making them takes, and what opening one takes.
//!
//! usage: sites seal SITES SECRETS FOLDER     makes a bundle for each site, and says in a line of JSON what that took
//!        sites open FILE IDENTITY NAME       opens one bundle as a node does, and looks one record up
//!                                            (`make bench-sites` calls it)

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends where it stands")]

use donjon::transfer::{
    Places,
    authority::Authority,
    bundle::{Checks, Epoch, Identities, Item, Recipients, Scope, Sealed, Sealer, Signing},
    export::{Request, Wanted, export},
    exposure,
    key::{PublicKey, SigningKey},
};
use donjon_drivers::{
    material::Material,
    memory::Wiping,
    store::{
        Document, Expected, RecordPath, Store, Version, Which,
        memory::Memory,
        secret::{Origin, SecretRecord, SecretValue},
    },
};
use rustix::time::{ClockId, clock_gettime};
use std::{path::Path, time::Instant};

// As the program itself has it.
#[global_allocator]
static MEMORY: Wiping = Wiping;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seal", sites, secrets, folder] => {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(make(sites.parse().unwrap(), secrets.parse().unwrap(), Path::new(folder)));
        }
        ["open", file, identity, name] => open(Path::new(file), Path::new(identity), name),
        // `cargo test` runs every bench without words.
        _ => {}
    }
}

/// A store with so many secrets, and a bundle of all of them for each of so many sites, one recipient each.
async fn make(sites: usize, secrets: usize, folder: &Path) {
    use age::secrecy::ExposeSecret;
    let (store, places) = (Memory::default(), Places::new("site1".parse().unwrap()).unwrap());
    let mut closure = Vec::new();
    for number in 0..secrets {
        let path: RecordPath = format!("site1/secret_{number:04}").parse().unwrap();
        store.write(&path, &record(number), Expected::Absent).await.unwrap();
        closure.push(Wanted { path, which: Which::Latest });
    }
    let authority = Authority::ensure(&store, &places, CREATED).await.unwrap();
    let nodes: Vec<age::x25519::Identity> = (0..sites).map(|_| age::x25519::Identity::generate()).collect();
    let recipients: Vec<Recipients> =
        nodes.iter().map(|node| Recipients::parse([node.to_public().to_string().as_str()]).unwrap()).collect();
    let scope = |number: usize| Scope::Site {
        site: format!("edge{number}").parse().unwrap(),
        role: "compute".parse().unwrap(),
        host: None,
    };

    // The format alone, from records that are at hand.
    let records: Vec<Document> = (0..secrets).map(record).collect();
    let pairs = closure.iter().zip(&records);
    let items: Vec<Item<'_>> =
        pairs.map(|(wanted, document)| Item { path: &wanted.path, version: Version(1), document }).collect();
    let (deployment, key) = ("site1".parse().unwrap(), SigningKey::generate().unwrap());
    let (cpu, mut bytes) = (processor(), 0);
    for (number, recipients) in recipients.iter().enumerate() {
        let mut sealer = Sealer::begin(&deployment, scope(number), recipients, items.len(), folder).unwrap();
        items.iter().for_each(|item| sealer.add(item).unwrap());
        let (created, not_after) = (CREATED, CREATED + LIFETIME);
        let signing = Signing { epoch: Epoch(1), created, not_after, authority: &key, chain: &[] };
        bytes += sealer.finish(&signing).unwrap().file.length();
    }
    let sealed = processor() - cpu;
    drop(items);
    drop(records);

    // All that `export bundle` does once it has its records, the ledger of exports included, and the files.
    let (cpu, begun) = (processor(), Instant::now());
    for (number, recipients) in recipients.iter().enumerate() {
        let texts = recipients.texts().collect();
        let given = exposure::effective(&store, &places, &scope(number), texts).await.unwrap();
        let recipients = Recipients::parse(given.iter().map(String::as_str)).unwrap();
        let request =
            Request { scope: scope(number), closure: &closure, recipients: &recipients, lifetime: LIFETIME, folder };
        let bundle = export(&store, &places, &authority, &request, CREATED).await.unwrap();
        bundle.write(&folder.join(format!("edge{number}.donjon"))).unwrap();
    }
    let (exported, wall) = (processor() - cpu, begun.elapsed());
    donjon_drivers::fs::replace(&folder.join("identity"), nodes[0].to_string().expose_secret().as_bytes()).unwrap();
    donjon_drivers::fs::replace(&folder.join("authority.pem"), authority.public().to_pem().as_bytes()).unwrap();
    println!(
        "{{\"sites\":{sites},\"secrets\":{secrets},\"seal_cpu\":{sealed},\"export_cpu\":{exported},\"export\":{},\"peak_kb\":{},\"bytes\":{bytes}}}",
        wall.as_secs_f64(),
        peak()
    );
}

/// A record as the broker writes it.
fn record(number: usize) -> Document {
    let value = format!("{number:08}-a-value-of-forty-characters-all-in");
    let record = SecretRecord {
        name: format!("secret_{number:04}").parse().unwrap(),
        value: SecretValue::Whole(Material::from(value)),
        created: CREATED,
        origin: Origin::Generated,
        user: None,
    };
    record.to_document().unwrap()
}

/// What a node does before it answers: the shape, the signature by the pinned key, the age, the encryption, each digest.
fn open(file: &Path, identity: &Path, name: &str) {
    let bytes = std::fs::read(file).unwrap();
    let identities = Identities::parse(&Material::new(std::fs::read(identity).unwrap())).unwrap();
    let pin = PublicKey::from_pem(&std::fs::read(file.with_file_name("authority.pem")).unwrap()).unwrap();
    let checks = Checks { pin: Some(&pin), now: CREATED + 1, ..Checks::default() };
    let opened = Sealed::parse(&bytes).unwrap().verify(&checks).unwrap().open(&identities).unwrap();
    let record = opened.records().iter().find(|record| record.path.as_str() == name).unwrap();
    println!("{}", record.document.text().len());
}

/// Seconds of the processor that this process has had.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most memory that it ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

const CREATED: i64 = 1_700_000_000;
const LIFETIME: i64 = 90 * 24 * 3600;
