//! The command line on MongoDB. Without a server, the test says that it is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on says where

use std::process::{Command, Output};

use admmgt::mongodb::bson::doc;
use admmgt_tests::MongoDatabase;

#[tokio::test]
async fn a_folder_of_commands_goes_up_and_down() {
    for db in MongoDatabase::both() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join("migrations").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "0001_users.up.json",
            "[{\"create\": \"users\"}, {\"insert\": \"users\", \"documents\": [{\"_id\": 1}]}]",
        );
        write("0001_users.down.json", "{\"drop\": \"users\"}");
        write("0002_plans.json", "{\"create\": \"plans\"}");
        write("notes.sql", "select 1");
        let run = |line: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_admmgt"));
            command.args(["--url", db.url()]).args(line.split_whitespace()).current_dir(folder.path());
            let Output { status, stdout, stderr } = command.output().unwrap();
            (status.code().unwrap(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
        };
        let (code, said) = run("plan");
        assert!(code == 0 && said.contains("0001_users"), "{said}");
        assert_eq!(run("check").0, 3);
        let (code, said) = run("up");
        assert!(
            code == 0
                && said.contains("ran 2 migrations")
                && said.contains("ignored: migrations/notes.sql: its ending is not `.json`"),
            "{said}"
        );
        assert_eq!(db.names().await, ["plans", "users"]);
        assert_eq!(run("check").0, 0);
        let (code, said) = run("down --steps 1");
        assert_eq!(code, 8, "there is no way back from the second: {said}");
        std::fs::remove_file(folder.path().join("migrations/0002_plans.json")).unwrap();
        write("0002_plans.up.json", "{\"create\": \"plans\"}");
        write("0002_plans.down.json", "{\"drop\": \"plans\"}");
        let (code, said) = run("down --all");
        assert_eq!(code, 0, "{said}");
        assert!(db.names().await.is_empty());
    }
}

/// In the middle of a command: it is ended on the server, and the lease is free at once.
#[tokio::test]
async fn a_signal_ends_a_run_cleanly() {
    for (db, (signal, expected)) in MongoDatabase::both().zip([("INT", 130), ("TERM", 143)]) {
        let all: Vec<_> = (0..700).map(|row| doc! { "_id": row }).collect();
        db.run(doc! { "insert": "t", "documents": all }).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("migrations")).unwrap();
        let update = r#"{"update": "t", "updates": [{"q": {"$where": "sleep(100) || true"}, "u": {"$set": {"a": 1}}, "multi": true}]}"#;
        std::fs::write(folder.path().join("migrations/0001_slow.json"), update).unwrap();
        let run = |line: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_admmgt"));
            command.args(["--url", db.url()]).args(line.split_whitespace()).current_dir(folder.path());
            command
        };
        let child = run("up").stderr(std::process::Stdio::piped()).spawn().unwrap();
        let client = admmgt::mongodb::Client::with_uri_str(db.url()).await.unwrap();
        let at_work = async || {
            let pipeline = vec![
                doc! { "$currentOp": {} },
                doc! { "$match": { "ns": format!("{}.t", db.name()), "active": true } },
            ];
            let command = doc! { "aggregate": 1, "pipeline": pipeline, "cursor": {} };
            let reply = client.database("admin").run_command(command).await.unwrap();
            !reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().is_empty()
        };
        while !at_work().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{said}");
        assert!(said.contains(&format!("stopped by SIG{signal}")), "{said}");
        assert!(!at_work().await);
        let free = doc! { "_id": "lease", "owner": null };
        assert_eq!(db.count("_admmgt_state", free).await, 1, "the lease is free");
    }
}
