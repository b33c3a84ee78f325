//! Rows become templates, and templates rows again.

use super::{
    format::{NoFormat, escaped, filled},
    setting::{Credential, Parts, Setting},
};
use donjon_drivers::material::Material;
use zeroize::Zeroizing;

/// What becomes of a row.
#[derive(Debug)]
pub enum Row {
    /// This template, which says the same.
    Template(Material),
    /// Nothing: it has no password, or a field where one would stand.
    Stays,
}

/// Why a row is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTemplate {
    /// No URL.
    #[error("it is not of the form scheme://user:password@host")]
    Form,
    /// Nobody can say where the password ends.
    #[error("a host in it has more than one `@`")]
    At,
    /// nova's own settings would give it another user.
    #[error("its user is another one than that of the setting")]
    OtherUser,
    /// nova's own settings would give it another password.
    #[error("its password is another one than that of the setting")]
    OtherPassword,
    /// nova cannot read it either.
    #[error("nova cannot read it")]
    Format(#[from] NoFormat),
}

/// The template that says what a row says, as long as the setting says what it does.
pub fn template(row: &str, setting: &Setting) -> Result<Row, NoTemplate> {
    let said = filled(row, setting)?;
    let made = credentials(row, |user, password| {
        if is_field(password) {
            return Ok(None);
        }
        let [said_user, said_password] = [user, password].map(|text| filled(text, setting));
        let credential = fitting(setting, &said_user?, &said_password?)?;
        let number = &credential.number;
        Ok(Some(Zeroizing::new(format!("{{username{number}}}:{{password{number}}}"))))
    })?;
    match made {
        None => Ok(Row::Stays),
        // The last word has the whole: it must say the same.
        Some(made) if *filled(&made, setting)? == *said => Ok(Row::Template(Material::from(made.to_string()))),
        Some(_) => Err(NoTemplate::Form),
    }
}

/// The row that says what a template of ours says, with the values in it.
pub fn row(template: &str, setting: &Setting) -> Result<Material, NoTemplate> {
    let made = credentials(template, |user, password| {
        if !is_field(password) {
            return Ok(None);
        }
        let [user, password] = [filled(user, setting)?, filled(password, setting)?];
        Ok(Some(Zeroizing::new(format!("{}:{}", *escaped(&user), *escaped(&password)))))
    })?;
    Ok(Material::from(made.ok_or(NoTemplate::Form)?.to_string()))
}

/// A row for people: no password, and nothing of the query.
pub fn shown(row: &str) -> String {
    let covered = credentials(row, |user, password| {
        Ok(Some(Zeroizing::new(if is_field(password) {
            format!("{user}:{password}")
        } else {
            format!("{user}:{HIDDEN}")
        })))
    });
    let Ok(covered) = covered else { return HIDDEN.to_owned() };
    let covered = covered.as_ref().map_or(row, |covered| covered.as_str());
    covered.split_once('?').map_or_else(|| covered.to_owned(), |(before, _)| format!("{before}?…"))
}

/// A row with the `user:password` of each host as `change` has it; `None` where nothing changed.
fn credentials(
    row: &str,
    change: impl Fn(&str, &str) -> Result<Option<Zeroizing<String>>, NoTemplate>,
) -> Result<Option<Zeroizing<String>>, NoTemplate> {
    let Parts { scheme, hosts, rest } = Parts::of(row).ok_or(NoTemplate::Form)?;
    let mut changed = false;
    let mut made = Zeroizing::new(String::with_capacity(row.len() + ROOM));
    made.push_str(scheme);
    made.push_str("://");
    for (number, host) in hosts.split(',').enumerate() {
        made.push_str(if number == 0 { "" } else { "," });
        let (before, at) = match host.split_once('@') {
            None => ("", host),
            Some((_, at)) if at.contains('@') => return Err(NoTemplate::At),
            Some((before, at)) => (before, at),
        };
        let new = match before.split_once(':') {
            Some((user, password)) => change(user, password)?,
            None => None,
        };
        changed |= new.is_some();
        made.push_str(new.as_ref().map_or(before, |new| new.as_str()));
        made.push_str(if before.is_empty() && !host.starts_with('@') { "" } else { "@" });
        made.push_str(at);
    }
    made.push_str(rest);
    Ok(changed.then_some(made))
}

/// The credential of the setting that is this one: of several, that of the first host that has it.
fn fitting<'s>(setting: &'s Setting, user: &str, password: &str) -> Result<&'s Credential, NoTemplate> {
    let same = |credential: &&Credential| *credential.user == user && *credential.password == password;
    let of_user = |credential: &Credential| *credential.user == user;
    match setting.credentials().iter().find(same) {
        Some(credential) => Ok(credential),
        None if setting.credentials().iter().any(of_user) => Err(NoTemplate::OtherPassword),
        None => Err(NoTemplate::OtherUser),
    }
}

fn is_field(password: &str) -> bool {
    let name = password.strip_prefix("{password").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

const HIDDEN: &str = "********";
/// A text that holds a password is not to grow, which would leave a copy behind.
const ROOM: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(row: &str, setting: &str) -> Result<Option<String>, NoTemplate> {
        let setting = Setting::of(setting).unwrap();
        match template(row, &setting)? {
            Row::Stays => Ok(None),
            Row::Template(made) => {
                let made = made.expose_text().unwrap(); // EXPOSE: a test value
                // It says the same as before, and goes back.
                assert_eq!(filled(made, &setting), filled(row, &setting));
                let back = super::row(made, &setting).unwrap();
                assert_eq!(filled(back.expose_text().unwrap(), &setting), filled(row, &setting)); // EXPOSE: a test value
                Ok(Some(made.to_owned()))
            }
        }
    }

    const DATABASE: &str = "mysql+pymysql://nova:pw-4711@10.0.0.11:3306/nova?charset=utf8";

    #[test]
    fn user_and_password_become_fields_and_all_else_stays() {
        for (row, setting, wanted) in [
            (DATABASE, DATABASE, Some("mysql+pymysql://{username}:{password}@10.0.0.11:3306/nova?charset=utf8")),
            // The database, the host and the query of a cell are its own.
            (
                "mysql+pymysql://nova:pw-4711@db2/nova_cell0",
                DATABASE,
                Some("mysql+pymysql://{username}:{password}@db2/nova_cell0"),
            ),
            ("none:///", DATABASE, None),
            ("rabbit://", DATABASE, None),
            ("mysql://nova@10.0.0.11/nova", DATABASE, None),
            // kolla's own.
            ("{scheme}://{username}:{password}@{hostname}:{port}/{path}?{query}", DATABASE, None),
            // A half of one.
            (
                "mysql+pymysql://nova:pw-4711@{hostname}/nova",
                DATABASE,
                Some("mysql+pymysql://{username}:{password}@{hostname}/nova"),
            ),
            // Several hosts, in the row, in the setting, in both.
            (
                "rabbit://u:p@h1:5672,u:p@h2:5672//",
                "rabbit://u:p@h1:5672/",
                Some("rabbit://{username}:{password}@h1:5672,{username}:{password}@h2:5672//"),
            ),
            (
                "rabbit://u:p@h1:5672,v:q@h2:5672//",
                "rabbit://u:p@h1:5672,v:q@h2:5672//",
                Some("rabbit://{username1}:{password1}@h1:5672,{username2}:{password2}@h2:5672//"),
            ),
            ("rabbit://u:p@h9//", "rabbit://u:p@h1,u:p@h2//", Some("rabbit://{username1}:{password1}@h9//")),
            // Braces of a password are written twice by who knows nova.
            ("mysql://u:a{{b@h/n", "mysql://u:a{b@h/n", Some("mysql://{username}:{password}@h/n")),
        ] {
            assert_eq!(made(row, setting).unwrap().as_deref(), wanted, "{row}");
        }
    }

    #[test]
    fn what_would_say_something_else_is_left() {
        for (row, wanted) in [
            ("mysql+pymysql://nova:other@10.0.0.11/nova", NoTemplate::OtherPassword),
            ("mysql+pymysql://nova:pw%2D4711@10.0.0.11/nova", NoTemplate::OtherPassword),
            ("mysql+pymysql://cell2:pw-4711@10.0.0.11/nova", NoTemplate::OtherUser),
            ("mysql+pymysql://nova:p@w@10.0.0.11/nova", NoTemplate::At),
            ("nova", NoTemplate::Form),
            ("mysql+pymysql://nova:pw-4711@{host}/nova", NoTemplate::Format(NoFormat::Field)),
            ("mysql+pymysql://nova:a{b@h/nova", NoTemplate::Format(NoFormat::Brace)),
        ] {
            assert_eq!(made(row, DATABASE), Err(wanted), "{row}");
        }
    }

    #[test]
    fn people_see_no_password() {
        for (row, wanted) in [
            (DATABASE, "mysql+pymysql://nova:********@10.0.0.11:3306/nova?…"),
            ("rabbit://u:p@h1,v:q@h2//", "rabbit://u:********@h1,v:********@h2//"),
            ("rabbit://{username}:{password}@h1//", "rabbit://{username}:{password}@h1//"),
            ("none:///", "none:///"),
            ("mysql://u:p@ss@h/n", "********"),
            ("secret", "********"),
        ] {
            assert_eq!(shown(row), wanted, "{row}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_password_is_it_is_not_shown_and_comes_back(
            password in r"[!-~&&[^@/?#,\[\]]]{8,40}",
            port in prop::option::of(1u16..),
        ) {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            let setting = format!("mysql+pymysql://nova:{password}@db{port}/nova");
            let row = escaped(&format!("mysql+pymysql://nova:{password}@db{port}/nova_cell0"));
            let wanted = format!("mysql+pymysql://{{username}}:{{password}}@db{port}/nova_cell0");
            prop_assert_eq!(made(&row, &setting).unwrap(), Some(wanted));
            prop_assert!(!shown(&row).contains(password.as_str()));
        }
    }
}
