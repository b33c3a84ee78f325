//! `donjon drain`: a node restarts its consumers, or says who has not restarted, and signs that all have.

mod served;

use super::{
    config::reading::runtime,
    export::{destination::At, write},
};
use crate::{
    cli::{Context, progress::Progress, show},
    config,
    failure::{Exit, Failure},
    rotation::open::open_host,
    socket::message::Event,
    transfer::{
        bundle::Opened,
        drained::{Drained, Running, Why, judge},
        inbox::send,
    },
};
use clap::Args;
use donjon_drivers::service::{Service, ServiceError, place::Place, registry::SERVICES};
use donjon_policies::{
    deployment::Deployment,
    name::ServiceName,
    restart::{self, Instance},
};
use serde_json::{Value, json};
use served::Served;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Show that every consumer on this node runs on the bundle that is served here, and sign that.
///
/// The consumers are the services of this node's donjon.yaml that use what the bundle holds. Each must have been started
/// since the reader serves the bundle, and have logged in to the reader after that; where they read a Vault of the site
/// (--address), since the bundle was imported there, and its role's tokens tell who has logged in: the clocks of both must
/// agree. With --restart those that have not been started since are restarted, by `order` and `after`, one step after the
/// other, and nobody twice; who is not seen to log in is named (exit 13). One that does not start, or fails its check, is tried again as --tries says,
/// and those behind it are left alone; then that is for a person (exit 10). The receipt goes to the
/// authority as a file (`donjon receipt FILE` there), or by --send: old values end only when all sites have drained.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon drain -i node.identity\n  donjon drain -i node.identity --restart --receipt drained.receipt\n  donjon drain -i node.identity --restart --send http://10.0.0.1:8300\n  donjon drain -i node.identity --bundle edge1.donjon --address https://10.1.0.11:8200 --cacert ca.pem --token-file token"
)]
pub struct Drain {
    /// The age identity file of this node.
    #[arg(long, short, value_name = "FILE")]
    identity: PathBuf,
    /// The node's folder; `node` in DONJON_HOME where not given.
    #[arg(long, value_name = "FOLDER", conflicts_with = "addresses")]
    node: Option<PathBuf>,
    #[command(flatten)]
    at: At,
    /// The bundle that was imported into that Vault.
    #[arg(long, value_name = "FILE", requires = "addresses")]
    bundle: Option<PathBuf>,
    /// The KV v2 mount of that Vault.
    #[arg(long, default_value = "donjon", requires = "addresses")]
    mount: String,
    /// Restart the consumers that have not been started since.
    #[arg(long)]
    restart: bool,
    /// How often a consumer that does not start is started, and one that runs is looked at until it is well: again after 10 seconds,
    /// then after twice as long as before.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "restart", value_parser = clap::value_parser!(u32).range(1..=10))]
    tries: u32,
    /// Nothing on this node uses what the bundle holds.
    #[arg(long, conflicts_with = "restart")]
    no_consumers: bool,
    /// Where to write the receipt; `drained` in the node's folder, or beside the bundle, where not given.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Send the receipt, too: where `donjon receipt --listen` listens at the authority.
    #[arg(long, value_name = "URL")]
    send: Option<String>,
}

/// A consumer on this node.
struct Consumer {
    instance: Instance,
    service: Arc<dyn Service>,
    settle: Duration,
}

impl Drain {
    /// Looks, restarts where asked, signs.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let runtime = runtime()?;
        let (served, opened) = runtime.block_on(Served::open(&self, context))?;
        let deployment = config::deployment(&context.home)?;
        let consumers = using(&deployment, &opened);
        if self.no_consumers && !consumers.is_empty() {
            let named = consumers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Failure::new(Exit::Conflict, "services of this node use what the bundle holds")
                .cause(format!("{} names {named}", context.home.deployment_file().display()))
                .state("nothing was signed")
                .hint("leave --no-consumers out: an old value ends because of what is signed here"));
        }
        if consumers.is_empty() && !self.no_consumers {
            return Err(Failure::new(Exit::Usage, "no service of this node uses what the bundle holds")
                .cause(config::says(&context.home))
                .state("nothing was signed")
                .hint("name them under `services` with `uses`, or give --no-consumers"));
        }
        let served_since = runtime.block_on(served.since(&opened))?;
        // Where nobody reads, no reader of the node need have served it; a Vault that has another bundle has not taken it in.
        let unread = (consumers.is_empty() && !served.is_vault()).then_some(0);
        let Some(since) = served_since.or(unread) else {
            return Err(Failure::new(Exit::Waiting, served.not_yet())
                .state("nothing was restarted or signed")
                .hint(served.hint()));
        };
        let mut progress = Progress::new(context.output);
        let tries = if self.restart { self.tries } else { 0 };
        let looking = Looking { served: &served, opened: &opened, since, control: context.home.connections(), tries };
        let drained = runtime.block_on(looking.drain(&deployment, &consumers, &mut progress));
        progress.end();
        // Who does not start on one bundle may start on the next.
        let drained = match drained {
            Err(failure) if failure.code != Exit::Ambiguous => return Err(failure),
            drained => drained,
        };
        if runtime.block_on(served.since(&opened))? != served_since {
            return Err(Failure::new(Exit::Waiting, "another bundle came meanwhile")
                .cause("it was taken in, or is served, since this one was looked at")
                .state("consumers run on this one or on that one; nothing was signed")
                .hint("the same command again drains the one that is served now"));
        }
        let drained = drained?;
        let receipt = runtime.block_on(served.sign(&opened, drained.clone()))?;
        let file = self.receipt.clone().unwrap_or_else(|| served.receipt(&self));
        write(&file, &receipt)?;
        let sent = self.send.as_deref().map(|url| runtime.block_on(send(url, receipt))).transpose()?;
        let value = json!({
            "scope": opened.manifest().scope.to_string(),
            "epoch": opened.manifest().epoch,
            "consumers": drained,
            "receipt": file.display().to_string(),
            "sent": sent.is_some(),
        });
        show::answer(context.output, &value, || people(&value))
    }
}

/// The services that use any record of the bundle.
fn using(deployment: &Deployment, opened: &Opened) -> BTreeSet<ServiceName> {
    let held: BTreeSet<&str> =
        opened.manifest().entries.iter().filter_map(|entry| entry.path.as_str().rsplit('/').next()).collect();
    let uses =
        |service: &donjon_policies::deployment::Service| service.uses.iter().any(|name| held.contains(name.as_str()));
    deployment.services.iter().filter(|(_, service)| uses(service)).map(|(name, _)| name.clone()).collect()
}

/// What is looked at on this node.
struct Looking<'a> {
    served: &'a Served,
    opened: &'a Opened,
    since: i64,
    control: PathBuf,
    /// How often one that does not start is started, or one that is not well is looked at; 0 where nobody is to be.
    tries: u32,
}

impl Looking<'_> {
    async fn drain(
        &self,
        deployment: &Deployment,
        services: &BTreeSet<ServiceName>,
        progress: &mut Progress,
    ) -> Result<Vec<Drained>, Failure> {
        let steps = restart::plan(deployment, services).map_err(|mistake| {
            Failure::new(Exit::Quorum, "the services cannot be restarted in any order").because(&mistake)
        })?;
        let instances = steps.iter().flat_map(|step| &step.instances);
        let consumers: Vec<Consumer> =
            instances.map(|instance| self.open(deployment, instance)).collect::<Result<_, _>>()?;
        if self.tries > 0 {
            self.wait_until_served(&consumers).await?;
            for consumer in &consumers {
                self.bring_up(consumer, progress).await?;
            }
        }
        let mut running = Vec::new();
        for consumer in &consumers {
            let started = consumer.service.started().await.map_err(|error| unanswered(&error))?;
            running.push(Running { consumer: named(&consumer.instance), started });
        }
        let drained = judge(&running, &self.logins().await?, self.since).map_err(|behind| {
            let mut failure = Failure::new(Exit::Waiting, "consumers of this node do not run on the present bundle");
            failure.causes = behind.iter().map(ToString::to_string).collect();
            failure.state("nothing was signed").hint(match behind.iter().any(|one| one.why == Why::NoLogin) {
                true => "--restart restarts nobody twice: who was not seen to log in is to read anew, or to be restarted by hand; then look again",
                false => "`donjon drain -i IDENTITY --restart`, or restart them and look again",
            })
        })?;
        // One that was well may have fallen ill while those behind it restarted, or may have been restarted by somebody else.
        for consumer in &consumers {
            consumer.service.check().await.map_err(|error| ill(consumer, &error))?;
        }
        Ok(drained)
    }

    /// Restarts it unless it has been since, and waits until it is well. One that does not start is started again, later each time;
    /// one that runs and is not well is given as much time, and restarts for that no more.
    async fn bring_up(&self, consumer: &Consumer, progress: &mut Progress) -> Result<(), Failure> {
        let (name, mut pause) = (named(&consumer.instance), FIRST_PAUSE);
        for tried in 1..=self.tries {
            // Who logs in late, or is not seen to, would be restarted again at each look.
            let restarted = match self.is_new(consumer).await? {
                true => Ok(()),
                false => {
                    progress.tell(&Event::text(format!("restarting {name}")));
                    consumer.service.restart().await
                }
            };
            // A unit that fails and is started again is `active` for a moment.
            let ill = match restarted.is_ok() || self.is_new(consumer).await? {
                true => self.settle(consumer).await?,
                false => None,
            };
            let runs = self.is_new(consumer).await?;
            if runs && ill.is_none() {
                return Ok(());
            }
            if tried == self.tries {
                return Err(match ill.filter(|_| runs) {
                    Some(error) => not_up(consumer, tried, &error),
                    None => does_not_start(consumer, tried, restarted.err().as_ref()),
                });
            }
            let what = if runs { "is not well" } else { "does not start" };
            progress.tell(&Event::text(format!("{name} {what}; it is tried again in {} s", pause.as_secs())));
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// The reader counts from the next full second; what restarts before that, by its host's clock, would not count.
    async fn wait_until_served(&self, consumers: &[Consumer]) -> Result<(), Failure> {
        for Consumer { instance, service, .. } in consumers {
            let now = service.now().await.map_err(|error| unanswered(&error))?;
            let ahead = Duration::from_micros(u64::try_from(self.since - now).unwrap_or_default());
            if ahead > SOON {
                let (host, ahead) = (&instance.host, ahead.as_secs());
                return Err(Failure::new(Exit::Failed, "the bundle is served since a time that has not come yet")
                    .cause(format!(
                        "by the clock of the host `{host}` it comes in {ahead} seconds: a clock is wrong, or was"
                    ))
                    .state("nothing was restarted or signed")
                    .hint(self.served.clock()));
            }
            tokio::time::sleep(ahead).await;
        }
        Ok(())
    }

    fn open(&self, deployment: &Deployment, instance: &Instance) -> Result<Consumer, Failure> {
        let described = &deployment.services[&instance.service];
        let wrong = |mistakes: Vec<donjon_drivers::options::Mistake>| {
            let mut failure = Failure::new(Exit::Usage, format!("the service `{}` cannot be used", instance.service));
            failure.causes = mistakes.iter().map(ToString::to_string).collect();
            failure
        };
        let host = open_host(deployment, &instance.host, &self.control).map_err(wrong)?;
        let place = Place { service: instance.service.to_string(), host_name: instance.host.to_string(), host };
        let at = format!("services.{}", instance.service);
        let service = SERVICES.open(&described.driver, &described.options, &at, place).map_err(wrong)?;
        Ok(Consumer { instance: instance.clone(), service, settle: Duration::from_secs(u64::from(described.settle)) })
    }

    async fn is_new(&self, consumer: &Consumer) -> Result<bool, Failure> {
        let started = consumer.service.started().await.map_err(|error| unanswered(&error))?;
        Ok(started.is_some_and(|started| started > self.since))
    }

    async fn logins(&self) -> Result<Vec<i64>, Failure> {
        self.served.logins(self.opened).await
    }

    /// Waits until it is well and somebody has logged in since it was started: those behind it do not restart before. What its check
    /// said last where it is not well in time.
    async fn settle(&self, consumer: &Consumer) -> Result<Option<ServiceError>, Failure> {
        let end = Instant::now() + consumer.settle;
        loop {
            let started = consumer.service.started().await.map_err(|error| unanswered(&error))?;
            let logins = self.logins().await?;
            let login = started.is_some_and(|started| logins.iter().any(|at| *at > started));
            let well = consumer.service.check().await;
            match (login, well) {
                (true, Ok(())) => return Ok(None),
                (_, Err(error)) if Instant::now() >= end => return Ok(Some(error)),
                // Whether it is the one that logged in is judged in the end, over all of them.
                (false, Ok(())) if Instant::now() >= end => return Ok(None),
                (_, Ok(()) | Err(_)) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

fn not_up(consumer: &Consumer, tries: u32, error: &ServiceError) -> Failure {
    let name = named(&consumer.instance);
    Failure::new(Exit::Ambiguous, format!("{name} did not come up on the present bundle"))
        .because(error)
        .state(format!("it runs, and was looked at {}; {OTHERS}", times(tries)))
        .hint(format!("its own log says why; once it is well, {GOES_ON}"))
}

fn does_not_start(consumer: &Consumer, tries: u32, error: Option<&ServiceError>) -> Failure {
    let failure =
        Failure::new(Exit::Ambiguous, format!("{} does not start on the present bundle", named(&consumer.instance)));
    let failure = match error {
        Some(error) => failure.because(error),
        None => failure.cause("it was restarted, and does not run"),
    };
    failure
        .state(format!("it was tried {}; {OTHERS}", times(tries)))
        .hint(format!("its own log says why; once it starts, {GOES_ON}"))
}

fn times(tries: u32) -> String {
    if tries == 1 { "once".to_owned() } else { format!("{tries} times") }
}

fn ill(consumer: &Consumer, error: &ServiceError) -> Failure {
    Failure::new(Exit::Failed, format!("{} is not well on the present bundle", named(&consumer.instance)))
        .because(error)
        .state("all have restarted and logged in; nothing was signed")
        .hint("look at its log; then the same command again")
}

fn named(instance: &Instance) -> String {
    format!("{}@{}", instance.service, instance.host)
}

fn unanswered(error: &ServiceError) -> Failure {
    Failure::new(Exit::Unavailable, "cannot see whether a consumer has restarted")
        .because(error)
        .state("nothing was signed")
}

fn people(value: &Value) -> String {
    let consumers = value["consumers"].as_array().cloned().unwrap_or_default();
    let time = |value: &Value| show::time(value.as_i64().unwrap_or_default() / 1_000_000);
    let row = |one: &Value| {
        vec![one["consumer"].as_str().unwrap_or_default().to_owned(), time(&one["started"]), time(&one["login"])]
    };
    let mut told = show::table(&["CONSUMER", "STARTED", "LOGGED IN"], &consumers.iter().map(row).collect::<Vec<_>>());
    let receipt = value["receipt"].as_str().unwrap_or_default();
    told += &format!("epoch {} for {} is drained\n", value["epoch"], value["scope"].as_str().unwrap_or_default());
    told + &match value["sent"] == true {
        true => format!("the receipt was sent, and the answer says that it was recorded; a copy is {receipt}\n"),
        false => format!("take {receipt} to the authority: `donjon receipt {receipt}`\n"),
    }
}

const OTHERS: &str = "those before it are restarted, those after it are not; nothing was signed";
const GOES_ON: &str =
    "the same command again goes on (of the unit: `systemctl restart donjon-drain`); a newer bundle is tried by itself";
const PAUSE: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// A bundle that is served from within this on is waited for.
const SOON: Duration = Duration::from_secs(5);
