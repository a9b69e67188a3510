//! Finding a kept report and what is in it, by what a user calls them, with the nearest where there is no such thing.

use std::path::Path;

use super::Failure;
use crate::config::near::nearest;
use crate::report::read::{self, ReadError};
use crate::report::{Report, Variant};

/// Reads the report at `path`.
///
/// # Errors
/// If there is none, with the nearest name; if it is of another version, as incomplete data.
pub fn open(path: &Path) -> Result<Report, Failure> {
    read::read(path).map_err(|error| match error {
        ReadError::Version { .. } => Failure::incomplete(format!("{error}\nhint: make it anew with `gwsim run`")),
        ReadError::Unreadable(file, io) if io.kind() == std::io::ErrorKind::NotFound && path.exists() => {
            Failure::usage(format!("{} holds no report: it has no {}", path.display(), file.file_name().unwrap_or_default().to_string_lossy()))
        }
        ReadError::Unreadable(_, io) if io.kind() == std::io::ErrorKind::NotFound => missing(path),
        other => Failure::usage(other),
    })
}

/// That there is nothing at `path`, with what is nearest to it.
pub fn missing(path: &Path) -> Failure {
    let near = near(path).map(|near| format!("\nhint: did you mean `{near}`?")).unwrap_or_default();
    Failure::usage(format!("can't read {}: no such file or directory{near}", path.display()))
}

/// The path whose first wrong part is replaced by the nearest name beside it.
fn near(path: &Path) -> Option<String> {
    let wrong = path.ancestors().filter(|part| !part.as_os_str().is_empty()).take_while(|part| !part.exists()).last()?;
    let beside = wrong.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut names: Vec<String> = beside.read_dir().ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let found = nearest(&wrong.file_name()?.to_string_lossy(), names.iter().map(String::as_str))?;
    let rest = path.strip_prefix(wrong).ok()?;
    let nearest = wrong.with_file_name(found).join(rest);
    Some(nearest.display().to_string().trim_end_matches('/').to_owned())
}

/// The variant with this name.
///
/// # Errors
/// If the report has none, with the nearest or with all.
pub fn variant<'a>(report: &'a Report, name: &str) -> Result<&'a Variant, Failure> {
    let names = || report.variants.iter().map(|variant| variant.name.as_str());
    report.variants.iter().find(|variant| variant.name == name).ok_or_else(|| {
        let hint = nearest(name, names()).map_or_else(
            || format!("the report has {}", names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        Failure::usage(format!("no variant `{name}`\nhint: {hint}"))
    })
}
