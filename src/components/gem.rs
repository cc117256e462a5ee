//! Ruby gems: `specifications/*.gemspec`, as RubyGems writes them (`Gem::Specification#to_ruby`).

use super::{Component, Ecosystem};

/// Whether a file with these names of it and of the directories above it describes an installed
/// gem: `specifications/json-2.6.1.gemspec`, and `specifications/default` for those of Ruby itself.
pub fn is_specification<'n>(name: &[u8], mut above: impl Iterator<Item = &'n [u8]>) -> bool {
    name.ends_with(b".gemspec") && above.any(|dir| dir == b"specifications")
}

/// The gem that a specification describes; `None` if it computes its name or version.
pub fn parse(text: &[u8]) -> Option<Component> {
    let text = String::from_utf8_lossy(text);
    let (mut name, mut version, mut licences) = (None, None, Vec::new());
    for line in text.lines() {
        let Some((field, value)) = assignment(line) else { continue };
        match field {
            "name" => name = name.or_else(|| strings(value).next()),
            "version" => version = version.or_else(|| strings(value).next()),
            "license" | "licenses" => licences.extend(strings(value)),
            _ => {}
        }
    }
    let mut component = Component::new(Ecosystem::Gem, name?, version?)?;
    component.add_licences(licences.into_iter().map(str::to_owned));
    Some(component)
}

/// `name` and `"json".freeze` of `s.name = "json".freeze`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (target, value) = line.split_once('=')?;
    let (_, field) = target.trim().rsplit_once('.')?;
    Some((field, value.trim()))
}

/// The literals of an expression that has nothing else: a string, or a list of them.
fn strings(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value.trim_start_matches(['[', ' ']);
    std::iter::from_fn(move || {
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (text, after) = rest.get(1..)?.split_once(quote)?;
        rest = after.trim_start_matches(".freeze").trim_start_matches([',', ' ']);
        (!text.contains(['#', '\\'])).then_some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_name_gems_and_their_licences() {
        let text = "# stub: json 2.6.1 ruby lib\nGem::Specification.new do |s|\n  \
            s.name = \"json\".freeze\n  s.version = \"2.6.1\"\n\n  \
            s.required_rubygems_version = Gem::Requirement.new(\">= 0\".freeze)\n  \
            s.licenses = [\"Ruby\".freeze, 'MIT']\nend\n";
        let one = parse(text.as_bytes()).unwrap();
        assert_eq!(
            (&*one.purl(), one.licences.join(" ")),
            ("pkg:gem/json@2.6.1", "Ruby MIT".into())
        );
        let computed = "s.name = \"x\"\ns.version = Json::VERSION\n";
        assert_eq!(parse(computed.as_bytes()), None);
        assert_eq!(parse(b"s.name = \"a#{b}\"\ns.version = \"1\"\n"), None);
        let is = |path: &str| {
            let (dir, name) = path.rsplit_once('/').unwrap();
            is_specification(name.as_bytes(), dir.split('/').map(str::as_bytes))
        };
        assert!(is("/g/specifications/a-1.gemspec") && is("/g/specifications/default/a-1.gemspec"));
        assert!(!is("/src/a/a.gemspec") && !is("/g/specifications/a-1.rb"));
    }
}
