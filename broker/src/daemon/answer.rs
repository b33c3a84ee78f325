//! One request, one answer: who may ask is decided here, once.

use super::{
    Daemon, adopt, cancel, deploy, doctor, generation,
    kept::{self, Sent},
    lifecycle,
    lookup::{self, Answered, Caller, Wanted},
    metrics, push, recipients, renew, rotate, scan, schedule, signing_key, snapshot,
    state::Ending,
    transfer::{self, Stays},
};
use crate::{
    audit::Actor,
    failure::{Exit, Failure},
    socket::{
        frame::{FrameError, Message},
        message::{Afterwards, Answer, Event, IsFor, Piece, Request, Whose},
    },
    transfer::{bundle::BundleFile, mark::Elsewhere, told},
};
use donjon_drivers::material::Material;
use std::{
    io::{self, Read},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    sync::{mpsc, watch},
    time::timeout,
};

/// Serves one connection until the peer leaves, or the daemon ends, of which `ending` tells what was not seen before the
/// connection was.
pub async fn serve(
    daemon: Arc<Daemon>,
    mut stream: UnixStream,
    mut ending: watch::Receiver<Ending>,
) -> Result<(), FrameError> {
    let peer = stream.peer_cred().map_err(FrameError::Io)?;
    let actor = Actor { uid: peer.uid(), pid: peer.pid().unwrap_or(0) };
    let own = rustix::process::geteuid().as_raw();
    if actor.uid != own && actor.uid != 0 {
        let refused = Failure::new(Exit::NotAllowed, format!("uid {} may not ask this daemon", actor.uid))
            .cause(format!("it serves uid {own} and root"));
        Message::new(&Answer::Error(refused), Vec::new())?.send(&mut stream).await?;
        // What it sent is read and dropped: closing over it would take the refusal away from the peer.
        let (mut asked, mut nowhere) = ((&mut stream).take(LONGEST_REFUSED), tokio::io::sink());
        let rest = tokio::io::copy(&mut asked, &mut nowhere);
        let _ = timeout(REFUSED_WAIT, rest).await;
        return Ok(());
    }
    // Who connects at the end asks again, and finds the next daemon, or none.
    while *ending.borrow() == Ending::No {
        let received = {
            let mut receive = pin!(Message::receive(&mut stream));
            tokio::select! {
                // What was asked before the end is answered, also where that is seen a little later than the end.
                biased;
                received = &mut receive => received,
                _ = ending.changed() => timeout(ASKED_BEFORE, receive).await.unwrap_or(Err(FrameError::Gone)),
            }
        };
        let message = match received {
            Ok(message) => message,
            Err(FrameError::Gone) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Ok(request) = message.parse::<Request>() else {
            Message::new(&Answer::Error(unknown()), Vec::new())?.send(&mut stream).await?;
            continue;
        };
        if let Err(failure) = of_this_deployment(&daemon, &request, &message) {
            Message::new(&Answer::Error(failure), Vec::new())?.send(&mut stream).await?;
            continue;
        }
        if kept_or_nothing(&daemon, actor, &request, &mut stream).await? == Sent::Whole {
            continue;
        }
        let (tell, mut told) = mpsc::unbounded_channel::<Event>();
        let worker = tokio::spawn({
            let daemon = daemon.clone();
            async move {
                let mut file = None;
                let answered = answer(&daemon, actor, request, message.materials, &tell, &mut file).await;
                (answered, file)
            }
        });
        // The work goes on when the caller leaves: a rotation is never cut off by a closed terminal.
        while let Some(event) = told.recv().await {
            Message::new(&Answer::Event(event), Vec::new())?.send(&mut stream).await?;
        }
        let (mut answered, file) = worker.await.unwrap_or_else(|_| {
            let failed = Failure::new(Exit::Bug, "the daemon failed while it answered")
                .hint("daemon.log in DONJON_HOME says where; please report it");
            (Err(failed), None)
        });
        if let Some(file) = file
            && let Err(failure) = send_file(&file, &mut stream).await?
        {
            answered = Err(failure);
        }
        let reply = match answered {
            Ok((value, materials)) => Message::new(&Answer::Reply(value), materials)?,
            Err(failure) => Message::new(&Answer::Error(failure), Vec::new())?,
        };
        reply.send(&mut stream).await?;
    }
    Ok(())
}

/// Answers from memory what can be: most of what is ever asked, and worth a short way.
async fn kept_or_nothing(
    daemon: &Daemon,
    actor: Actor,
    request: &Request,
    stream: &mut UnixStream,
) -> Result<Sent, FrameError> {
    let (role, wanted) = if let Request::Read { names, version: None, epoch } = request {
        (None, Wanted::parse(names, *epoch))
    } else if let Request::Record { role, names, version: None } = request {
        (Some(role.clone()), Ok(Wanted::records(names.clone())))
    } else {
        return Ok(Sent::Nothing);
    };
    // A name that is none is told on the long way.
    let Ok(wanted) = wanted else { return Ok(Sent::Nothing) };
    kept::answer(daemon, &Caller { actor, role }, &wanted, stream).await
}

/// Sends a file as the peer takes it, never more of it in memory than a piece.
async fn send_file(file: &BundleFile, stream: &mut UnixStream) -> Result<Result<(), Failure>, FrameError> {
    let unread = |error: io::Error| {
        Err(Failure::new(Exit::Failed, "the bundle was made, and cannot be read back to be sent")
            .because(&error)
            .state("the ledger has a bundle that nobody holds, which harms nothing")
            .hint("the same command again makes the next one"))
    };
    let mut reader = match file.reader() {
        Ok(reader) => reader,
        Err(error) => return Ok(unread(error)),
    };
    let piece = Answer::Piece(Piece { of: file.length() });
    loop {
        let mut bytes = Vec::with_capacity(PIECE);
        match reader.by_ref().take(PIECE as u64).read_to_end(&mut bytes) {
            Ok(0) => return Ok(Ok(())),
            Ok(_) => {
                // Who stops reading is not waited for: a long one takes room on the disk meanwhile.
                let sent = Message::new(&piece, vec![Material::new(bytes)])?;
                timeout(PATIENCE, sent.send(stream)).await.unwrap_or(Err(FrameError::Gone))?;
            }
            Err(error) => return Ok(unread(error)),
        }
    }
}

/// Refused where a reader means another deployment: the deployment file has another name by now, and in each a name of a secret
/// may be there.
fn of_this_deployment(daemon: &Daemon, request: &Request, message: &Message) -> Result<(), Failure> {
    let of_a_reader =
        matches!(request, Request::Record { .. } | Request::Ready | Request::Names | Request::History { .. });
    if !of_a_reader {
        return Ok(());
    }
    let own = daemon.layout.deployment();
    match message.parse::<Whose>() {
        Ok(Whose { deployment }) if deployment.as_ref().is_none_or(|meant| meant == own) => Ok(()),
        Ok(_) | Err(_) => Err(Failure::new(Exit::Conflict, format!("this daemon serves the deployment `{own}` alone"))
            .cause("records of another were asked for")
            .state("nothing was answered")
            .hint("a reader reads the deployment's name in donjon.yaml, the daemon when it starts: put the name back")),
    }
}

fn unknown() -> Failure {
    Failure::new(Exit::Usage, "the request is not one that this daemon knows")
        .hint("the daemon and this command are of different versions? end the daemon's process by SIGTERM (`donjon status` names it), then `donjon up`: the store is kept, and custodians unseal it anew")
}

async fn answer(
    daemon: &Arc<Daemon>,
    actor: Actor,
    request: Request,
    materials: Vec<Material>,
    tell: &mpsc::UnboundedSender<Event>,
    file: &mut Option<BundleFile>,
) -> Answered {
    let (stays, afterwards) = (stays(request.is_for()), request.afterwards());
    let _still = match stays {
        Some(_) => Some(daemon.moving.read().await),
        None => None,
    };
    stands(daemon, stays, told::elsewhere).await?;
    let answered = act(daemon, actor, request, materials, tell, file).await?;
    // The lock keeps this daemon from moving its authority meanwhile, and no other: whoever moves it marks the store first, and then
    // reads everything. So what was written before a look that finds the store as it was is carried along, and of what was not,
    // nobody is told that it is done.
    if afterwards == Afterwards::Looks
        && let Err(failure) = stands(daemon, stays, told::overtaken).await
    {
        *file = None;
        return Err(failure);
    }
    Ok(answered)
}

/// What the store has to be, and to stay, for a request.
fn stays(for_whom: IsFor) -> Option<Stays> {
    match for_whom {
        IsFor::Authority => Some(Stays::AsAuthority),
        IsFor::OneThatStays => Some(Stays::OrFollows),
        IsFor::Any => None,
    }
}

/// Refused, and told so, where the store is not that.
async fn stands(daemon: &Daemon, stays: Option<Stays>, told: fn(&Elsewhere) -> Failure) -> Result<(), Failure> {
    let Some(stays) = stays else { return Ok(()) };
    transfer::leaves(daemon, stays).await?.map_or(Ok(()), |elsewhere| Err(told(&elsewhere)))
}

async fn act(
    daemon: &Arc<Daemon>,
    actor: Actor,
    request: Request,
    materials: Vec<Material>,
    tell: &mpsc::UnboundedSender<Event>,
    file: &mut Option<BundleFile>,
) -> Answered {
    match request {
        Request::Status => Ok((lifecycle::status_by_store(daemon).await, Vec::new())),
        Request::Unseal => lifecycle::unseal(daemon, actor, materials).await,
        Request::Down { force } => lifecycle::down(daemon, actor, force).await,
        Request::Read { names, version, epoch } => {
            let (caller, wanted) = (Caller { actor, role: None }, Wanted::parse(&names, epoch)?);
            match version {
                None => lookup::read(daemon, &caller, &wanted).await,
                Some(version) => lookup::read_version(daemon, &caller, &wanted, version).await,
            }
        }
        Request::Replaced { names, epoch } => {
            lookup::replaced(daemon, &Caller { actor, role: None }, &Wanted::parse(&names, epoch)?).await
        }
        Request::Record { role, names, version } => {
            let (caller, wanted) = (Caller { actor, role: Some(role) }, Wanted::records(names));
            match version {
                None => lookup::read(daemon, &caller, &wanted).await,
                Some(version) => lookup::read_version(daemon, &caller, &wanted, version).await,
            }
        }
        Request::Ready => lookup::ready(daemon).await,
        Request::Names => lookup::names(daemon, actor).await,
        Request::Put { name, new_deployment } => match <[Material; 1]>::try_from(materials) {
            Ok([value]) => lookup::put(daemon, actor, &name, new_deployment, value).await,
            Err(_) => Err(Failure::new(Exit::Usage, "put takes one value")),
        },
        Request::List => lookup::list(daemon, actor).await,
        Request::History { name } => lookup::history(daemon, actor, &name).await,
        Request::Deploy => Ok((deploy::begin(daemon, actor).await?, Vec::new())),
        Request::RotatePlan(asked) => schedule::plan(daemon, asked).await,
        Request::RotateApply(asked) => schedule::apply(daemon, actor, asked, tell).await,
        Request::RotateResume(asked) => rotate::resume(daemon, actor, &asked, tell).await,
        Request::RotateAbort(asked) => rotate::abort(daemon, actor, &asked, tell).await,
        Request::RotateStatus => rotate::status(daemon).await,
        Request::RotateBroker => renew::renew(daemon, actor, materials, tell).await,
        Request::RotateSigningKey { plan } => signing_key::renew(daemon, actor, plan).await,
        Request::Schedule => schedule::shown(daemon).await,
        Request::Metrics => metrics::shown(daemon).await,
        Request::Doctor(asked) => doctor::doctor(daemon, actor, &asked, tell).await,
        Request::Generate { catalogue, catalogue_text, names, new_deployment } => {
            let asked = generation::Asked { catalogue, text: catalogue_text, names, new_deployment };
            generation::generate(daemon, actor, asked, tell).await
        }
        Request::Adopt(asked) => adopt::adopt(daemon, actor, asked, materials, tell).await,
        Request::Scan { paths, elsewhere } => scan::scan(daemon, actor, &paths, elsewhere, tell).await,
        Request::Witness { names } => scan::witness(daemon, actor, names).await,
        Request::Drill { identities, needed } => transfer::drilled(daemon, actor, identities, needed, materials).await,
        Request::ExportBundle(asked) => {
            let (value, made) = transfer::export(daemon, actor, &asked, tell).await?;
            *file = Some(made);
            Ok((value, Vec::new()))
        }
        Request::ExportVault(asked) => push::push(daemon, actor, asked, materials, tell).await,
        Request::ExportSnapshot { asked } => snapshot::export(daemon, actor, asked, materials, tell).await,
        Request::ExportCancel { there, lost } => cancel::cancel(daemon, actor, there, lost, materials).await,
        Request::ExportKey => transfer::export_key(daemon).await,
        Request::Import(asked) => transfer::import(daemon, actor, &asked, materials).await,
        Request::Restore(asked) => transfer::restore(daemon, actor, &asked, materials).await,
        Request::Recipients { asked } => recipients::recipients(daemon, actor, asked, materials).await,
        Request::Receipt => transfer::receipt(daemon, actor, materials).await,
    }
}

/// How long one piece of a file may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of a file goes in one message, in bytes.
const PIECE: usize = 256 << 10;
const LONGEST_REFUSED: u64 = 1 << 20;
const REFUSED_WAIT: Duration = Duration::from_secs(1);
/// What was sent before the end is there by then.
const ASKED_BEFORE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::tests::{Scene, Told},
        socket::message::Of,
        transfer::{fence::fence, mark::Move},
    };

    /// Two brokers of one store: while `request` is between its look at the mark and its first write, the other one does this.
    async fn meanwhile(request: Request, materials: Vec<Material>, other: impl AsyncFnOnce(&Daemon)) -> Answered {
        let shared = Arc::new(Told::default());
        let (own, another) = (Scene::on(shared.clone()), Scene::on(shared.clone()));
        let (tell, mut file) = (mpsc::unbounded_channel().0, None);
        let begun = shared.stop_before(&own.daemon.layout.folder());
        let asked = answer(&own.daemon, Actor::own(), request, materials, &tell, &mut file);
        let others = async {
            begun.await;
            other(&another.daemon).await;
            shared.go_on();
        };
        tokio::join!(asked, others).0
    }

    /// As a push under another broker: it marks the store, and then lists what is there.
    async fn leaves(daemon: &Daemon) {
        let (store, places) = (daemon.store().unwrap(), transfer::places(daemon).unwrap());
        let fenced = fence(&*store, &places, &daemon.layout, &daemon.id, Move::begin("there"), 1).await;
        fenced.unwrap();
        let carried = store.list(&daemon.layout.folder()).await.unwrap();
        assert!(carried.is_empty(), "the control: it is not carried along");
    }

    #[tokio::test]
    async fn what_is_written_while_another_broker_moves_the_authority_is_not_told_as_done() {
        let put = || Request::Put { name: "nova_database_password".to_owned(), new_deployment: false };
        let generate = || Request::Generate {
            catalogue: Some("kolla-ansible".to_owned()),
            catalogue_text: None,
            names: vec!["nova_database_password".to_owned()],
            new_deployment: false,
        };
        let value = || vec![Material::from("a-value-of-a-test".to_owned())];
        for (request, materials) in [(put(), value()), (generate(), Vec::new())] {
            let told = meanwhile(request, materials, leaves).await.unwrap_err();
            assert_eq!(told.code, Exit::Conflict, "{told}");
            assert!(told.state.as_ref().is_some_and(|state| state.contains("may not have been carried")), "{told}");
        }
        for (request, materials) in [(put(), value()), (generate(), Vec::new())] {
            meanwhile(request, materials, async |_| ()).await.expect("the control: nobody moves it");
        }
    }

    /// What a connection is told that asks how things are.
    async fn asked(mut stream: UnixStream) -> Result<Message, FrameError> {
        Message::receive(&mut stream).await
    }

    async fn asks(stream: &mut UnixStream) {
        Message::new(&Request::Status, Vec::new()).unwrap().send(stream).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_connects_at_the_end_is_told_nothing_by_the_daemon_that_ends() {
        let scene = Scene::new();
        let seen = scene.daemon.ending.subscribe();
        scene.daemon.ending.send_replace(Ending::Destroyed);
        let (mut here, there) = UnixStream::pair().unwrap();
        asks(&mut here).await;
        serve(scene.daemon.clone(), there, seen).await.unwrap();
        let told = asked(here).await;
        assert!(told.is_err(), "{told:?}");
    }

    #[tokio::test]
    async fn what_was_asked_before_the_end_is_answered_and_nothing_after_it() {
        let scene = Scene::new();
        let (mut here, there) = UnixStream::pair().unwrap();
        let serving = tokio::spawn(serve(scene.daemon.clone(), there, scene.daemon.ending.subscribe()));
        // Until it waits for a question.
        asks(&mut here).await;
        Message::receive(&mut here).await.unwrap();
        // No pause between the two: it sees the end first, or both.
        asks(&mut here).await;
        scene.daemon.ending.send_replace(Ending::Stop);
        let told = Message::receive(&mut here).await.unwrap();
        assert!(matches!(told.parse::<Answer>().unwrap(), Answer::Reply(_)));
        serving.await.unwrap().unwrap();
        assert!(asked(here).await.is_err());
    }

    #[tokio::test]
    async fn whoever_means_another_deployment_is_answered_nothing() {
        let scene = Scene::new();
        let (mut here, there) = UnixStream::pair().unwrap();
        let serving = tokio::spawn(serve(scene.daemon.clone(), there, scene.daemon.ending.subscribe()));
        let own = scene.daemon.layout.deployment().clone();
        let other = "another".parse().unwrap();
        let mut ask = async |deployment, request: &Request| {
            let asked = match deployment {
                Some(deployment) => Message::new(&Of { deployment, request }, Vec::new()),
                None => Message::new(request, Vec::new()),
            };
            asked.unwrap().send(&mut here).await.unwrap();
            match Message::receive(&mut here).await.unwrap().parse::<Answer>().unwrap() {
                Answer::Error(failure) => Some(failure.code),
                Answer::Reply(_) | Answer::Event(_) | Answer::Piece(_) => None,
            }
        };
        for request in [&Request::Names, &Request::Ready] {
            assert_eq!(ask(Some(&own), request).await, None, "the control");
            assert_eq!(ask(None, request).await, None, "a reader that does not say yet");
            assert_eq!(ask(Some(&other), request).await, Some(Exit::Conflict), "{request:?}");
        }
        let history = Request::History { name: "x".to_owned() };
        assert_eq!(ask(Some(&other), &history).await, Some(Exit::Conflict));
        let (role, names) = ("r".parse().unwrap(), vec!["x".parse().unwrap()]);
        let record = Request::Record { role, names, version: None };
        assert_eq!(ask(Some(&own), &record).await, Some(Exit::NotThere), "the control");
        assert_eq!(ask(Some(&other), &record).await, Some(Exit::Conflict));
        drop(here);
        serving.await.unwrap().unwrap();
    }
}
