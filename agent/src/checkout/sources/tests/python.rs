//! pip, uv, poetry, pipenv and the standard lock file.

use super::{check, check_all};

const DEFAULT: &str = "Default(Pip, NotInstalled)";

#[test]
fn requirements_name_indexes_and_places() {
    let text = "# --index-url https://no.example.com\n\
                --extra-index-url https://extra.example.com/simple  # a comment\n\
                -f https://links.example.com/\n\
                six==1.16 ; python_version < '3' \\\n    --hash=sha256:0\n\
                a @ https://files.example.com/a-1.whl#sha256=0\n\
                b[x] @ git+ssh://git@git.example.com/b.git@v1 ; sys_platform == 'linux'\n\
                -e git+https://git.example.com/c.git#egg=c\n\
                https://files.example.com/d.tar.gz\n\
                ./e\n-e .\nfile:f\n--trusted-host no.example.com\n";
    check(
        "requirements.txt",
        text,
        &[
            "pip extra.example.com 443 (requirements.txt:2)",
            "pip files.example.com 443 (requirements.txt:6, requirements.txt:9)",
            "pip git.example.com 22 (requirements.txt:7)",
            "pip git.example.com 443 (requirements.txt:8)",
            "pip links.example.com 443 (requirements.txt:3)",
            &format!("{DEFAULT} (requirements.txt:4)"),
            "LinkedFiles (requirements.txt:4)",
        ],
    );
    check("requirements.txt", "./e\n", &[]);
}

#[test]
fn an_index_counts_for_the_file_and_what_it_includes() {
    let index = "pip pip.example.com 443 (requirements.txt:1)";
    for option in ["-i https://pip.example.com", "--index-url=https://pip.example.com/simple"] {
        let text = format!("{option}\n-r sub/base.txt\n-c sub/../limits.txt\n-rother.txt\n");
        check_all(
            &[
                ("requirements.txt", &text),
                ("sub/base.txt", "a\n-r deeper.txt\n"),
                ("limits.txt", "b<2\n"),
                ("other.txt", "c\n"),
                ("dev-requirements.txt", "d\n"),
            ],
            &[
                index,
                &format!("{DEFAULT} (dev-requirements.txt:1)"),
                "LinkedFiles (requirements.txt:1, dev-requirements.txt:1)",
                "sub/deeper.txt could not be read: No such file or directory (os error 2)",
            ],
        );
    }
    check("requirements.txt", "--no-index\na\n", &[]);
    check("requirements.txt", "-r ../../etc/passwd\n-r /etc/passwd\n", &[]);
    check("requirements.txt", "-r requirements.txt\n", &[]);
}

#[test]
fn settings_of_pip_hold_lists() {
    let text = "[global]\nindex-url = https://pip.example.com/simple\nextra_index_url =\n    https://a.example.com\n    \
                https://b.example.com https://c.example.com\n# find-links = https://no.example.com\nproxy: p.example.com:3128\n\
                timeout = 60\n";
    check_all(
        &[("pip.conf", text), ("setup.py", "")],
        &[
            "pip a.example.com 443 (pip.conf:4)",
            "pip b.example.com 443 (pip.conf:5)",
            "pip c.example.com 443 (pip.conf:5)",
            "pip p.example.com 3128 (pip.conf:7)",
            "pip pip.example.com 443 (pip.conf:2)",
            "LinkedFiles (pip.conf:2)",
        ],
    );
}

#[test]
fn a_project_has_requirements_and_tools() {
    let text = "[build-system]\nrequires = [\"setuptools\"]\n[project]\ndependencies = [\n \"a @ https://files.example.com/a.whl\",\n]\n\
                [[tool.uv.index]]\nurl = \"https://uv.example.com/simple\"\n\
                [tool.uv.sources]\nb = { git = \"ssh://git@git.example.com/b\" }\n\
                [[tool.poetry.source]]\nname = \"x\"\nurl = \"https://poetry.example.com/simple\"\n\
                [tool.poetry.group.dev.dependencies]\nc = { git = \"https://git.example.com/c.git\" }\n";
    let facts = [
        "pip files.example.com 443 (pyproject.toml:5)",
        "pip git.example.com 22 (pyproject.toml:10)",
        "pip git.example.com 443 (pyproject.toml:15)",
        "pip poetry.example.com 443 (pyproject.toml:13)",
        "pip uv.example.com 443 (pyproject.toml:8)",
        "Default(Pip, NotInstalled) (pyproject.toml:2)",
        "LinkedFiles (pyproject.toml:2)",
    ];
    check("pyproject.toml", text, &facts);
    let settled =
        format!("{text}[[tool.uv.index]]\nurl = \"https://uv.example.com\"\ndefault = true\n");
    let found = super::facts(&[("pyproject.toml", &settled)]);
    // Whatever only pip could say is no longer needed.
    assert_eq!(found.len(), facts.len() - 2, "{found:?}");
    assert!(!found.iter().any(|fact| fact.starts_with("Default")), "{found:?}");
    check(
        "uv.toml",
        "index-url = \"https://uv.example.com\"\n",
        &["pip uv.example.com 443 (uv.toml:1)"],
    );
}

#[test]
fn a_lock_file_of_uv_names_indexes_and_files() {
    let lock = "version = 1\n[[package]]\nname = \"a\"\nsource = { registry = \"https://pip.example.com/simple\" }\n\
                sdist = { url = \"https://files.example.com/a.tar.gz\", hash = \"sha256:0\" }\nwheels = [\n    \
                { url = \"https://files.example.com/a.whl\", hash = \"sha256:0\" },\n]\n\
                [[package]]\nname = \"b\"\nsource = { git = \"https://git.example.com/b?rev=1#1\" }\n\
                [[package]]\nname = \"me\"\nsource = { editable = \".\" }\n";
    check_all(
        &[("uv.lock", lock), ("pyproject.toml", "[project]\ndependencies = [\"a\"]\n")],
        &[
            "pip files.example.com 443 (uv.lock:5, uv.lock:7)",
            "pip git.example.com 443 (uv.lock:11)",
            "pip pip.example.com 443 (uv.lock:4)",
        ],
    );
}

#[test]
fn other_lock_files_name_their_indexes() {
    let poetry = "[[package]]\nname = \"a\"\nversion = \"1\"\n[[package]]\nname = \"b\"\n[package.source]\ntype = \"legacy\"\n\
                  url = \"https://poetry.example.com/simple\"\n";
    check(
        "poetry.lock",
        poetry,
        &[
            "pip poetry.example.com 443 (poetry.lock:8)",
            "Default(Pip, NotInstalled) (poetry.lock:2)",
            "PoetryIndex (poetry.lock:2)",
            "LinkedFiles (poetry.lock:8, poetry.lock:2)",
        ],
    );
    let pipenv = "{\"_meta\": {\"sources\": [{\"name\": \"x\",\n\"url\": \"https://pip.example.com/simple\"}]},\n\
                  \"default\": {\"a\": {\"git\": \"https://git.example.com/a.git\"}}}";
    check(
        "Pipfile.lock",
        pipenv,
        &[
            "pip git.example.com 443 (Pipfile.lock:3)",
            "pip pip.example.com 443 (Pipfile.lock:2)",
            "LinkedFiles (Pipfile.lock:2)",
        ],
    );
    let standard = "lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nindex = \"https://pip.example.com/simple\"\n\
                    wheels = [{name = \"a.whl\", url = \"https://files.example.com/a.whl\"}]\n\
                    [[packages]]\nvcs = {type = \"git\", url = \"https://git.example.com/b\"}\n";
    check(
        "pylock.toml",
        standard,
        &[
            "pip files.example.com 443 (pylock.toml:5)",
            "pip git.example.com 443 (pylock.toml:7)",
            "pip pip.example.com 443 (pylock.toml:4)",
        ],
    );
    check(
        "Pipfile",
        "[[source]]\nurl = \"https://pip.example.com/simple\"\n[packages]\na = {git = \"https://git.example.com/a\"}\n",
        &[
            "pip git.example.com 443 (Pipfile:4)",
            "pip pip.example.com 443 (Pipfile:2)",
            "LinkedFiles (Pipfile:2)",
        ],
    );
}
