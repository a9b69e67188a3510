//! The gateway.toml with which `gwsim serve` finds the deployments of a mock: the scenario's own, with other addresses and without the providers'
//! credentials.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Site;
use crate::cli::args::MockArguments;
use crate::cli::{Exit, Failure};
use crate::config::{self, Options};
use crate::gateway::plan::{Deployment, Plan};
use crate::twin::mock::path_of;

/// Writes it, and the secrets of its keys beside it.
///
/// # Errors
/// If a file can't be read or written, or the gateway that was written is another one.
pub(super) fn write(file: &Path, arguments: &MockArguments, plan: &Plan, sites: &[Site]) -> Result<(), Failure> {
    let found = config::gateway_of_scenario(&arguments.scenario, &arguments.reading.options(), arguments.variant.as_deref());
    // Whatever is wrong with it was said when the scenario was loaded.
    let Ok(Some((mut gateway, directory))) = found else { return Err(Failure::told(Exit::Usage)) };
    let folder = keys_folder(file);
    // Where the real one listens, keeps its journal and alerts somebody is not for a try.
    for production in ["server", "alerts"] {
        gateway.remove(production);
    }
    readdress(&mut gateway, sites);
    keep_paths(&mut gateway, &directory);
    let unwritable = |path: &Path, error: std::io::Error| Failure::usage(format!("can't write {}: {error}", path.display()));
    let names = put_secrets(&mut gateway, &folder);
    if !names.is_empty() {
        fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, error))?;
    }
    for name in names {
        let path = folder.join(&path_of(&name)[1..]);
        fs::write(&path, format!("sk-gwsim-{name}\n")).map_err(|error| unwritable(&path, error))?;
    }
    let head = format!("# The gateway of {} in front of `gwsim mock`. Made by it; no provider is paid.\n", arguments.scenario.display());
    let text = head + &toml::to_string(&gateway).map_err(Failure::internal)?;
    fs::write(file, text).map_err(|error| unwritable(file, error))?;
    check(file, plan, arguments)
}

/// Holds what was written against the scenario's plan: a price that hangs on the name of a provider must not be lost with it.
fn check(file: &Path, plan: &Plan, arguments: &MockArguments) -> Result<(), Failure> {
    let options = Options { prices: arguments.reading.prices.clone(), ..Options::default() };
    let written = config::load_gateway(file, &options).map_err(|diagnostics| Failure::usage(diagnostics.render(false)))?.value.plan;
    let is_alike = |deployment: &&Deployment| {
        let found = written.find_deployment(&deployment.name).map(|id| written.deployment(id));
        found.is_some_and(|found| found.rates == deployment.rates && found.billing == deployment.billing)
    };
    match plan.deployments.iter().find(|deployment| !is_alike(deployment)) {
        None => Ok(()),
        Some(Deployment { name, provider, .. }) => Err(Failure::usage(format!(
            "{}: deployment `{name}` would have another price at a provider of its own\n\
             hint: add priced_as = \"{provider}/MODEL\" to it in the scenario's gateway",
            file.display()
        ))),
    }
}

/// Where the secrets of the keys in `file` are: `live.toml` has them in `live.toml.keys`.
fn keys_folder(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".keys");
    std::path::absolute(PathBuf::from(&name)).unwrap_or_else(|_| name.into())
}

/// Gives every deployment a provider at its own address. One that is its provider's only deployment keeps it; of several, each has a copy by its
/// own name, with the same discount.
fn readdress(gateway: &mut Table, sites: &[Site]) {
    let stated = gateway.remove("providers");
    let stated = stated.as_ref().and_then(Value::as_table);
    let mut taken: BTreeSet<String> = sites.iter().map(|site| site.provider.clone()).collect();
    let mut providers = Table::new();
    for site in sites {
        let is_only = sites.iter().filter(|other| other.provider == site.provider).count() == 1;
        let mut name = if is_only { site.provider.clone() } else { site.deployment.clone() };
        while !is_only && !taken.insert(name.clone()) {
            name.push('-');
        }
        let mut provider = stated.and_then(|stated| stated.get(&site.provider)).and_then(Value::as_table).cloned().unwrap_or_default();
        for credential in ["key", "headers", "api_version"] {
            provider.remove(credential);
        }
        provider.insert("api".into(), site.api.name().into());
        provider.insert("base_url".into(), site.base_url.clone().into());
        providers.insert(name.clone(), provider.into());
        if name != site.provider {
            for_each_price(gateway, |prices| copy_discount(prices, &site.provider, &name));
            for_each_deployment(gateway, &site.deployment, |deployment| {
                deployment.insert("provider".into(), name.clone().into());
            });
        }
    }
    gateway.insert("providers".into(), providers.into());
}

fn copy_discount(prices: &mut Table, from: &str, to: &str) {
    if let Some(discounts) = prices.get_mut("discount").and_then(Value::as_table_mut)
        && let Some(discount) = discounts.get(from).cloned()
    {
        discounts.insert(to.into(), discount);
    }
}

/// `[prices]` and each change of it.
fn for_each_price(gateway: &mut Table, mut change: impl FnMut(&mut Table)) {
    let Some(prices) = gateway.get_mut("prices").and_then(Value::as_table_mut) else { return };
    change(prices);
    match prices.get_mut("changes") {
        Some(Value::Array(changes)) => changes.iter_mut().filter_map(Value::as_table_mut).for_each(change),
        Some(Value::Table(only)) => change(only),
        _ => {}
    }
}

/// The table of the deployment of that name, in `[deployments]` or in its model.
fn for_each_deployment(gateway: &mut Table, name: &str, mut change: impl FnMut(&mut Table)) {
    if let Some(deployment) = gateway.get_mut("deployments").and_then(|all| all.get_mut(name)).and_then(Value::as_table_mut) {
        change(deployment);
    }
    let models = gateway.get_mut("models").and_then(Value::as_table_mut);
    for model in models.into_iter().flat_map(|models| models.iter_mut()).filter_map(|(_, model)| model.as_table_mut()) {
        let members = model.get_mut("deployments").and_then(Value::as_array_mut);
        for member in members.into_iter().flatten().filter_map(Value::as_table_mut) {
            if member.get("id").and_then(Value::as_str) == Some(name) {
                change(member);
            }
        }
    }
}

/// Price lists beside the scenario's gateway are found from elsewhere too.
fn keep_paths(gateway: &mut Table, directory: &Path) {
    for_each_price(gateway, |prices| {
        let Some(Value::String(list)) = prices.get_mut("list") else { return };
        let path = directory.join(&*list);
        if let (true, Ok(path)) = (path.is_file(), std::path::absolute(&path)) {
            *list = path.display().to_string();
        }
    });
}

/// Gives a secret to every key that has none, and says their names.
fn put_secrets(gateway: &mut Table, folder: &Path) -> Vec<String> {
    let keys = gateway.get_mut("keys").and_then(Value::as_table_mut);
    let mut names = Vec::new();
    for (name, key) in keys.into_iter().flat_map(|keys| keys.iter_mut()) {
        let Some(key) = key.as_table_mut() else { continue };
        let path = folder.join(&path_of(name)[1..]);
        key.insert("secret".into(), format!("file:{}", path.display()).into());
        names.push(name.clone());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::gateway::providers::Api;

    fn site(deployment: &str, provider: &str, api: Api) -> Site {
        Site { deployment: deployment.into(), provider: provider.into(), api, base_url: format!("http://here/{deployment}") }
    }

    #[test]
    fn deployments_of_one_provider_get_an_address_each_and_keep_its_terms() {
        let text = "
            [providers.openai]
            key = 'env:OPENAI_API_KEY'
            cancel_stops_billing = false
            [prices]
            discount = { openai = 0.1 }
            [keys.intern]
            [models.m]
            deployments = [{ id = 'a', provider = 'openai' }, { id = 'b', provider = 'openai' }, { id = 'c', provider = 'anthropic' }]
        ";
        let mut gateway: Table = text.parse().unwrap();
        let sites = [site("a", "openai", Api::OpenAi), site("b", "openai", Api::OpenAi), site("c", "anthropic", Api::Anthropic)];
        readdress(&mut gateway, &sites);
        assert_eq!(put_secrets(&mut gateway, Path::new("/k")), ["intern"]);
        let expected = "
            [providers.a]
            api = 'openai'
            base_url = 'http://here/a'
            cancel_stops_billing = false
            [providers.b]
            api = 'openai'
            base_url = 'http://here/b'
            cancel_stops_billing = false
            [providers.anthropic]
            api = 'anthropic'
            base_url = 'http://here/c'
            [prices]
            discount = { openai = 0.1, a = 0.1, b = 0.1 }
            [keys.intern]
            secret = 'file:/k/intern'
            [models.m]
            deployments = [{ id = 'a', provider = 'a' }, { id = 'b', provider = 'b' }, { id = 'c', provider = 'anthropic' }]
        ";
        assert_eq!(gateway, expected.parse::<Table>().unwrap());
    }
}
