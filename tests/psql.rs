//! The splitter against psql: a small server writes down what psql sends, statement by statement.
//!
//! Every text that our splitter takes as a whole is given to psql in a file. What arrives must be the same statements, one
//! for one. Texts are made of an alphabet of everything that can hide a `;`, and, where `ADMMGT_CORPORA` names them, all
//! SQL of the corpora of other projects. Data behind `copy … from stdin` go the way of the protocol in both.
//!
//! Compared are statements as our splitter reads them: psql sends comments before a statement in some places and not in
//! others, which no server minds.

#![allow(missing_docs, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use admmgt_postgres::script::Statements;
use admmgt_tests::{binaries, is_full, say};

/// What psql has sent: statements, and the data of copies.
type Heard = Arc<Mutex<Vec<String>>>;

const MARK: &str = "select 'file ";

fn serve(heard: Heard) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away in the middle is none of our business.
            let _ = converse(client, &heard);
        }
    });
    port
}

fn converse(mut client: TcpStream, heard: &Heard) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    loop {
        let length = read_length(&mut client)?;
        let body = read(&mut client, length - 4)?;
        // The requests for encryption are refused; then comes the start.
        if matches!(body.get(..4), Some([4, 210, 22, 47 | 48])) {
            client.write_all(b"N")?;
        } else {
            break;
        }
    }
    let mut hello = message(b'R', &0_i32.to_be_bytes());
    for (name, value) in
        [("server_version", "15.0"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on")]
    {
        hello.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    hello.extend(message(b'K', &[0; 8]));
    hello.extend(ready());
    client.write_all(&hello)?;
    loop {
        let kind = read(&mut client, 1)?[0];
        let length = read_length(&mut client)?;
        let body = read(&mut client, length - 4)?;
        if kind == b'X' {
            return Ok(());
        }
        assert_eq!(kind, b'Q', "psql sends nothing else at this point");
        let text = String::from_utf8_lossy(body.strip_suffix(&[0]).unwrap_or(&body)).into_owned();
        answer(&mut client, &text, heard)?;
    }
}

/// Writes a statement down, with the data of a copy behind it, and answers.
fn answer(client: &mut TcpStream, text: &str, heard: &Heard) -> std::io::Result<()> {
    let words = text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    let has =
        |pair: [&str; 2]| words.windows(2).any(|two| two[0] == pair[0] && two[1].trim_matches([';', ')']) == pair[1]);
    let mut all = text.to_owned();
    let mut reply = Vec::new();
    if words.first().is_some_and(|word| word == "copy") && has(["from", "stdin"]) {
        client.write_all(&message(b'G', &[0, 0, 0]))?;
        all.push_str(";\n");
        loop {
            let kind = read(client, 1)?[0];
            let length = read_length(client)?;
            let body = read(client, length - 4)?;
            match kind {
                b'd' => all.push_str(&String::from_utf8_lossy(&body)),
                _ => break,
            }
        }
        reply.extend(message(b'C', b"COPY 0\0"));
    } else if words.first().is_some_and(|word| word == "copy") && has(["to", "stdout"]) {
        reply.extend(message(b'H', &[0, 0, 0]));
        reply.extend(message(b'c', &[]));
        reply.extend(message(b'C', b"COPY 0\0"));
    } else {
        if words.first().is_some_and(|word| word == "set") && text.contains("standard_conforming_strings") {
            let on = if ["off", "false", "no", "0"].iter().any(|off| text.to_lowercase().contains(off)) {
                "off"
            } else {
                "on"
            };
            reply.extend(message(b'S', format!("standard_conforming_strings\0{on}\0").as_bytes()));
        }
        reply.extend(message(b'C', b"DO\0"));
    }
    reply.extend(ready());
    heard.lock().expect("no panic").push(all);
    client.write_all(&reply)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).expect("a short message");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn read_length(client: &mut TcpStream) -> std::io::Result<usize> {
    let mut bytes = [0; 4];
    client.read_exact(&mut bytes)?;
    Ok(usize::try_from(i32::from_be_bytes(bytes)).expect("a length"))
}

fn read(client: &mut TcpStream, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

struct Oracle {
    psql: PathBuf,
    heard: Heard,
    port: u16,
    folder: tempfile::TempDir,
}

impl Oracle {
    fn new() -> Option<Self> {
        let psql = binaries().map(|folder| folder.join("psql")).filter(|psql| psql.exists());
        let Some(psql) = psql else {
            say("SKIPPED: no psql to compare with; `./tests/run test` installs it");
            return None;
        };
        let heard = Heard::default();
        let port = serve(Arc::clone(&heard));
        Some(Self { psql, heard, port, folder: tempfile::tempdir().expect("a folder") })
    }

    /// What psql sends for each of the texts.
    fn sent(&self, texts: &[&str]) -> Vec<Vec<String>> {
        let mut command = Command::new(&self.psql);
        command.args(["-X", "-q", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "me", "-d", "it"]);
        for (number, text) in texts.iter().enumerate() {
            let path = self.folder.path().join(format!("{number}.sql"));
            std::fs::write(&path, text).expect("a file");
            command.arg("-c").arg(format!("{MARK}{number}'")).arg("-f").arg(path);
        }
        command.arg("-c").arg(format!("{MARK}end'")).env("PGSSLMODE", "disable");
        let said = command.output().expect("psql starts");
        let heard = std::mem::take(&mut *self.heard.lock().expect("no panic"));
        let mut sent: Vec<Vec<String>> = Vec::new();
        for statement in heard {
            if statement.starts_with(MARK) {
                sent.push(Vec::new());
            } else {
                sent.last_mut().expect("a mark comes first").push(statement);
            }
        }
        assert_eq!(sent.len(), texts.len() + 1, "{} {sent:#?}", String::from_utf8_lossy(&said.stderr));
        sent.pop();
        sent
    }

    /// Compares all of the texts that our splitter takes; returns how many those are, and their statements.
    fn check(&self, texts: &[String]) -> (usize, usize) {
        let ours = |text: &str| -> Result<Vec<String>, admmgt::ScriptProblem> {
            Statements::new(text).map(|split| split.map(|split| split.text.to_owned())).collect()
        };
        let taken: Vec<(&str, Vec<String>)> =
            texts.iter().filter_map(|text| Some((&**text, ours(text).ok()?))).collect();
        let mut statements = 0;
        for some in taken.chunks(100) {
            let sent = self.sent(&some.iter().map(|(text, _)| *text).collect::<Vec<_>>());
            for ((text, expected), sent) in some.iter().zip(sent) {
                // Read by itself, a statement would not know what was set before.
                let sets = text.contains("standard_conforming_strings");
                let raw = |one: &str| vec![one.trim().trim_end_matches(';').to_owned()];
                let read: Vec<Vec<String>> = sent.iter().map(|one| if sets { raw(one) } else { alone(one) }).collect();
                let flat: Vec<String> = read.iter().flatten().map(|text| without_blank_lines(text)).collect();
                let expected: Vec<String> = expected.iter().map(|text| without_blank_lines(text)).collect();
                assert!(read.iter().all(|one| one.len() <= 1), "psql sends as one: {sent:?} of {text:?}");
                assert_eq!(flat, expected, "of {text:?}");
                statements += expected.len();
            }
        }
        (taken.len(), statements)
    }
}

/// psql leaves blank lines out, except in literals.
fn without_blank_lines(text: &str) -> String {
    text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

/// What psql has sent as one statement, as we read it. Data are compared as they are.
fn alone(sent: &str) -> Vec<String> {
    if let Some(at) = sent.find(";\n").filter(|_| sent.trim_start().to_lowercase().starts_with("copy")) {
        let data = &sent[at + 2..];
        return vec![format!(
            "{};\n{}",
            sent[..at].trim().trim_end_matches(';'),
            data.strip_suffix("\\.\n").unwrap_or(data)
        )];
    }
    // The last statement of a file has no `;`, and what psql sends has none either.
    Statements::new(sent)
        .map(|split| split.map_or_else(|problem| problem.to_string(), |split| split.text.to_owned()))
        .collect()
}

#[test]
fn texts_that_hide_semicolons_are_split_as_psql_does() {
    let Some(oracle) = Oracle::new() else { return };
    const ALPHABET: [&str; 46] = [
        ";",
        ";",
        ";",
        ";",
        " ",
        "\n",
        "x",
        "1 ",
        "'",
        "'",
        "''",
        "E'",
        "e'\\'",
        "\\'",
        "U&'",
        "b'",
        "n'",
        "\"",
        "\"\"",
        "U&\"",
        "$$",
        "$$",
        "$a$",
        "$a",
        "$1 ",
        "--",
        "/*",
        "*/",
        "*/",
        "/",
        "*",
        "(",
        ")",
        "create ",
        "or replace ",
        "function ",
        "procedure ",
        "f() ",
        "begin ",
        "begin atomic ",
        "end",
        " end ",
        "case ",
        "select ",
        "\t",
        "é",
    ];
    let texts = if is_full() { 60_000 } else { 6_000 };
    let mut random = fastrand::Rng::with_seed(2030);
    let mut text = || {
        let length = random.usize(1..24);
        (0..length).map(|_| ALPHABET[random.usize(..ALPHABET.len())]).collect::<String>()
    };
    let texts: Vec<String> = (0..texts).map(|_| text()).collect();
    let (taken, statements) = oracle.check(&texts);
    say(format_args!("{taken} of {} texts that end, {statements} statements: as psql has them", texts.len()));
    assert!(taken * 10 > texts.len() && statements > taken / 2);
}

#[test]
fn scripts_of_other_projects_are_split_as_psql_does() {
    let Some(oracle) = Oracle::new() else { return };
    let Some(folder) = std::env::var_os("ADMMGT_CORPORA") else {
        return say("SKIPPED: ADMMGT_CORPORA is not set");
    };
    let mut texts = Vec::new();
    for file in std::fs::read_dir(Path::new(&folder)).expect("the corpora").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("text");
        if file.path().extension().is_some_and(|extension| extension == "json") {
            collect(&serde_json::from_str(&text).expect("JSON"), &mut texts);
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let (taken, statements) = oracle.check(&texts);
    say(format_args!("{taken} of {} texts of the corpora, {statements} statements: as psql has them", texts.len()));
    assert!(taken > 1000);
}

/// Every text of a document that could be SQL.
fn collect(value: &serde_json::Value, texts: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) if text.contains([';', ' ']) => texts.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        serde_json::Value::Object(values) => values.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

/// Some that were found by hand.
#[test]
fn known_texts_are_split_as_psql_does() {
    let Some(oracle) = Oracle::new() else { return };
    let texts = [
        "select 1; select 2",
        "copy t from stdin;\n1\t2\n;;'\n\\.\nselect 1;",
        "copy t (a, b) from stdin with (format csv);\n\"a;b\",2\n\\.\n\nselect 2;\n",
        "set standard_conforming_strings = off;\nselect 'a\\';b';\nset standard_conforming_strings = on;\nselect 'a\\';select 2;",
        "create function f() returns int begin atomic select 1; select case when true then 1 end; end; select 3;",
        "create or replace procedure p() begin atomic insert into t values (1); end; select 4",
        "create rule r as on insert to t do (select 1; select 2); select 5;",
        "select 'a'\n'b;c'; select 6;",
        "select 'a' -- ;\n'b;c'; select 6;",
        "select E'a\\'' ';' ; select 7",
        "/* a /* b; */ c; */ select 8;",
        "select 1 -- a;b\n; select 9;",
        "select $a$ $b$ ; $a$ ; select $1;",
        "select a$b$c; select d$b$;",
        "create table \"a;b\" (\"c\"\"d;\" int); select 10;",
        ";;select 11;;",
        "do $$ begin null; end $$; begin; select 1; end; commit;",
        "create table begin_ (a int); create function g() returns trigger as 'begin; end' language plpgsql;",
        "select 1e5; select 0x1f; select 1_000; select 1.5e;",
        "select U&'d!0061t;' uescape '!'; select 12",
    ];
    let texts: Vec<String> = texts.map(str::to_owned).to_vec();
    assert_eq!(oracle.check(&texts).0, texts.len());
}
