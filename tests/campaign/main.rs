//! `cargo run -p donjon-tests --bin campaign -- [--seed N] [--faults N] [--galera] [--peers] [--each N]`: the campaign.
//!
//! It starts itself again in a mount namespace of its own, where the store has a small disk, so that this can be full.

use donjon_tests::campaign::{Asked, Order, Servers, lockouts, loses_its_password, run};
use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant, SystemTime},
};

fn main() -> ExitCode {
    let Some(disk) = std::env::var_os(DISK).map(PathBuf::from) else {
        let error = on_a_small_disk();
        eprintln!("campaign: no namespace of its own: {error}");
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.expect("a runtime can be started").block_on(campaign(disk))
}

async fn campaign(disk: PathBuf) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| words.iter().any(|word| word == name);
    let number = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    let by_the_clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let seed = number("--seed").unwrap_or(by_the_clock);
    let count = |name: &str, otherwise: usize| {
        number(name).map_or(otherwise, |count| usize::try_from(count).expect("a number of faults"))
    };
    let servers = if has("--galera") { Servers::Galera } else { Servers::Single };
    println!("campaign: seed {seed}, {servers:?}");
    if has("--peers") {
        peers(seed).await;
    }
    let (faults, each) = (count("--faults", 100), count("--each", 50));
    let begun = Instant::now();
    let asked = Asked { seed, faults, each, servers, disk: Some(disk), tell: |line| println!("{line}") };
    let tally = run(&asked).await;
    println!("seed {seed}, {servers:?}, {:.0} s\n{tally}", begun.elapsed().as_secs_f64());
    if tally.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What others do, under the same faults.
async fn peers(seed: u64) {
    const TRIALS: usize = 200;
    for order in [Order::AlterThenStore, Order::StoreThenAlter] {
        println!("{order:?}: {} of {TRIALS} locked out", lockouts(order, TRIALS, seed).await);
    }
    let (lost, locked) = loses_its_password().await;
    println!("OpenBao's database/rotate-root: {locked} of {lost} lost replies locked it out");
}

/// Becomes itself with a small disk, or says why not. The disk ends with its namespace.
fn on_a_small_disk() -> std::io::Error {
    let folder = donjon_tests::cache_folder().join("disk");
    let own = match std::fs::create_dir_all(&folder).and_then(|()| std::env::current_exe()) {
        Ok(own) => own,
        Err(error) => return error,
    };
    let script = format!("mount -t tmpfs -o size={MEGABYTES}m,mode=700 none \"${DISK}\" && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-c", &script]).arg(own).args(std::env::args_os().skip(1));
    command.env(DISK, folder).exec()
}

/// Where the small disk is.
const DISK: &str = "DONJON_CAMPAIGN_DISK";
/// Its size.
const MEGABYTES: u32 = 160;
