//! A registry of npm's protocol: one document for each package.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{PACKAGE, VERSION, pack, page};
use crate::lab::Lab;

pub(super) fn serve(lab: &Lab, index: &str, archives: &str) -> Result<()> {
    let manifest = json!({ "name": PACKAGE, "version": VERSION }).to_string();
    let script =
        "npm pack --json > ../packed.json && cat ../packed.json && rm ../packed.json && ls *.tgz";
    let files = [("package.json", manifest.as_str()), ("index.js", "module.exports = 1;\n")];
    let (archive, output) = pack(lab, &files, script)?;
    let (packed, file) = output.stdout.trim_end().rsplit_once('\n').context("no file")?;
    let packed: Value = serde_json::from_str(packed).context("reading what npm packed")?;
    // A list, or since npm 12 a map by name.
    let packed = packed.get(0).or_else(|| packed.get(PACKAGE)).context("npm packed nothing")?;
    let place = format!("https://{archives}/{PACKAGE}/-/{file}");
    let document = json!({
        "name": PACKAGE,
        "dist-tags": { "latest": VERSION },
        "versions": { VERSION: {
            "name": PACKAGE,
            "version": VERSION,
            "dist": { "tarball": place, "integrity": packed["integrity"], "shasum": packed["shasum"] },
        } },
    });
    lab.web.publish(index, PACKAGE, page("application/json", document.to_string()));
    lab.web.publish(archives, file, page("application/octet-stream", archive));
    Ok(())
}
