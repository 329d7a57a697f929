//! Files of commands: JSON as the server's documentation writes them, one after the other or in an array.

use admmgt_core::{Checksum, Dialect, Names, Script, ScriptProblem, Statement, TransactionMode};
use mongodb::bson::{Bson, Document};

use crate::command::{self, Made};
use crate::json;
use crate::split::split;
use crate::step::Step;
use crate::steps::Steps;

/// Commands in JSON, with MongoDB's extended JSON for what JSON has no word for: `{"$oid": "…"}`, `{"$date": "…"}`.
///
/// ```
/// use admmgt_core::{Dialect, TransactionMode};
/// use admmgt_mongo::MongoDialect;
///
/// let text = r#"
/// { "create": "users" }
/// { "insert": "users", "documents": [{ "name": "Ada" }] }
/// "#;
/// let script = MongoDialect.parse(text, TransactionMode::Auto).unwrap();
/// assert_eq!(script.statements.len(), 2);
/// assert!(script.in_transaction);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct MongoDialect;

impl Dialect for MongoDialect {
    fn parse(&self, text: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        let statements = split(text).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let (mut made, mut outside, mut notes) = (Made::default(), None, Vec::new());
        for statement in &statements {
            match read(statement) {
                Ok(said) => {
                    if !said.runs_in_transaction(&made) && outside.is_none() {
                        outside = Some((statement, name(statement)));
                    }
                    said.command().iter().for_each(|command| made.pass(command));
                    if let Said::Step(step) = &said {
                        notes.extend(step.note());
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        if let Some((statement, name)) = &outside {
            match mode {
                TransactionMode::Required => problems.push(ScriptProblem::new(
                    statement.line,
                    statement.column,
                    format!("`{name}` cannot be in a transaction, and the migration asks for one: take `transaction = \"required\"` away, or put it into a migration of its own"),
                )),
                TransactionMode::Auto => notes.push(format!("without a transaction: `{name}` cannot be in one")),
                _ => {}
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let in_transaction = mode != TransactionMode::None && outside.is_none();
        let mut script = Script::new(statements, in_transaction);
        script.notes = notes;
        Ok(script)
    }

    fn names(&self, statement: &Statement) -> Names {
        let Ok(said) = read(statement) else { return Names::Unknown };
        if let Said::Step(Step::Rename { from: name, .. } | Step::DropCollection { collection: name }) = said {
            return Names::Frees(name);
        }
        let Some(command) = said.command() else { return Names::Unknown };
        match (command::makes(&command), command::frees(&command)) {
            (Some(name), _) => Names::Creates(name.to_owned()),
            (_, Some(name)) => Names::Frees(name.to_owned()),
            _ => Names::Unknown,
        }
    }

    /// The command and what it is about: `create users`.
    fn redacted(&self, statement: &Statement) -> String {
        let command = document(statement).unwrap_or_default();
        match command.iter().next() {
            Some((name, Bson::String(of))) => format!("{name} {of}"),
            Some((name, Bson::Document(command))) if name == "run" => {
                format!("run {}", command.keys().next().map_or("…", String::as_str))
            }
            Some((name, _)) => name.clone(),
            None => "…".to_owned(),
        }
    }

    /// Of a text of steps alone, each of which has one: in the opposite order.
    fn way_back(&self, text: &str) -> Option<String> {
        let statements = split(text).ok()?;
        let back = statements.iter().enumerate().rev().map(|(at, statement)| match read(statement).ok()? {
            Said::Step(step) => step.back(i64::try_from(at + 1).ok()?, Checksum::of_sql(&statement.text).as_str()),
            Said::Command(_) => None,
        });
        let back: Steps = back.collect::<Option<Vec<_>>>()?.into_iter().fold(Steps::new(), Steps::and);
        Some(back.to_string()).filter(|text| !text.is_empty())
    }

    fn is_resumable(&self, statement: &Statement) -> bool {
        match read(statement) {
            Ok(Said::Step(step)) => step.is_resumable(),
            Ok(Said::Command(command)) => command::is_repeatable(&command),
            Err(_) => false,
        }
    }
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// A step of ours.
    Step(Step),
    /// A command of the server's own.
    Command(Document),
}

impl Said {
    fn runs_in_transaction(&self, made: &Made) -> bool {
        match self {
            Self::Step(step) => step.runs_in_transaction(made),
            Self::Command(command) => command::runs_in_transaction(command, made),
        }
    }

    /// The server's command that it comes to, where it is one.
    fn command(&self) -> Option<Document> {
        match self {
            Self::Step(step) => Some(step.as_command()).filter(|command| !command.is_empty()),
            Self::Command(command) => Some(command.clone()),
        }
    }
}

/// The name of what a statement does.
fn name(statement: &Statement) -> String {
    document(statement).ok().and_then(|command| command.keys().next().cloned()).unwrap_or_default()
}

/// What a statement says, if it can be said.
pub(crate) fn read(statement: &Statement) -> Result<Said, ScriptProblem> {
    let command = document(statement)?;
    let problem = |words: String| ScriptProblem::new(statement.line, statement.column, words);
    match Step::of(&command).map_err(problem)? {
        Some(step) => Ok(Said::Step(step)),
        None => command::check(&command).map_err(problem).map(|()| Said::Command(command)),
    }
}

/// The object that a statement is.
fn document(statement: &Statement) -> Result<Document, ScriptProblem> {
    let problem = |line: usize, column: usize, message: String| {
        // Within the statement, which begins where it begins.
        let line = u32::try_from(line).unwrap_or(u32::MAX).max(1);
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        let column = if line == 1 { statement.column + column.saturating_sub(1) } else { column };
        ScriptProblem::new(statement.line + line - 1, column, message)
    };
    json::read(&statement.text).map_err(|error| {
        let words = error.to_string();
        let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
        problem(error.line(), error.column(), format!("this is no command in JSON: {words}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text).unwrap().into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn commands_stand_one_after_the_other_or_in_an_array() {
        let two = ["{\"a\":1}", "{\"b\":{\"c\":[1,2]}}"];
        assert_eq!(texts("{\"a\":1}\n{\"b\":{\"c\":[1,2]}}"), two);
        assert_eq!(texts(" [ {\"a\":1} ,\n {\"b\":{\"c\":[1,2]}} ] "), two);
        assert_eq!(texts("\u{feff}{\"a\":1}\r\n{\"b\":{\"c\":[1,2]}}\r\n"), two);
        assert!(texts("").is_empty() && texts(" \n").is_empty() && texts("[]").is_empty());
        assert_eq!(texts(r#"{"create":"a","comment":"}; { \" ] "}"#), [r#"{"create":"a","comment":"}; { \" ] "}"#]);
    }

    #[test]
    fn what_is_no_command_is_told_with_its_place() {
        for (text, line, column, words) in [
            ("{\"a\":1};", 1, 8, "`;` stands between"),
            ("{\"a\":1}\n  {\"b\": \"never", 2, 3, "a string in it is never closed"),
            ("{\"a\":1 2}", 1, 1, "this is no command in JSON"),
            ("{\"a\":1}\n{\"b\":\n  nope}", 3, 4, "this is no command in JSON"),
            ("{}", 1, 1, "a command has a name"),
            (" [{\"a\":1},\n", 1, 2, "has no end"),
            ("[{\"a\":1}] {\"b\":1}", 1, 11, "stands between"),
            ("{\"$set\": 1}", 1, 1, "is no command"),
            ("{\"commitTransaction\":1}", 1, 1, "is the executor's"),
        ] {
            let problems = MongoDialect.parse(text, TransactionMode::Auto).unwrap_err();
            let found = (problems[0].line, problems[0].message.contains(words));
            assert_eq!(found, (line, true), "{text}: {problems:?}");
            assert!(problems[0].column >= column, "{text}: {problems:?}");
        }
    }

    #[test]
    fn a_text_is_in_a_transaction_where_all_of_it_can_be() {
        let parse = |text: &str, mode| MongoDialect.parse(text, mode);
        let both = "{\"create\":\"a\"} {\"createIndexes\":\"a\",\"indexes\":[]} {\"insert\":\"a\",\"documents\":[]}";
        assert!(parse(both, TransactionMode::Auto).unwrap().in_transaction);
        assert!(!parse(both, TransactionMode::None).unwrap().in_transaction);
        let outside = parse("{\"insert\":\"a\"} {\"createIndexes\":\"a\"}", TransactionMode::Auto).unwrap();
        assert!(!outside.in_transaction);
        assert_eq!(outside.notes, ["without a transaction: `createIndexes` cannot be in one"]);
        let problems = parse("{\"drop\":\"a\"}", TransactionMode::Required).unwrap_err();
        assert!(problems[0].message.contains("cannot be in a transaction"), "{problems:?}");
    }

    #[test]
    fn what_a_command_does_to_names_is_told() {
        let names = |text: &str| MongoDialect.names(&Statement::new(text));
        assert_eq!(names("{\"create\":\"a\"}"), Names::Creates("a".to_owned()));
        assert_eq!(names("{\"drop\":\"a\"}"), Names::Frees("a".to_owned()));
        assert_eq!(names("{\"renameCollection\":\"db.a\",\"to\":\"db.b\"}"), Names::Frees("a".to_owned()));
        assert_eq!(names("{\"insert\":\"a\"}"), Names::Unknown);
        let shown = |text: &str| MongoDialect.redacted(&Statement::new(text));
        assert_eq!(shown("{\"insert\":\"a\",\"documents\":[{\"b\":\"SECRET\"}]}"), "insert a");
        assert_eq!(shown("{\"aggregate\":1}"), "aggregate");
        assert_eq!(shown("{}"), "…");
        let resumable = |text: &str| MongoDialect.is_resumable(&Statement::new(text));
        assert!(resumable("{\"createIndexes\":\"a\"}") && resumable("{\"dropCollection\":\"a\"}"));
        assert!(!resumable("{\"insert\":\"a\"}") && !resumable("nonsense"));
    }
}
