//! What was asked: a method, one canonical path, a token. Paths have one spelling before anything is decided on them.

use super::form;
use donjon_drivers::{material::Material, store::RecordPath};
use hyper::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

/// A request whose head was understood.
#[derive(Debug)]
pub(super) struct Asked {
    /// The one that is meant: what is read may be asked for with `list` or `scan`.
    pub(super) method: Method,
    /// `list` or `scan` is no truth value, or both are true.
    pub(super) unclear: bool,
    pub(super) route: Route,
    /// The path ends as a folder's does.
    pub(super) folder: bool,
    pub(super) query: Query,
    pub(super) token: Option<Material>,
    pub(super) namespace: Namespace,
    pub(super) media: Media,
    /// An answer wrapped in a token was asked for, which there is none of here.
    pub(super) wrapped: bool,
    pub(super) body: Material,
}

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// What the server says of itself.
    Itself(Itself),
    /// What is not done here, whoever asks.
    Sealing(Sealing),
    Login(By),
    /// What a token asks about itself.
    Token(Wish),
    Mounts(Mounts),
    /// Many records at once.
    Records,
    /// A version of a record; `None` for what is no path of one.
    Data(Option<RecordPath>),
    /// A record's versions, or a folder's names.
    Metadata(Entry),
    /// Another spelling of this path.
    Elsewhere(String),
    /// Something below `/v1/` that is not served here.
    Unknown,
    /// Outside `/v1/`.
    Outside,
}

impl Route {
    /// Whether it is about the server as a whole: in no namespace, and with no other method than the one that was sent.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, Self::Itself(_) | Self::Sealing(_))
    }

    /// Whether the answer stands on something that is written for good.
    pub(super) fn keeps(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Token(Wish::Renewal | Wish::Revocation))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Itself {
    Health,
    SealStatus,
    Init,
    Leader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealing {
    Seal,
    Unseal,
}

/// What one logs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A role-id and a secret-id.
    AppRole,
    /// The key of a client's certificate.
    Key,
}

/// What a token asks about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Lookup,
    Renewal,
    Revocation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mounts {
    All,
    /// The mount of a path that is in ours.
    Ours,
    /// That of another.
    Other,
}

/// What a metadata path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// The mount itself.
    Root,
    /// A record, or a folder written without its slash.
    Named(RecordPath),
    /// A folder, written with its slash.
    Folder(RecordPath),
    /// No path.
    Unnamed,
}

/// The parameters that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Each `version`, as typed.
    pub(super) version: Vec<String>,
    /// The first `list`, as typed.
    pub(super) list: Option<String>,
    /// The first `scan`, as typed: names at every depth.
    pub(super) scan: Option<String>,
    /// The first `activecode`, as typed: the status that `sys/health` is to answer with where all is well.
    pub(super) active: Option<String>,
    /// `sealedcode`, as typed: the same where nothing can be read.
    pub(super) sealed: Option<String>,
}

/// Which namespace was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    /// None was named.
    Unnamed,
    /// The one there is.
    Root,
    /// Another.
    Other,
}

/// What the body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// A patch.
    MergePatch,
    /// A form.
    Form,
    /// Something else.
    Other,
    /// Nothing, or what is no media type, and why.
    Unclear(&'static str),
}

impl Asked {
    pub(super) fn new(mount: &RecordPath, method: Method, uri: &Uri, headers: &HeaderMap, body: Material) -> Self {
        let (route, query) = (route(mount, uri.path()), query(uri.query().unwrap_or_default()));
        let meant = if method == Method::GET { query.meant() } else { Some(method.clone()) };
        Self {
            unclear: meant.is_none(),
            method: meant.filter(|_| !route.is_of_server()).unwrap_or(method),
            route,
            folder: uri.path().ends_with('/'),
            query,
            token: token(headers),
            namespace: namespace(headers),
            media: media(headers),
            wrapped: headers.contains_key("x-vault-wrap-ttl"),
            body,
        }
    }
}

impl Query {
    /// What a GET with these means; `None` where that cannot be told.
    fn meant(&self) -> Option<Method> {
        match (truth(self.list.as_deref())?, truth(self.scan.as_deref())?) {
            (true, true) => None,
            (true, false) => Method::from_bytes(b"LIST").ok(),
            (false, true) => Method::from_bytes(b"SCAN").ok(),
            (false, false) => Some(Method::GET),
        }
    }
}

/// A truth value as Go's `strconv.ParseBool` reads one; none, or an empty one, is false.
fn truth(text: Option<&str>) -> Option<bool> {
    match text {
        Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Some(true),
        None | Some("" | "false" | "0" | "f" | "F" | "FALSE" | "False") => Some(false),
        Some(_) => None,
    }
}

fn route(mount: &RecordPath, raw: &str) -> Route {
    // Decoded once; what still holds a `%` after that is no name.
    let Ok(path) = percent_decode_str(raw).decode_utf8() else { return Route::Outside };
    let Some(below) = path.strip_prefix("/v1/") else { return Route::Outside };
    if below.is_empty() {
        return Route::Unknown;
    }
    match canonical(below) {
        Some(clean) if clean == below => known(mount, below),
        Some(clean) => Route::Elsewhere(format!("/v1/{clean}")),
        None => known(mount, below),
    }
}

/// The one spelling of a path, where it is made of names; `None` where it is not.
fn canonical(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let clean: RecordPath = segments.join("/").parse().ok()?;
    let slash = if path.ends_with('/') { "/" } else { "" };
    Some(format!("{clean}{slash}"))
}

fn known(mount: &RecordPath, path: &str) -> Route {
    match path {
        "sys/health" => Route::Itself(Itself::Health),
        "sys/seal-status" => Route::Itself(Itself::SealStatus),
        "sys/init" => Route::Itself(Itself::Init),
        "sys/leader" => Route::Itself(Itself::Leader),
        "sys/seal" => Route::Sealing(Sealing::Seal),
        "sys/unseal" => Route::Sealing(Sealing::Unseal),
        "auth/approle/login" => Route::Login(By::AppRole),
        "auth/cert/login" => Route::Login(By::Key),
        "auth/token/lookup-self" => Route::Token(Wish::Lookup),
        "auth/token/renew-self" => Route::Token(Wish::Renewal),
        "auth/token/revoke-self" => Route::Token(Wish::Revocation),
        "sys/internal/ui/mounts" => Route::Mounts(Mounts::All),
        "sys/donjon/records" => Route::Records,
        other => match other.strip_prefix("sys/internal/ui/mounts/") {
            Some(asked) if below(mount, asked).is_some() => Route::Mounts(Mounts::Ours),
            Some(_) => Route::Mounts(Mounts::Other),
            None => below(mount, other).map_or(Route::Unknown, in_mount),
        },
    }
}

fn below<'a>(mount: &RecordPath, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(mount.as_str())?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

fn in_mount(path: &str) -> Route {
    let (engine, rest) = path.split_once('/').unwrap_or((path, ""));
    match engine {
        "data" => Route::Data(rest.parse().ok()),
        "metadata" if rest.is_empty() => Route::Metadata(Entry::Root),
        "metadata" => match rest.strip_suffix('/') {
            Some(folder) => Route::Metadata(folder.parse().map_or(Entry::Unnamed, Entry::Folder)),
            None => Route::Metadata(rest.parse().map_or(Entry::Unnamed, Entry::Named)),
        },
        _ => Route::Unknown,
    }
}

fn query(text: &str) -> Query {
    let mut query = Query::default();
    for (name, value) in form::pairs(text.as_bytes()).flatten() {
        // EXPOSE: an address is no secret
        let value = String::from_utf8_lossy(value.expose()).into_owned();
        match name.expose() {
            b"version" => query.version.push(value),
            b"list" => query.list = query.list.or(Some(value)),
            b"scan" => query.scan = query.scan.or(Some(value)),
            b"activecode" => query.active = query.active.or(Some(value)),
            b"sealedcode" => query.sealed = query.sealed.or(Some(value)),
            _ => {}
        }
    }
    query
}

fn token(headers: &HeaderMap) -> Option<Material> {
    let text = |name| headers.get(name).and_then(|value: &hyper::header::HeaderValue| value.to_str().ok());
    let own = text("x-vault-token").map(str::trim).filter(|token| !token.is_empty());
    let token = own.or_else(|| text("authorization")?.strip_prefix("Bearer ").map(str::trim))?;
    Some(Material::new(token.as_bytes().to_vec()))
}

/// Refusals are those of Go's `mime.ParseMediaType`. Parameters are not looked at.
fn media(headers: &HeaderMap) -> Media {
    let said = headers.get(hyper::header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let said = said.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    // A token, by RFC 2045.
    let of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(byte);
    let token = |text: &[u8]| text.iter().take_while(|byte| of_token(byte)).count();
    match said.split_at(token(said)) {
        (b"", _) => Media::Unclear("mime: no media type"),
        (_, []) => Media::Other,
        (_, [b'/', rest @ ..]) => match (rest, token(rest)) {
            (_, 0) => Media::Unclear("mime: expected token after slash"),
            (rest, length) if length < rest.len() => Media::Unclear("mime: unexpected content after media subtype"),
            _ if said.eq_ignore_ascii_case(b"application/merge-patch+json") => Media::MergePatch,
            _ if said.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") => Media::Form,
            _ => Media::Other,
        },
        _ => Media::Unclear("mime: expected slash after first token"),
    }
}

fn namespace(headers: &HeaderMap) -> Namespace {
    match headers.get("x-vault-namespace").map(|value| value.as_bytes().trim_ascii()) {
        None | Some(b"") => Namespace::Unnamed,
        Some(b"/" | b"root" | b"root/") => Namespace::Root,
        Some(_) => Namespace::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(path: &str) -> Route {
        route(&"donjon".parse().unwrap(), path)
    }

    fn data(path: &str) -> Route {
        Route::Data(Some(path.parse().unwrap()))
    }

    #[test]
    fn a_record_has_one_spelling_and_others_lead_to_it() {
        assert_eq!(of("/v1/donjon/data/kolla/a"), data("kolla/a"));
        assert_eq!(of("/v1/donjon/data/kolla%2Fa"), data("kolla/a"));
        assert_eq!(of("/v1/donjon/data/kolla/%61"), data("kolla/a"));
        for alias in [
            "//donjon/data/kolla/a",
            "/donjon/./data/kolla/a",
            "/donjon/data/x/../kolla//a",
            "/%2e/donjon/data/kolla/a",
        ] {
            let asked = format!("/v1{alias}");
            assert_eq!(of(&asked), Route::Elsewhere("/v1/donjon/data/kolla/a".into()), "{asked}");
        }
        for nothing in ["kolla/%2561", "kolla/a/", "kolla/-a", "", "a%00", "kolla/a b"] {
            assert_eq!(of(&format!("/v1/donjon/data/{nothing}")), Route::Data(None), "{nothing}");
        }
        assert_eq!(of("/v1/donjons/data/kolla/a"), Route::Unknown);
        assert_eq!(of("/v2/donjon/data/kolla/a"), Route::Outside);
        assert_eq!(of("/v1/../v1/donjon/data/kolla/a"), Route::Elsewhere("/v1/v1/donjon/data/kolla/a".into()));
    }

    #[test]
    fn a_media_type_is_one_or_says_why_not() {
        let of = |text: &str| media(&[(hyper::header::CONTENT_TYPE, text.parse().unwrap())].into_iter().collect());
        assert_eq!(media(&HeaderMap::new()), Media::Unclear("mime: no media type"));
        for (text, wanted) in [
            ("application/merge-patch+json", Media::MergePatch),
            (" Application/Merge-Patch+JSON ; charset=utf-8", Media::MergePatch),
            ("application/x-www-form-urlencoded;", Media::Form),
            ("application/{x}", Media::Other),
            ("json", Media::Other),
            ("", Media::Unclear("mime: no media type")),
            ("; charset=utf-8", Media::Unclear("mime: no media type")),
            ("/json", Media::Unclear("mime: no media type")),
            ("application json", Media::Unclear("mime: expected slash after first token")),
            ("application/", Media::Unclear("mime: expected token after slash")),
            ("application//json", Media::Unclear("mime: expected token after slash")),
            ("application/json canary", Media::Unclear("mime: unexpected content after media subtype")),
        ] {
            assert_eq!(of(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_read_may_be_listed_by_a_parameter() {
        let asked = |address: &str| {
            let nothing = Material::new(Vec::new());
            let uri = address.parse().unwrap();
            let asked = Asked::new(&"donjon".parse().unwrap(), Method::GET, &uri, &HeaderMap::new(), nothing);
            (asked.method.to_string(), asked.unclear)
        };
        let is = |method: &str| (method.to_owned(), false);
        for (query, wanted) in [
            ("", is("GET")),
            ("?list=", is("GET")),
            ("?list=&list=true", is("GET")),
            ("?list=true&list=canary", is("LIST")),
            ("?list=f&scan=T", is("SCAN")),
            ("?l%69st=1", is("LIST")),
            ("?list=true;&list=0", is("GET")),
            ("?list=%zz", is("GET")),
        ] {
            assert_eq!(asked(&format!("/v1/donjon/metadata/a{query}")), wanted, "{query}");
        }
        for query in ["?list=canary", "?scan=2", "?list=1&scan=1"] {
            assert!(asked(&format!("/v1/donjon/metadata/a{query}")).1, "{query}");
        }
        assert_eq!(asked("/v1/sys/health?list=true"), is("GET"));
    }

    proptest! {
        #[test]
        fn no_path_panics_and_a_redirection_leads_nowhere_else(path in "[ -~]{0,60}") {
            if let Route::Elsewhere(clean) = of(&format!("/v1/{path}")) {
                prop_assert!(!matches!(of(&clean), Route::Elsewhere(_)), "{}", clean);
            }
        }
    }
}
