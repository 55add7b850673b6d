//! cargo and Go.

use super::{check, check_all};

const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    source = \"registry+https://git.example.com/index\"\nchecksum = \"0\"\n\n\
                    [[package]]\nname = \"b\"\nsource = \"sparse+https://own.example.com/index/\"\n\n\
                    [[package]]\nname = \"c\"\nsource = \"git+https://code.example.com/c?rev=1#1\"\n\n\
                    [[package]]\nname = \"me\"\n";

#[test]
fn a_manifest_needs_registries_and_repositories() {
    let text = "[package]\nname = \"x\"\n[dependencies]\na = { path = \"a\", version = \"1\" }\n\
                b = { git = \"ssh://git@code.example.com/b\" }\n\
                c = { version = \"1\", registry = \"own\" }\n\
                [target.'cfg(unix)'.dev-dependencies]\nd = { version = \"1\" }\ne = \"1\"\n\
                [patch.'https://x.example.com/'.f]\ngit = \"https://code.example.com/f\"\n";
    check(
        "Cargo.toml",
        text,
        &[
            "cargo code.example.com 22 (Cargo.toml:5)",
            "cargo code.example.com 443 (Cargo.toml:11)",
            "Default(Cargo, NotInstalled) (Cargo.toml:8)",
        ],
    );
    check("Cargo.toml", "[dependencies]\na = { path = \"a\", version = \"1\" }\n", &[]);
}

#[test]
fn a_lock_file_names_registries_by_what_the_settings_make_of_them() {
    let own = ".cargo/config.toml";
    let registry = "[registries.own]\nindex = \"sparse+https://own.example.com/index/\"\n";
    check_all(
        &[("Cargo.lock", LOCK), (own, registry), ("Cargo.toml", "[dependencies]\na = \"1\"\n")],
        &[
            "cargo code.example.com 443 (Cargo.lock:15)",
            // Nobody could be asked, so that at least the name in the file is there.
            "cargo git.example.com 443 (Cargo.lock:6)",
            "cargo own.example.com 443 (.cargo/config.toml:2, Cargo.lock:11)",
            "Default(Cargo, NotInstalled) (Cargo.lock:6)",
            "CrateDownloads (Cargo.lock:11)",
        ],
    );
    let replaced = format!(
        "{registry}[source.crates-io]\nreplace-with = \"first\"\n[source.first]\nreplace-with = \"mirror\"\n\
         [source.mirror]\nregistry = \"sparse+http://mirror.example.com:8080/\"\n[source.own]\nreplace-with = \"vendored\"\n\
         [source.vendored]\ndirectory = \"vendor\"\n[http]\nproxy = \"p.example.com:3128\"\n"
    );
    check_all(
        &[("Cargo.lock", LOCK), (own, &replaced)],
        &[
            "cargo code.example.com 443 (Cargo.lock:15)",
            "cargo mirror.example.com 8080 (.cargo/config.toml:8, Cargo.lock:6)",
            "cargo p.example.com 3128 (.cargo/config.toml:14)",
            "CrateDownloads (Cargo.lock:6)",
        ],
    );
}

#[test]
fn replacements_in_a_circle_end() {
    let circle =
        "[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"crates-io\"\n";
    let lock = "[[package]]\nsource = \"registry+https://git.example.com/index\"\n";
    check_all(&[("Cargo.lock", lock), (".cargo/config", circle)], &[]);
}

#[test]
fn modules_of_go_wait_for_gos_word() {
    let module = "module git.example.com/me\n\ngo 1.22\ntoolchain go1.99.0\n\nrequire (\n\tgit.example.com/a v1.0.0\n\t\
                  other.example.com/b v1.0.0 // indirect\n)\n\nrequire local.example.com/c v1\nreplace local.example.com/c => ./c\n";
    check("go.mod", module, &["Default(Go, NotInstalled) (go.mod:7)"]);
    check("go.mod", "module x\n\ngo 1.22\n", &[]);
    check_all(
        &[("go.mod", module), ("vendor/modules.txt", "# git.example.com/a v1.0.0\n")],
        &["VendoredModules (vendor/modules.txt:1)"],
    );
}
