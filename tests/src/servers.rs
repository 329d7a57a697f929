//! Starts the servers that tests share, says on standard output how they are reached, as lines for a shell, and ends them
//! when its standard input does.

use std::io::{Read, Write};

use admmgt_tests::{Cluster, Mongod};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().ok_or("PostgreSQL is not installed")?;
    println!("export ADMMGT_TEST_PG={}", cluster.url("postgres"));
    println!("export ADMMGT_TEST_PG_BIN={}", cluster.binaries().display());
    let set = Mongod::replica_set().ok_or("MongoDB is not there; `MONGOD` is the path of its server")?;
    println!("export ADMMGT_TEST_MONGO={}", set.url(""));
    let alone = Mongod::standalone().ok_or("MongoDB is not there")?;
    println!("export ADMMGT_TEST_MONGO_ALONE={}", alone.url(""));
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
