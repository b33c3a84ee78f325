//! What `donjon adopt` says: where each value went, what stands out, what is to be done next. Never a value.

use super::{Adopt, Source, Survey, replace::Replaced};
use crate::{
    adopt::{Sealed, Why, keep::Erased},
    cli::{Context, show},
    failure::Failure,
};
use donjon_policies::name::SecretName;
use serde_json::{Value, json};
use std::path::Path;

/// All that is told of a run.
pub(super) struct Told<'a> {
    pub(super) adopt: &'a Adopt,
    pub(super) source: &'a Source,
    pub(super) survey: &'a Survey,
    pub(super) stored: &'a Value,
    /// Whether a store was there to be asked.
    pub(super) asked: bool,
    pub(super) replaced: Option<&'a Replaced>,
}

impl Told<'_> {
    pub(super) fn show(&self, context: &Context) -> Result<(), Failure> {
        let taken = &self.source.taken;
        let secret = |(at, given): (usize, &crate::adopt::Given)| json!({"name": given.name, "written": given.written, "line": given.line, "standing": self.standing(at)});
        let all = json!({
            "file": self.adopt.file.display().to_string(),
            "format": self.source.format.catalogue(),
            "planned": self.adopt.plan,
            "secrets": taken.given.iter().enumerate().map(secret).collect::<Vec<_>>(),
            "left": taken.left,
            "survey": self.survey,
            "verified": self.stored["verified"],
            "unfinished": self.stored["unfinished"],
            "replaced": self.replaced.is_some(),
            "stays": self.replaced.map(|replaced| &replaced.stays),
            "sealed_comments": self.source.sealed_comments,
            "unreferred": self.replaced.map(|replaced| &replaced.unreferred),
        });
        show::answer(context.output, &all, || self.people())
    }

    fn standing(&self, at: usize) -> &str {
        self.stored["secrets"][at]["standing"].as_str().unwrap_or("unknown")
    }

    fn people(&self) -> String {
        let taken = &self.source.taken;
        let rows: Vec<Vec<String>> = taken
            .given
            .iter()
            .enumerate()
            .map(|(at, given)| {
                let store = match (self.standing(at), self.adopt.plan) {
                    ("new", true) => "would be stored",
                    ("new", false) => "stored",
                    ("same", _) => "is there already",
                    ("other", true) => "has another value",
                    ("other", false) => "stored over another value",
                    (_, _) => "not asked",
                };
                vec![given.line.to_string(), given.name.to_string(), store.to_owned()]
            })
            .collect();
        let mut text = show::table(&["LINE", "SECRET", "STORE"], &rows);
        text += &self.left();
        text += &self.findings();
        if let Some(file) = self.stored["unfinished"].as_str() {
            text += &format!("the adoption of {file} was cut off before it had ended: run it again\n");
        }
        text += &self.comments();
        text + &self.end()
    }

    /// What was sealed is in clear nowhere, not even where it is no value.
    fn comments(&self) -> String {
        let lines: Vec<String> = self.source.sealed_comments.iter().map(ToString::to_string).collect();
        let lines = lines.join(", ");
        match (lines.is_empty(), self.replaced) {
            (true, _) => String::new(),
            (false, None) => format!("--replace leaves the comments out, as they are sealed: lines {lines}\n"),
            (false, Some(_)) => format!(
                "the comments are left out, as they were sealed: lines {lines}; the original has them until --confirm, and then nothing has\n"
            ),
        }
    }

    fn left(&self) -> String {
        let left = &self.source.taken.left;
        let mut text = String::new();
        for (why, what) in [
            (Why::Empty, "have no value"),
            (Why::Expression, "are expressions or references already"),
            (Why::Structure, "are no passwords: lists, mappings, numbers"),
            (Why::Parameter, "are parameters beside the plan's passwords"),
        ] {
            let names: Vec<&str> = left.iter().filter(|left| left.why == why).map(|left| left.name.as_str()).collect();
            if !names.is_empty() {
                text += &format!("not taken, {} that {what}: {}\n", names.len(), listed(&names));
            }
        }
        text
    }

    fn findings(&self) -> String {
        let Survey { unknown, reused, weak, shared } = self.survey;
        let mut text = String::new();
        for unknown in unknown {
            let nearest = unknown.nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            text += &format!(
                "unknown: `{}` is not in the catalogue of {}, so nothing rotates it{nearest}\n",
                unknown.name,
                self.source.format.catalogue()
            );
        }
        for names in reused {
            let all = names.iter().map(SecretName::as_str).collect::<Vec<_>>().join(", ");
            // What nothing rotates keeps its value, where another can have a new one.
            let (own, others): (Vec<&SecretName>, Vec<&SecretName>) =
                names.iter().partition(|name| unknown.iter().any(|unknown| unknown.name == **name));
            let keeps = usize::from(own.is_empty());
            let rotated: Vec<&str> = others.iter().skip(keeps).map(|name| name.as_str()).collect();
            let put = own.iter().skip(1).map(|name| format!("donjon put {name}, and the same where it is used"));
            let rotated = (!rotated.is_empty()).then(|| format!("donjon rotate apply {}", rotated.join(" ")));
            let ways: Vec<String> = rotated.into_iter().chain(put).collect();
            text += &format!("reused: {all} have one value; split them: {}\n", ways.join("; "));
        }
        for weak in weak {
            let how = match unknown.iter().any(|unknown| unknown.name == weak.name) {
                true => "nothing rotates it, so renew it where it is used".to_owned(),
                false => format!("renew it: donjon rotate apply {}", weak.name),
            };
            text += &format!(
                "weak: `{}` has {} characters, {} bits at best; {how}\n",
                weak.name, weak.characters, weak.bits
            );
        }
        for shared in shared {
            text += &format!(
                "shared: `{}` feeds {} credentials ({}), which change together; split it: give OTHER one of them in a catalogue of your own (donjon config sample --catalogue {}), then --split {}=OTHER\n",
                shared.name,
                shared.targets.len(),
                shared.targets.join(", "),
                self.source.format.catalogue(),
                shared.name
            );
        }
        text
    }

    fn end(&self) -> String {
        let file = self.adopt.file.display();
        let count = self.source.taken.given.len();
        match (self.adopt.plan, self.replaced) {
            (true, _) if !self.asked => format!("{count} values; the store was not asked: donjon is not up\n"),
            (true, _) => format!("{count} values; nothing was done yet\n"),
            (false, None) => {
                let then = match self.source.opened.sealed {
                    Sealed::Archive => {
                        "nothing in an archive is replaced; --confirm erases it, where its plan has nothing else"
                    }
                    Sealed::Plain | Sealed::Vault => {
                        "--replace puts references in it, --confirm erases the original then"
                    }
                };
                format!("{count} values are stored and were read back; {file} is as it was: {then}\n")
            }
            (false, Some(replaced)) => {
                let named = |what: &str, names: &[SecretName]| match names {
                    [] => String::new(),
                    names => {
                        format!("{what}: {}\n", names.iter().map(SecretName::as_str).collect::<Vec<_>>().join(", "))
                    }
                };
                let stays = named("still in clear, as heat knows no reference to them", &replaced.stays);
                let unreferred = named("nothing in the file refers to", &replaced.unreferred);
                format!(
                    "{stays}{unreferred}{count} values are stored and were read back; {file} holds references\nthe original is kept beside it: --confirm erases it, --undo puts it back\n"
                )
            }
        }
    }
}

/// Says what erasing did, and what it cannot do.
pub(super) fn erased(context: &Context, file: &Path, erased: &Erased) -> Result<(), Failure> {
    let path = file.display().to_string();
    let all = json!({"erased": path, "other_names": erased.other_names, "beyond_reach": BEYOND});
    show::answer(context.output, &all, || {
        let mut text = format!("{path} was overwritten and removed\n");
        if erased.other_names > 0 {
            text += &format!("it has {} other names, which hold zeros now\n", erased.other_names);
        }
        text + BEYOND + "\n"
    })
}

/// Says that no original is left, since it was erased before.
pub(super) fn confirmed_before(context: &Context, file: &Path) -> Result<(), Failure> {
    let path = file.display().to_string();
    show::answer(context.output, &json!({"erased": null, "file": path}), || {
        format!("{path} holds references, and no original is beside it: it was confirmed before; nothing to do\n")
    })
}

/// Says that the original is back, and what of it the store has otherwise by now, where that could be seen.
pub(super) fn undone(
    context: &Context,
    file: &Path,
    beside: Option<&Path>,
    differing: Result<Vec<String>, Failure>,
) -> Result<(), Failure> {
    let (path, beside) = (file.display().to_string(), beside.map(|beside| beside.display().to_string()));
    let all = json!({"undone": path, "beside": beside, "differing": differing.as_ref().ok()});
    show::answer(context.output, &all, || {
        let stored = match &differing {
            Ok(names) if names.is_empty() => "its values stay in the store too".to_owned(),
            Ok(names) => format!(
                "in the store these have other values by now: {}\nwhere they were rotated, servers accept those of the store and no longer these: the deployer is not to run with this file",
                names.join(", ")
            ),
            Err(failure) => format!(
                "whether the store has other values by now could not be seen ({}); where they were rotated, the deployer is not to run with this file",
                failure.message
            ),
        };
        let stood = match &beside {
            Some(beside) => format!("what stood there until now is {beside}"),
            None => "nothing stood there".to_owned(),
        };
        format!("{path} is as it was\n{stored}\n{stood}\n")
    })
}

fn listed(names: &[&str]) -> String {
    let shown = names[..names.len().min(MOST_LISTED)].join(", ");
    match names.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

const MOST_LISTED: usize = 8;
const BEYOND: &str = "out of reach: what flash, journals, copy-on-write file systems, snapshots, backups, editors and git keep of it. \
    `donjon scan` finds copies; a value that others may have read is renewed by `donjon rotate apply NAME --compromised --accept-outage`";
