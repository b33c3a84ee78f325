//! One question to the program: the line and the frames that it reads, and the line that it answers.

use super::server::Settings;
use crate::{
    host::{self, Host, local::Local},
    material::Material,
    target::{Account, Admin, Mark, Node},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What is asked. What does not belong to an operation is not there.
#[derive(Debug, Default, Serialize)]
pub(super) struct Question<'a> {
    pub(super) operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<&'a Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) twin: Option<&'a Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Mark>,
}

/// What the program answers. What does not belong to an operation is not there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) accounts: Option<Vec<Account>>,
    pub(super) hazards: Vec<String>,
    pub(super) login: Option<String>,
    pub(super) mark: Option<Mark>,
    pub(super) sessions: Option<Vec<Session>>,
    pub(super) error: Option<String>,
    pub(super) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    pub(super) mark: Mark,
    pub(super) from: String,
    #[serde(default)]
    pub(super) since: Option<u64>,
}

#[derive(Serialize)]
struct Header<'a> {
    protocol: u32,
    target: &'a str,
    node: Place<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    administrator: Option<&'a str>,
    frames: Vec<&'static str>,
    #[serde(flatten)]
    question: &'a Question<'a>,
}

#[derive(Serialize)]
struct Place<'a> {
    name: &'a str,
    address: &'a str,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    /// The program could not be run, or not to its end.
    #[error(transparent)]
    Run(#[from] host::HostError),
    /// It failed.
    #[error("the program ended with {0:?} instead of 0")]
    Failed(Option<i32>),
    /// It said something else.
    #[error("the program answered something that is not understood")]
    NotUnderstood,
}

/// Asks the program.
pub(super) async fn ask(
    settings: &Settings,
    node: &Node,
    admin: Option<&Admin<'_>>,
    values: &[&Material],
    question: &Question<'_>,
) -> Result<Answer, Silence> {
    let input = input(settings, node, admin, values, question);
    let words: Vec<&str> = settings.program.iter().map(String::as_str).collect();
    let command = host::Command { words: &words, input: Some(&input), within: settings.within };
    let output = Local::new("the deployment host", vec![]).run(command).await?;
    if output.code != Some(0) {
        return Err(Silence::Failed(output.code));
    }
    // EXPOSE: the program's answer, in which no value stands
    parse(output.out.expose())
}

fn parse(line: &[u8]) -> Result<Answer, Silence> {
    let line = line.strip_suffix(b"\n").filter(|line| !line.contains(&b'\n')).ok_or(Silence::NotUnderstood)?;
    // A list would be taken for the fields in their order.
    let line = Some(line).filter(|line| line.starts_with(b"{")).ok_or(Silence::NotUnderstood)?;
    let mut answer: Answer = serde_json::from_slice(line).map_err(|_| Silence::NotUnderstood)?;
    for text in answer.hazards.iter_mut().chain([&mut answer.why]) {
        *text = text.chars().filter(|letter| !letter.is_control()).take(MOST_TEXT).collect();
    }
    Ok(answer)
}

const MOST_TEXT: usize = 300;

fn input(
    settings: &Settings,
    node: &Node,
    admin: Option<&Admin<'_>>,
    values: &[&Material],
    question: &Question<'_>,
) -> Material {
    let administrators = admin.map_or(&[][..], |admin| admin.values);
    let kinds = std::iter::repeat_n("administrator", administrators.len());
    let header = Header {
        protocol: 1,
        target: &settings.target,
        node: Place { name: &node.name, address: &node.address },
        administrator: admin.map(|admin| admin.user),
        frames: kinds.chain(std::iter::repeat_n("value", values.len())).collect(),
        question,
    };
    let header = serde_json::json!(header).to_string();
    let frames: Vec<&Material> = administrators.iter().chain(values).copied().collect();
    // Its whole length at once, so that it never moves and leaves nothing behind.
    let length = header.len() + 1 + frames.iter().map(|frame| frame.len() + 24).sum::<usize>();
    let mut input = Zeroizing::new(Vec::with_capacity(length));
    input.extend_from_slice(header.as_bytes());
    input.push(b'\n');
    for frame in frames {
        input.extend_from_slice(format!("{}\n", frame.len()).as_bytes());
        input.extend_from_slice(frame.expose()); // EXPOSE: into the program's pipe, the one way a value goes there
        input.push(b'\n');
    }
    Material::new(input.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_input_is_as_documented() {
        let settings = Settings {
            target: "t".into(),
            program: vec![],
            values_at_once: 2,
            within: Duration::from_secs(1),
            ..Settings::default()
        };
        let node = Node { name: "n".into(), address: "a:1".into() };
        let (keeper, value) = (Material::from("k\n1".to_owned()), Material::new(vec![0xff, b'\n']));
        let admin = Admin { user: "root", values: &[&keeper], fence: None, passes: &[] };
        let account = Account { user: "app".into(), host: String::new() };
        let question = Question { operation: "declare", account: Some(&account), ..Question::default() };
        let input = input(&settings, &node, Some(&admin), &[&value], &question);
        let expected = b"{\"account\":{\"host\":\"\",\"user\":\"app\"},\"administrator\":\"root\",\"frames\":[\"administrator\",\"value\"],\
            \"node\":{\"address\":\"a:1\",\"name\":\"n\"},\"operation\":\"declare\",\"protocol\":1,\"target\":\"t\"}\n3\nk\n1\n2\n\xff\n\n";
        assert_eq!(input.expose(), expected); // EXPOSE: values of a test
    }

    #[test]
    fn an_answer_is_one_line_of_what_is_known() {
        assert_eq!(parse(b"{\"login\":\"accepted\"}\n").unwrap().login.as_deref(), Some("accepted"));
        assert_eq!(parse(b"{\"error\":\"unable\",\"why\":\"a\\u001b[1mb\"}\n").unwrap().why, "a[1mb");
        for wrong in [&b""[..], b"{}", b"\n", b"{}\n{}\n", b"{\"other\":1}\n", b"[]\n", b"\xff\n"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
