//! `donjon wire nova`: the URLs in nova's cell mappings become templates, to be undone.

use crate::{
    cli::{
        Context,
        command::config::reading::{Files, runtime},
        show,
    },
    failure::{Exit, Failure},
    settings::outcome,
    wire::cells::{
        setting::{NoSetting, Setting},
        template::{NoTemplate, Row, row, shown, template},
    },
};
use clap::Args;
use donjon_drivers::{
    cells::{Cell, CellsError, Change, Column, Place, Table},
    fs,
    material::Material,
    source::{Configuration, OptionName, Origin},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Turn the URLs in nova's cell mappings into templates once, so that rotation never touches them.
///
/// nova keeps the URLs of each cell's database and messages in its API database, with their passwords. It takes templates
/// too: in place of `{username}` and `{password}` it reads those of its own settings, [database] connection and [DEFAULT]
/// transport_url. A row becomes one only where nova reads the same from it as before; its host, database and query stay its
/// own. If one row cannot, none is changed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon wire nova --config-file /etc/nova/nova.conf --plan\n  donjon wire nova --config-file /etc/nova/nova.conf\n  donjon wire nova --config-file /etc/nova/nova.conf --leave 2f5ea1c4-4b5c-4b40-9f1a-5f0f3f6d2a11\n  donjon wire nova --config-file /etc/nova/nova.conf --undo"
)]
pub(super) struct Nova {
    #[command(flatten)]
    files: Files,
    /// Leave a cell alone, by its UUID: one with a password of its own.
    #[arg(long, value_name = "UUID")]
    leave: Vec<String>,
    /// Only print what would change.
    #[arg(long)]
    plan: bool,
    /// Put the values of the settings back where this has put templates. They stand in the table again, and in the server's
    /// own logs.
    #[arg(long)]
    undo: bool,
}

/// Templates that were put into a table, by database. It holds no value.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    databases: BTreeMap<String, BTreeSet<Put>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Put {
    uuid: String,
    column: Column,
    template: String,
}

/// nova's settings.
struct Settings {
    place: Place,
    database: Option<Setting>,
    transport: Option<Setting>,
}

/// One field of the table.
struct Field<'a> {
    cell: &'a Cell,
    column: Column,
    before: &'a Material,
    becomes: Becomes,
}

enum Becomes {
    This(Material),
    Stays(&'static str),
    Refused(String),
}

impl Nova {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.files.none() {
            return Err(Failure::new(Exit::Usage, "no configuration file is named")
                .hint("`--config-file FILE` names one, the one that nova's API reads"));
        }
        runtime()?.block_on(async {
            let settings = Settings::read(&self.files.open(context).await?).await?;
            let mut table = Table::open(&settings.place).await.map_err(failed)?;
            let done = self.turn(context, &settings, &mut table).await;
            table.close().await;
            done
        })
    }

    async fn turn(&self, context: &Context, settings: &Settings, table: &mut Table) -> Result<(), Failure> {
        let cells = table.cells().await.map_err(failed)?;
        let mut kept = Kept::read(context)?;
        let ours = kept.databases.entry(settings.place.to_string()).or_default();
        let fields: Vec<Field<'_>> = cells.iter().flat_map(|cell| self.fields(cell, settings, ours)).collect();
        let refused: Vec<String> = fields.iter().filter_map(Field::refusal).collect();
        if !refused.is_empty() {
            let mut failure = Failure::new(Exit::Refused, format!("the cells in {} stay as they are", settings.place));
            failure.causes = refused;
            return Err(failure.state("nothing was changed").hint(
                "give the row what nova's settings say, by `nova-manage cell_v2 update_cell`, or say `--leave UUID`",
            ));
        }
        let changes: Vec<Change<'_>> = fields.iter().filter_map(Field::change).collect();
        if !self.plan && !changes.is_empty() {
            if !self.undo {
                // First, so that what was put can be undone whatever happens.
                ours.extend(changes.iter().map(Put::of));
                kept.write(context)?;
            }
            table.change(&changes).await.map_err(failed)?;
            if self.undo {
                let ours = kept.databases.entry(settings.place.to_string()).or_default();
                ours.retain(|put| !changes.iter().any(|c| c.uuid == put.uuid && c.column == put.column));
                kept.write(context)?;
            }
        }
        self.tell(context, &fields)
    }

    fn fields<'a>(&self, cell: &'a Cell, settings: &Settings, ours: &BTreeSet<Put>) -> Vec<Field<'a>> {
        [Column::DatabaseConnection, Column::TransportUrl]
            .map(|column| {
                let (before, setting) = match column {
                    Column::DatabaseConnection => (&cell.database, &settings.database),
                    Column::TransportUrl => (&cell.transport, &settings.transport),
                };
                // EXPOSE: taken apart; what is made of it is a template, or material again
                let becomes = match before.expose_text() {
                    _ if self.leave.contains(&cell.uuid) => Becomes::Stays("left, as was asked"),
                    Err(why) => Becomes::Refused(why.to_string()),
                    Ok(text) if self.undo => undone(cell, column, text, setting.as_ref(), ours),
                    Ok(text) => turned(text, setting.as_ref()),
                };
                Field { cell, column, before, becomes }
            })
            .into()
    }

    fn tell(&self, context: &Context, fields: &[Field<'_>]) -> Result<(), Failure> {
        let changed = fields.iter().filter(|field| field.change().is_some()).count();
        let rows: Vec<_> = fields.iter().map(Field::described).collect();
        show::answer(context.output, &json!({"planned": self.plan, "changed": changed, "fields": rows}), || {
            let mut text = String::new();
            for field in fields {
                text += &field.told();
            }
            text + match (changed, self.plan, self.undo) {
                (0, ..) => "nothing to change\n",
                (_, true, _) => "nothing was done yet\n",
                (_, false, true) => "done; the values stand in the table again, and in the server's own logs\n",
                (_, false, false) => "done; `--undo` puts the values back\n",
            }
        })
    }
}

/// What a field becomes.
fn turned(text: &str, setting: Option<&Setting>) -> Becomes {
    let Some(setting) = setting else { return without(text) };
    match template(text, setting) {
        Ok(Row::Template(made)) => Becomes::This(made),
        Ok(Row::Stays) => Becomes::Stays("no password stands there"),
        Err(why) => Becomes::Refused(why.to_string()),
    }
}

/// Without a setting nova fills nothing: a password has to stay.
fn without(text: &str) -> Becomes {
    match shown(text) == text {
        true => Becomes::Stays("no password stands there"),
        false => Becomes::Refused("nova's settings have no such URL".to_owned()),
    }
}

/// What a field was before, where it holds what this has put there.
fn undone(cell: &Cell, column: Column, text: &str, setting: Option<&Setting>, ours: &BTreeSet<Put>) -> Becomes {
    let mine = |put: &Put| put.uuid == cell.uuid && put.column == column && put.template == text;
    if !ours.iter().any(mine) {
        return Becomes::Stays("not what was put there");
    }
    match setting.ok_or(NoTemplate::Form).and_then(|setting| row(text, setting)) {
        Ok(made) => Becomes::This(made),
        Err(why) => Becomes::Refused(why.to_string()),
    }
}

impl Field<'_> {
    fn change(&self) -> Option<Change<'_>> {
        match &self.becomes {
            Becomes::This(after) => {
                Some(Change { uuid: &self.cell.uuid, column: self.column, before: self.before, after })
            }
            Becomes::Stays(_) | Becomes::Refused(_) => None,
        }
    }

    fn refusal(&self) -> Option<String> {
        match &self.becomes {
            Becomes::Refused(why) => Some(format!("{} of {}: {why}", self.column, self.named())),
            Becomes::This(_) | Becomes::Stays(_) => None,
        }
    }

    fn named(&self) -> String {
        match &self.cell.name {
            Some(name) => format!("{name} ({})", self.cell.uuid),
            None => self.cell.uuid.clone(),
        }
    }

    /// As people see it, before and after.
    fn shown(&self) -> (String, Option<String>) {
        // EXPOSE: covered before it is shown
        let covered = |material: &Material| material.expose_text().map_or_else(|_| String::new(), shown);
        let after = match &self.becomes {
            Becomes::This(after) => Some(covered(after)),
            Becomes::Stays(_) | Becomes::Refused(_) => None,
        };
        (covered(self.before), after)
    }

    fn told(&self) -> String {
        let place = format!("{} {}", self.named(), self.column);
        match (self.shown(), &self.becomes) {
            ((before, Some(after)), _) => format!("- {place} = {before}\n+ {place} = {after}\n"),
            ((before, None), Becomes::Stays(why)) => format!("= {place} = {before}: {why}\n"),
            ((before, None), _) => format!("= {place} = {before}\n"),
        }
    }

    fn described(&self) -> serde_json::Value {
        let (before, after) = self.shown();
        let why = if let Becomes::Stays(why) = self.becomes { Some(why) } else { None };
        json!({
            "cell": self.cell.uuid, "name": self.cell.name, "column": self.column,
            "before": before, "after": after, "stays": why,
        })
    }
}

impl Settings {
    async fn read(configuration: &Configuration) -> Result<Self, Failure> {
        let api = OptionName::new("api_database", "connection");
        let place = text(configuration, &api).await?.ok_or_else(|| {
            Failure::new(Exit::NotThere, format!("{api} is not set"))
                .state("nothing was done")
                .hint("name the file of a nova that has an API database: that of its API, not of a compute node")
        })?;
        // EXPOSE: taken apart
        let place = place.expose_text().ok().map(Place::of);
        let place =
            place.transpose().map_err(|why| Failure::new(Exit::Usage, format!("cannot use {api}")).because(&why))?;
        let place = place.ok_or_else(|| Failure::new(Exit::Usage, format!("{api} is no text")))?;
        let database = setting(configuration, OptionName::new("database", "connection")).await?;
        let transport = setting(configuration, OptionName::new("DEFAULT", "transport_url")).await?;
        Ok(Self { place, database, transport })
    }
}

async fn setting(configuration: &Configuration, option: OptionName) -> Result<Option<Setting>, Failure> {
    let Some(url) = text(configuration, &option).await? else { return Ok(None) };
    let unusable = || Failure::new(Exit::Usage, format!("cannot use {option}")).state("nothing was done");
    // EXPOSE: taken apart
    let url = url.expose_text().map_err(|why| unusable().because(&why))?;
    match Setting::of(url) {
        Ok(setting) => Ok(Some(setting)),
        // Nothing of it could stand in a row.
        Err(NoSetting::NoCredential) => Ok(None),
        Err(why @ (NoSetting::Form | NoSetting::Port)) => Err(unusable().because(&why)),
    }
}

async fn text(configuration: &Configuration, option: &OptionName) -> Result<Option<Material>, Failure> {
    let found = configuration.read(option).await.map_err(|error| outcome::reading(&error))?;
    let text = found.value.text();
    Ok((found.origin != Origin::Nowhere).then(|| Material::new(text.as_bytes().to_vec())))
}

impl Put {
    fn of(change: &Change<'_>) -> Self {
        // EXPOSE: a template, which holds no value
        let template = String::from_utf8_lossy(change.after.expose()).into_owned();
        Self { uuid: change.uuid.to_owned(), column: change.column, template }
    }
}

impl Kept {
    fn read(context: &Context) -> Result<Self, Failure> {
        let path = path(context);
        let odd = |failure: Failure| failure.state("nothing was done");
        if !path.exists() {
            return Ok(Self { format: FORMAT, databases: BTreeMap::new() });
        }
        let failed = || Failure::new(Exit::Failed, format!("cannot read {}", path.display()));
        let bytes = fs::read_private(&path).map_err(|error| odd(failed().because(&error)))?;
        let kept: Self = serde_json::from_slice(&bytes).map_err(|error| odd(failed().because(&error)))?;
        if kept.format == FORMAT { Ok(kept) } else { Err(odd(failed().cause("it was written by another version"))) }
    }

    fn write(&self, context: &Context) -> Result<(), Failure> {
        let path = path(context);
        let failed = || Failure::new(Exit::Failed, format!("cannot write {}", path.display()));
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed().because(&error))?;
        fs::private_folder(context.home.folder()).map_err(|error| failed().because(&error))?;
        fs::replace(&path, &text).map_err(|error| failed().because(&error).state("the table is as it was"))
    }
}

fn path(context: &Context) -> PathBuf {
    context.home.folder().join("nova-cells.json")
}

fn failed(error: CellsError) -> Failure {
    let (code, state) = match &error {
        CellsError::Unreachable { .. } => {
            (Exit::Unavailable, "each row is as it was, or as it was to be; run it again")
        }
        CellsError::Denied { .. } => (Exit::NotAllowed, "nothing was done"),
        CellsError::NoTable(_) => (Exit::NotThere, "nothing was done"),
        CellsError::Changed { .. } => (Exit::Conflict, "nothing was changed; run it again"),
        CellsError::Answered { .. } | CellsError::Odd { .. } => {
            (Exit::Failed, "no row was changed, or all were; run it again")
        }
        CellsError::NotWritten { .. } => (Exit::Conflict, "somebody else writes there; look with --plan"),
    };
    Failure::new(code, "nova's cells cannot be wired").because(&error).state(state)
}

const FORMAT: u32 = 1;
