//! Profiles for tests, as text: what a user would write.

use std::fmt::Write as _;

/// A profile under construction.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    rules: Vec<String>,
    rest: String,
}

impl Profile {
    /// Denies everything.
    #[must_use]
    pub const fn deny_all() -> Self {
        Self { rules: Vec::new(), rest: String::new() }
    }

    /// Allows `domains` at port 443/tcp.
    #[must_use]
    pub fn domains(self, domains: &[&str]) -> Self {
        self.domains_at(domains, &["443"])
    }

    /// Allows `domains` at `ports`, each like `443` or `443/udp`.
    #[must_use]
    pub fn domains_at(self, domains: &[&str], ports: &[&str]) -> Self {
        let list = quoted(domains);
        self.rule(&format!("domains: [{list}]\n      ports: [{}]", quoted(ports)))
    }

    /// Allows `domains` at `ports`, answers in private ranges included.
    #[must_use]
    pub fn private_domains_at(self, domains: &[&str], ports: &[&str]) -> Self {
        let (domains, ports) = (quoted(domains), quoted(ports));
        let lines = format!("domains: [{domains}]\n      ports: [{ports}]\n      private: true");
        self.rule(&lines)
    }

    /// Allows `cidrs` at `ports`.
    #[must_use]
    pub fn cidrs_at(self, cidrs: &[&str], ports: &[&str]) -> Self {
        let list = quoted(cidrs);
        self.rule(&format!("cidrs: [{list}]\n      ports: [{}]", quoted(ports)))
    }

    /// Adds lines to `spec`, each already indented by two.
    #[must_use]
    pub fn spec(mut self, lines: &str) -> Self {
        self.rest.push_str(lines);
        self.rest.push('\n');
        self
    }

    fn rule(mut self, body: &str) -> Self {
        let number = self.rules.len();
        self.rules.push(format!("    - id: rule-{number}\n      {body}\n"));
        self
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(
            "apiVersion: weir.dev/v1\nkind: EgressProfile\nmetadata: { name: lab/test }\nspec:\n  mode: block\n",
        );
        if self.rules.is_empty() {
            text.push_str("  allow: []\n");
        } else {
            text.push_str("  allow:\n");
            text.push_str(&self.rules.concat());
        }
        // Writing to a String cannot fail.
        write!(text, "{}", self.rest).ok();
        text
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}
