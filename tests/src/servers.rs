//! Starts the servers that tests share, says on standard output how they are reached, as lines for a shell, and ends them
//! when its standard input does.

use std::io::{Read, Write};

use admmgt_tests::Cluster;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().ok_or("PostgreSQL is not installed")?;
    println!("export ADMMGT_TEST_PG={}", cluster.url("postgres"));
    println!("export ADMMGT_TEST_PG_BIN={}", cluster.binaries().display());
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
