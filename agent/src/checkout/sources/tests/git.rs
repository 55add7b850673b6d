//! git remotes and GitLab CI.

use super::{check, check_all};

#[test]
fn remotes_submodules_and_large_files_have_hosts() {
    let config = "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = ./evil.sh\n[remote \"origin\"]\n\t\
                  url = https://gitlab.example.com/g/a.git ; a comment\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\t\
                  pushurl = \"git@gitlab.example.com:g/a.git\"\n[remote \"up\"] url = ssh://git@up.example.com:2222/a\n\
                  [remote \"here\"]\n\turl = ../b\n[branch \"main\"]\n\tremote = origin\n[lfs]\n\turl = \"https://lfs.example.com/a\"\n\
                  [alias]\n\turl = https://no.example.com\n";
    check(
        ".git/config",
        config,
        &[
            "git gitlab.example.com 22 (.git/config:7)",
            "git gitlab.example.com 443 (.git/config:5)",
            "git lfs.example.com 443 (.git/config:14)",
            "git up.example.com 2222 (.git/config:8)",
        ],
    );
    check(
        ".gitmodules",
        "[submodule \"s\"]\n\tpath = s\n\turl = git://git.example.com/\\\n  s.git\n",
        &["git git.example.com 9418 (.gitmodules:3)"],
    );
}

#[test]
fn rewritten_remotes_lead_where_git_goes() {
    let config = "[url \"https://mirror.example.com/\"]\n\tinsteadOf = git@git.example.com:\n\
                  [url \"https://other.example.com/\"]\n\tinsteadOf = git@\n\
                  [remote \"o\"]\n\turl = git@git.example.com:a.git\n";
    check(".git/config", config, &["git mirror.example.com 443 (.git/config:6)"]);
}

#[test]
fn a_git_that_is_a_file_is_followed_inside_the_project() {
    let config = "[remote \"o\"]\nurl = https://git.example.com/s.git\n";
    check_all(
        &[("s/.git", "gitdir: ../.git/modules/s\n"), (".git/modules/s/config", config)],
        &["git git.example.com 443 (.git/modules/s/config:2)"],
    );
    for elsewhere in ["gitdir: /srv/a/.git/worktrees/b\n", "gitdir: ../../x\n", "nonsense"] {
        check(".git", elsewhere, &["GitElsewhere (.git:1)"]);
    }
}

#[test]
fn ci_files_name_the_images_of_jobs() {
    let ci = "variables:\n  HOST: registry.example.com\n  IMAGE: { value: \"$HOST/base\", description: x }\n\
              default:\n  image: \"$IMAGE:1\"\n  services:\n    - name: db.example.com/postgres:16\n      alias: db\n    - redis:7\n\
              include:\n  - local: /ci/build.yml\n  - remote: https://no.example.com/ci.yml\n  - project: group/ci\n    file: x.yml\n\
              .base: &base\n  image: !reference [.x, image]\n\
              test:\n  <<: *base\n  image: { name: \"$CI_REGISTRY/t\", entrypoint: [\"\"] }\n  script:\n    - apt-get update\n    - \
              apt-get install -y curl\n";
    check_all(
        &[(".gitlab-ci.yml", ci), ("ci/build.yml", "build: {image: build.example.com:5000/x}\n")],
        &[
            "job-images build.example.com 5000 (ci/build.yml:1)",
            "job-images db.example.com 443 (.gitlab-ci.yml:7)",
            "job-images registry.example.com 443 (.gitlab-ci.yml:5)",
            "Variable(JobImages) (.gitlab-ci.yml:19)",
            "DefaultRegistry(JobImages) (.gitlab-ci.yml:9)",
            "AptOfImage (.gitlab-ci.yml:21, .gitlab-ci.yml:22)",
            "RemoteInclude (.gitlab-ci.yml:12)",
        ],
    );
    check(
        ".gitlab-ci.yml",
        "include: https://no.example.com/x\n",
        &["RemoteInclude (.gitlab-ci.yml:1)"],
    );
    check(".gitlab-ci.yml", "include: ../../etc/passwd\n", &[]);
}

#[test]
fn variables_of_jobs_set_clients_up() {
    let ci = "variables:\n  MIRROR: https://mirror.example.com\n  PIP_INDEX_URL: $MIRROR/simple\n  NPM_CONFIG_REGISTRY: {value: 'https://npm.example.com'}\n\
              test:\n  variables:\n    GOPROXY: https://go.example.com,direct\n    UV_INDEX: own=https://uv.example.com/simple\n    \
              npm_config_cache: https://no.example.com\n    CARGO_REGISTRIES_OWN_INDEX: sparse+https://$CI_HOST/\n";
    check_all(
        &[
            (".gitlab-ci.yml", ci),
            ("requirements.txt", "a\n"),
            ("package.json", "{\"dependencies\": {\"a\": \"1\"}}"),
        ],
        &[
            "npm npm.example.com 443 (.gitlab-ci.yml:4)",
            "pip mirror.example.com 443 (.gitlab-ci.yml:3)",
            "pip uv.example.com 443 (.gitlab-ci.yml:8)",
            "go go.example.com 443 (.gitlab-ci.yml:7)",
            "Variable(Cargo) (.gitlab-ci.yml:10)",
        ],
    );
    check(
        "Dockerfile",
        "ENV A=b PIP_INDEX_URL=\"https://pip.example.com\"\n",
        &["pip pip.example.com 443 (Dockerfile:1)"],
    );
}
