//! Dockerfiles, apt, Maven and Gradle.

use super::{check, check_all};

#[test]
fn a_dockerfile_names_images_and_files() {
    let text = "# syntax=tools.example.com/dockerfile:1\n# escape=`\nARG HOST=registry.example.com\nARG BASE=${HOST}/base\n\
                FROM --platform=linux/amd64 ${BASE}:1 AS build\nFROM scratch\nfrom debian:12 as Second\n\
                ARG HOST=no.example.com\nADD --checksum=sha256:0 https://files.example.com/a `\n    /a\n\
                ADD [\"https://json.example.com/b\", \"/b\"]\nADD local /c\nADD git@git.example.com:d.git /d\n\
                COPY --from=build /x /x\nCOPY --from=0 /x /x\nCOPY --from=second /x /x\nCOPY --from=copy.example.com/x /x /x\n\
                RUN --mount=type=bind,from=mount.example.com/y,target=/y true\n\
                RUN <<EOF\nFROM no.example.com/z\nEOF\nRUN apt-get update && apt-get install -y curl\n\
                FROM $UNKNOWN/x\nFROM ${DEFAULTED:-default.example.com}/x\n";
    check(
        "Dockerfile",
        text,
        &[
            "images copy.example.com 443 (Dockerfile:17)",
            "images default.example.com 443 (Dockerfile:24)",
            "images mount.example.com 443 (Dockerfile:18)",
            "images registry.example.com 443 (Dockerfile:5)",
            "images tools.example.com 443 (Dockerfile:1)",
            "downloads files.example.com 443 (Dockerfile:9)",
            "downloads git.example.com 22 (Dockerfile:13)",
            "downloads json.example.com 443 (Dockerfile:11)",
            "Variable(Images) (Dockerfile:23)",
            "DefaultRegistry(Images) (Dockerfile:7)",
            "AptOfImage (Dockerfile:22)",
        ],
    );
}

#[test]
fn package_sources_of_apt_come_in_two_forms() {
    let list = "# deb https://no.example.com x main\ndeb [arch=amd64 signed-by=/x.gpg] https://deb.example.com/debian bookworm main\n\
                deb-src http://src.example.com/debian bookworm main # x\ndeb file:/srv/x ./\ndeb mirror+https://m.example.com/list x y\n\
                deb cdrom:[Debian]/ x main\ndebug https://no.example.com\n";
    check(
        "etc/apt/sources.list.d/x.list",
        list,
        &[
            "apt deb.example.com 443 (etc/apt/sources.list.d/x.list:2)",
            "apt m.example.com 443 (etc/apt/sources.list.d/x.list:5)",
            "apt src.example.com 80 (etc/apt/sources.list.d/x.list:3)",
        ],
    );
    let stanzas = "Types: deb\nURIs: https://a.example.com/debian\n  http://b.example.com/debian\n# a comment\nSuites: x\n\n\
                   Types: deb\nEnabled: no\nURIs: https://no.example.com\n\nuris: https://c.example.com\nSigned-By:\n https://no.example.com\n";
    check(
        "x.sources",
        stanzas,
        &[
            "apt a.example.com 443 (x.sources:2)",
            "apt b.example.com 80 (x.sources:3)",
            "apt c.example.com 443 (x.sources:11)",
        ],
    );
}

#[test]
fn maven_names_repositories_and_mirrors() {
    let pom = "<project xmlns=\"x\">\n<repositories><repository><id>own</id>\n<url>https://maven.example.com/r</url></repository></repositories>\n\
               <profiles><profile><pluginRepositories><pluginRepository>\n<url>${plugins}</url></pluginRepository></pluginRepositories></profile></profiles>\n\
               <distributionManagement><repository><url>https://no.example.com</url></repository></distributionManagement>\n</project>";
    let facts = [
        "maven maven.example.com 443 (pom.xml:3)",
        "Default(Maven, NotInstalled) (pom.xml:1)",
        "Variable(Maven) (pom.xml:5)",
    ];
    check("pom.xml", pom, &facts);
    let mirror = |of: &str| {
        format!(
            "<settings><mirrors><mirror>\n<url>http://mirror.example.com</url><mirrorOf>{of}</mirrorOf></mirror></mirrors>\n\
             <proxies><proxy><host>p.example.com</host></proxy><proxy><active>false</active><host>no.example.com</host></proxy></proxies></settings>"
        )
    };
    let mirrored = |at: &str| {
        ["maven mirror.example.com 80", "maven p.example.com 8080"]
            .iter()
            .zip([2, 3])
            .map(|(fact, line)| format!("{fact} ({at}:{line})"))
            .collect::<Vec<_>>()
    };
    let ci = "ci/settings.xml";
    let [mirror_fact, proxy_fact] = &mirrored(ci)[..] else { panic!() };
    for of in ["*", "external:*", "a, central"] {
        check_all(
            &[("pom.xml", pom), (ci, &mirror(of))],
            &[facts[0], mirror_fact, proxy_fact, facts[2]],
        );
    }
    for of in ["own", "*,!central"] {
        check_all(
            &[("pom.xml", pom), (ci, &mirror(of))],
            &[facts[0], mirror_fact, proxy_fact, facts[1], facts[2]],
        );
    }
    let own = "<project><repositories><repository><id>central</id><url>https://c.example.com</url></repository></repositories>\
               <pluginRepositories><pluginRepository><id>central</id><url>https://c.example.com</url></pluginRepository></pluginRepositories></project>";
    check("pom.xml", own, &["maven c.example.com 443 (pom.xml:1)"]);
}

#[test]
fn wrappers_name_where_their_tools_come_from() {
    check(
        ".mvn/wrapper/maven-wrapper.properties",
        "# x\ndistributionUrl=https://maven.example.com/m.zip\nwrapperUrl=https://w.example.com/w.jar\n",
        &[
            "maven maven.example.com 443 (.mvn/wrapper/maven-wrapper.properties:2)",
            "maven w.example.com 443 (.mvn/wrapper/maven-wrapper.properties:3)",
        ],
    );
    check_all(
        &[
            (
                "gradle/wrapper/gradle-wrapper.properties",
                "distributionUrl=https\\://gradle.example.com/g.zip\n",
            ),
            ("build.gradle.kts", "repositories { maven(\"https://no.example.com\") }\n"),
        ],
        &[
            "gradle gradle.example.com 443 (gradle/wrapper/gradle-wrapper.properties:1)",
            "GradleBuild (build.gradle.kts:1)",
        ],
    );
}
