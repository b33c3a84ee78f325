//! Two stores in memory: what is written there by somebody else while a push goes on is not written over, and is noticed.

use super::{
    Change, PushError, Side,
    carry::read_back,
    compare::{There, compare},
    fill::fill,
};
use crate::transfer::private::Places;
use donjon_drivers::{
    material::Material,
    store::{Document, Expected, RecordPath, Store, StoreError, Version, Which, memory::Memory},
};

fn path() -> RecordPath {
    "site1/nova_database_password".parse().unwrap()
}

async fn write(store: &Memory, value: &str, expected: Expected) {
    let document = Document::from_json(Material::from(format!(r#"{{"password":"{value}"}}"#))).unwrap();
    store.write(&path(), &document, expected).await.unwrap();
}

async fn held(store: &Memory) -> String {
    let value: serde_json::Value = store.read(&path(), Which::Latest).await.unwrap().unwrap().document.parse().unwrap();
    value["password"].as_str().unwrap().to_owned()
}

async fn read(here: &Memory, there: &Memory, done: bool) -> Result<usize, PushError> {
    let places = Places::new("site1".parse().unwrap()).unwrap();
    read_back(here, there, &places, done, &|_, _, _| ()).await
}

fn is_conflict(done: &Result<(), PushError>) -> bool {
    matches!(done, Err(PushError::Store { side: Side::There, source: StoreError::Conflict { .. } }))
}

#[tokio::test]
async fn what_was_written_there_since_the_comparison_is_not_written_over() {
    let (here, there) = (Memory::default(), Memory::default());
    write(&here, "ours", Expected::Absent).await;
    let change = compare(&here, &there, &path(), There::Unknown).await.unwrap();
    assert_eq!(change, Change::Create { versions: 1 });
    write(&there, "theirs", Expected::Absent).await;
    let done = fill(&here, &there, &path(), &change).await;
    assert!(is_conflict(&done), "{done:?}");
    assert_eq!(held(&there).await, "theirs");
    assert_eq!(compare(&here, &there, &path(), There::Ours).await.unwrap(), Change::Differs, "and is seen after that");

    // The same behind a version that both have.
    let there = Memory::default();
    write(&there, "ours", Expected::Absent).await;
    write(&here, "ours-2", Expected::Newest(Version(1))).await;
    let change = compare(&here, &there, &path(), There::Ours).await.unwrap();
    assert_eq!(change, Change::Extend { after: 1, versions: 1, destroy: Vec::new() });
    write(&there, "theirs-2", Expected::Newest(Version(1))).await;
    let done = fill(&here, &there, &path(), &change).await;
    assert!(is_conflict(&done), "{done:?}");
    assert_eq!(held(&there).await, "theirs-2");
}

#[tokio::test]
async fn what_does_not_read_back_as_it_was_written_is_named() {
    let (here, there) = (Memory::default(), Memory::default());
    write(&here, "ours", Expected::Absent).await;
    let change = compare(&here, &there, &path(), There::Unknown).await.unwrap();
    fill(&here, &there, &path(), &change).await.unwrap();
    assert_eq!(read(&here, &there, false).await.unwrap(), 1, "the control");
    // A store that acknowledges and does not keep, and one in which somebody writes on.
    for lost in [true, false] {
        let there = Memory::default();
        if !lost {
            write(&there, "ours", Expected::Absent).await;
            write(&there, "theirs", Expected::Newest(Version(1))).await;
        }
        let refused = read(&here, &there, false).await.unwrap_err();
        assert!(matches!(&refused, PushError::ReadBack { paths } if paths.0 == [path()]), "{refused:?}");
        assert_eq!(read(&here, &there, true).await.unwrap(), 1, "what has moved is that store's own business");
    }
}
