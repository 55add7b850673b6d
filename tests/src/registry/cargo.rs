//! A sparse index of cargo's protocol: its config.json, and a file of lines for each crate.

use anyhow::Result;
use serde_json::json;

use super::{PACKAGE, VERSION, pack, page, sha256};
use crate::lab::Lab;

pub(super) fn serve(lab: &Lab, index: &str, archives: &str) -> Result<()> {
    let manifest = format!(
        "[package]\nname = \"{PACKAGE}\"\nversion = \"{VERSION}\"\nedition = \"2021\"\nlicense = \"MIT\"\ndescription = \"x\"\n"
    );
    let files = [("Cargo.toml", manifest.as_str()), ("src/lib.rs", "")];
    let script =
        "cargo package --quiet --offline --no-verify --allow-dirty && ls target/package/*.crate";
    let (archive, _) = pack(lab, &files, script)?;
    let line = json!({
        "name": PACKAGE, "vers": VERSION, "deps": [], "cksum": sha256(&archive), "features": {}, "yanked": false,
    });
    let config =
        json!({ "dl": format!("https://{archives}/crates/{{crate}}/{{version}}/download") });
    lab.web.publish(index, "/config.json", page("application/json", config.to_string()));
    lab.web.publish(index, &format!("/we/ir/{PACKAGE}"), page("text/plain", format!("{line}\n")));
    lab.web.publish(archives, "/download", page("application/octet-stream", archive));
    Ok(())
}
