//! Packages of PHP: `vendor/composer/installed.json`, which Composer writes.

use serde::Deserialize;

use super::bounded;

/// The file of Composer 2.
#[derive(Deserialize)]
struct Installed {
    #[serde(deserialize_with = "bounded::list")]
    packages: Vec<Package>,
}

/// The file of Composer 1.
#[derive(Deserialize)]
#[serde(transparent)]
struct List {
    #[serde(deserialize_with = "bounded::list")]
    packages: Vec<Package>,
}

/// A package that is installed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Package {
    /// `VENDOR/NAME`.
    pub name: String,
    /// The directory, relative to that of the file. A package without files has none; Composer 1
    /// does not say.
    #[serde(default, rename = "install-path")]
    pub path: Option<String>,
}

impl Package {
    /// Its directory, relative to that of the file.
    pub fn directory(&self) -> String {
        self.path.clone().unwrap_or_else(|| format!("../{}", self.name))
    }
}

/// The packages that `installed.json` lists.
pub fn installed(json: &[u8]) -> Vec<Package> {
    // An untagged enum would hold the whole document in memory before it tries a form.
    let packages = match json.trim_ascii_start().starts_with(b"[") {
        true => serde_json::from_slice(json).map(|all: List| all.packages),
        false => serde_json::from_slice(json).map(|all: Installed| all.packages),
    };
    let mut packages: Vec<Package> = packages.unwrap_or_default();
    packages.retain(|package| !package.name.is_empty());
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_list_packages() {
        let of = |json: &str| -> Vec<(String, String)> {
            let all = installed(json.as_bytes()).into_iter();
            all.map(|one| (one.name.clone(), one.directory())).collect()
        };
        let package = |name: &str, dir: &str| (name.to_owned(), dir.to_owned());
        let second = r#"{"packages":[{"name":"a/b","install-path":"../c/d"},
            {"name":"m/m","install-path":null}],"dev":true}"#;
        assert_eq!(of(second), [package("a/b", "../c/d"), package("m/m", "../m/m")]);
        assert_eq!(of(r#"[{"name":"a/b","version":"1"}]"#), [package("a/b", "../a/b")]);
        for json in ["", "{}", "[1]", r#"{"packages":{}}"#, r#"[{"name":""}]"#] {
            assert_eq!(of(json), [], "{json}");
        }
    }
}
