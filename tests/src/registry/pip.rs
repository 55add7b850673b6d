//! An index of pip's protocol (PEP 503): a page of links for each package.

use anyhow::Result;

use super::{PACKAGE, VERSION, pack, page, sha256};
use crate::lab::Lab;

/// Writes a wheel (PEP 427) and its name.
const PACK: &str = "python3 - <<'END'
import zipfile
name = 'weir_probe-1.0.0'
with zipfile.ZipFile(name + '-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('weir_probe.py', 'probe = 1\\n')
    info = name + '.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: weir-probe\\nVersion: 1.0.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: lab\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    names = ['weir_probe.py'] + [info + file for file in ('METADATA', 'WHEEL', 'RECORD')]
    wheel.writestr(info + 'RECORD', ''.join(file + ',,\\n' for file in names))
print(name + '-py3-none-any.whl')
END";

pub(super) fn serve(lab: &Lab, index: &str, archives: &str) -> Result<()> {
    let (wheel, output) = pack(lab, &[], PACK)?;
    let file = output.stdout.trim();
    debug_assert!(file.contains(VERSION));
    let digest = sha256(&wheel);
    let links = format!(
        "<!DOCTYPE html><html><body><a href=\"https://{archives}/files/{file}#sha256={digest}\">{file}</a></body></html>"
    );
    lab.web.publish(index, &format!("/{PACKAGE}/"), page("text/html", links));
    lab.web.publish(archives, file, page("application/octet-stream", wheel));
    Ok(())
}
