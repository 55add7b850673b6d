//! The README's first command shows what it promises to show.

use anyhow::{Result, ensure};

#[test]
fn every_act_behaves_as_it_should() -> Result<()> {
    let mut shown = Vec::new();
    let good = weir_tests::demo::run(&mut shown)?;
    let shown = String::from_utf8(shown)?;
    ensure!(good, "{shown}");
    ensure!(!shown.contains("NOT"), "{shown}");
    Ok(())
}
