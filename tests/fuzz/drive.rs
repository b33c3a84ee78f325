//! What a parser is given and what must hold then: by the fuzzer any bytes, by the suite the kept ones.
#![expect(clippy::unwrap_used, reason = "what must hold and does not ends the run")]

use donjon::{
    records::Layout,
    rotation::journal::Held,
    transfer::{
        Places,
        authority::Authority,
        bundle::{Checks, Identities, Opened, Recipients, Scope, Sealed},
        export::{Request, Wanted, export},
        key::{PublicKey, SigningKey},
        receipt::{Act, Receipt, accept},
    },
};
use donjon_drivers::{
    material::Material,
    source::ini,
    store::{Document, Expected, Store, Which, memory::Memory},
};
use std::{path::Path, sync::OnceLock};

/// The kept bundle of each format, its authority's key, and who opens it.
const BUNDLES: [(&[u8], &[u8], &str); 3] = [
    (
        include_bytes!("../fixtures/bundle-v1/bundle"),
        include_bytes!("../fixtures/bundle-v1/authority.pem"),
        include_str!("../fixtures/bundle-v1/identity"),
    ),
    (
        include_bytes!("../fixtures/bundle-v2/bundle"),
        include_bytes!("../fixtures/bundle-v2/authority.pem"),
        include_str!("../fixtures/bundle-v2/identity"),
    ),
    (
        include_bytes!("../fixtures/bundle-v3/bundle"),
        include_bytes!("../fixtures/bundle-v3/authority.pem"),
        include_str!("../fixtures/bundle-v3/identity"),
    ),
];
/// Within the life of the kept bundles.
const NOW: i64 = 1_800_000_000;

/// A file is taken for a bundle only where it is the one that the authority has signed, to the byte.
pub(super) fn bundle(data: &[u8]) {
    static MEANS: OnceLock<Vec<(PublicKey, Identities)>> = OnceLock::new();
    let means = MEANS.get_or_init(|| {
        let means = |(_, authority, identity): &(&[u8], &[u8], &str)| {
            let identities = Identities::parse(&Material::from((*identity).to_owned())).unwrap();
            (PublicKey::from_pem(authority).unwrap(), identities)
        };
        BUNDLES.iter().map(means).collect()
    });
    let _ = Sealed::parse(data);
    for ((kept, ..), (key, identities)) in BUNDLES.iter().zip(means) {
        let checks = Checks { pin: Some(key), now: NOW, ..Checks::default() };
        for file in [data.to_vec(), edited(kept, data)] {
            let opened = Opened::from_file(&file, &checks, identities);
            assert_eq!(opened.is_ok(), file == *kept, "only the bundle itself is taken for it");
        }
    }
}

/// A receipt counts only where it is the one that a node has signed which opened the bundle.
pub(super) fn receipt(data: &[u8]) {
    struct Site {
        store: Memory,
        places: Places,
        receipt: Vec<u8>,
    }
    static SITE: OnceLock<Site> = OnceLock::new();
    let site = SITE.get_or_init(|| {
        run(async {
            let (store, places) = (Memory::default(), Places::new("kolla".parse().unwrap()).unwrap());
            let path = "kolla/a".parse().unwrap();
            store.write(&path, &document(b"{\"password\":\"x\"}").unwrap(), Expected::Absent).await.unwrap();
            let authority = Authority::ensure(&store, &places, 100).await.unwrap();
            let identity = age::x25519::Identity::generate();
            let recipients = Recipients::parse([identity.to_public().to_string().as_str()]).unwrap();
            let scope = Scope::Site { site: "edge1".parse().unwrap(), role: "compute".parse().unwrap(), host: None };
            let closure = [Wanted { path, which: Which::Latest }];
            let request =
                Request { scope, closure: &closure, recipients: &recipients, lifetime: 1000, folder: Path::new(".") };
            let bundle = export(&store, &places, &authority, &request, 200).await.unwrap();
            let checks = Checks { now: 300, ..Checks::default() };
            let opened = Opened::from_file(&bundle.file.bytes().unwrap(), &checks, &Identities::one(identity)).unwrap();
            let node = SigningKey::from_seed(&Material::new(vec![7; 32])).unwrap();
            let receipt = Receipt::of(&opened, Act::Imported, &node, 300).to_file(&node);
            Site { store, places, receipt }
        })
    });
    for file in [data.to_vec(), edited(&site.receipt, data)] {
        if file != site.receipt {
            let taken = run(accept(&site.store, &site.places, &file, 400));
            assert!(taken.is_err(), "another file is taken for the receipt");
        }
    }
}

/// Assignments come with lines that are there, in their order, and with a key.
pub(super) fn ini(data: &[u8]) {
    let Ok(entries) = ini::parse(data) else { return };
    // As Python counts them: a carriage return ends a line, too, and one with a line feed behind it once.
    let ends = |pair: &[u8]| pair[0] == b'\n' || pair[0] == b'\r' && pair.get(1) != Some(&b'\n');
    let lines = (0..data.len()).filter(|at| ends(&data[*at..])).count() + 1;
    let mut last = 0;
    for entry in entries {
        assert!(!entry.key.is_empty() && !entry.section.is_empty(), "an assignment without a name");
        assert!(entry.line > last && entry.line <= entry.last && entry.last <= lines, "a line that is not there");
        last = entry.line;
    }
}

/// A journal is refused, or reads as what it says: written again, it reads the same.
pub(super) fn journal(data: &[u8]) {
    let Some(document) = document(data) else { return };
    run(async {
        let (store, layout) = (Memory::default(), Layout::new("kolla".parse().unwrap()).unwrap());
        store.write(&layout.journal("r1"), &document, Expected::Absent).await.unwrap();
        let Ok(Some(held)) = Held::read(&store, &layout, "r1").await else { return };
        let again = serde_json::to_vec(&held.journal).unwrap();
        assert_eq!(serde_json::from_slice::<donjon::rotation::Journal>(&again).unwrap(), held.journal);
        let _ = (held.journal.names(), held.journal.named(), held.journal.meaning());
    });
}

fn document(data: &[u8]) -> Option<Document> {
    Document::from_json(Material::new(data.to_vec())).ok()
}

/// A file with some of its bytes changed: three bytes of data say where (two) and by what. So a fuzzer comes past the checks
/// that a random file never passes.
fn edited(file: &[u8], data: &[u8]) -> Vec<u8> {
    let mut edited = file.to_vec();
    for edit in data.chunks_exact(3).take(8) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % edited.len();
        edited[at] ^= edit[2];
    }
    edited
}

fn run<T>(task: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(task)
}
