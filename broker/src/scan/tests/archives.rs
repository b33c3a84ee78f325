//! Archives of other kinds than a builder of today makes.

use super::{needles, scan, write};
use flate2::{Compression, write::GzEncoder};
use std::{fs::File, io::Write, os::unix::fs::FileExt};

const VALUE: &str = "a-value-of-some-length-4711";

fn gzipped(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn header(name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_cksum();
    header
}

/// A tar with one member, which holds the value gzipped.
fn tarred(header: impl Fn(&str, u64) -> tar::Header) -> Vec<u8> {
    let packed = gzipped(VALUE);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header("packed.gz", packed.len() as u64), packed.as_slice()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn what_is_packed_in_a_tar_with_large_holes_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, zeros) = (folder.path().join("sparse.tar"), 100 << 20);
    let file = File::options().create_new(true).write(true).open(&path).unwrap();
    file.write_all_at(header("zeros", zeros).as_bytes(), 0).unwrap();
    file.write_all_at(&tarred(header), 512 + zeros).unwrap();
    let report = scan(&needles(&[("x", VALUE)]), &path);
    assert_eq!((report.found, report.unsearched_count), (1, 0), "{report:?}");
    assert!(report.findings[0].place.to_string().ends_with("packed.gz/gunzip"), "{report:?}");
}

#[test]
fn what_is_packed_in_a_tar_behind_another_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.tar");
    let mut first = tar::Builder::new(Vec::new());
    first.append(&header("first", 5), &b"first"[..]).unwrap();
    let first = first.into_inner().unwrap();
    write(&path, &[first.clone(), vec![0; 4096], first, tarred(header)].concat());
    let report = scan(&needles(&[("x", VALUE)]), &path);
    assert_eq!((report.found, report.members), (1, 4), "{report:?}");
    // And what lies behind all of them as it is.
    write(&path, &[&tarred(header)[..], &[0; 4096], VALUE.as_bytes()].concat());
    assert_eq!(scan(&needles(&[("x", VALUE)]), &path).found, 2);
}

#[test]
fn what_is_packed_in_a_tar_of_before_there_was_a_magic_is_found() {
    let old = |name: &str, size| {
        let mut header = header(name, size);
        header.as_mut_bytes()[257..500].fill(0);
        header.set_cksum();
        header
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v7.tar");
    write(&path, &tarred(old));
    let report = scan(&needles(&[("x", VALUE)]), &path);
    assert_eq!((report.found, report.members), (1, 2), "{report:?}");
}
