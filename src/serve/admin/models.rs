//! `/model/info`: which models there are, what answers for them, and at what rates. Knows no key's terms.

use serde_json::{Value, json};

use super::{Caller, Desk, Parameters, terms};
use crate::gateway::directory::Directory;
use crate::gateway::id::{DeploymentId, KeyId, ModelId};
use crate::gateway::plan::Plan;
use crate::gateway::rate_card::Rates;
use crate::serve::answers::{self, Problem};

/// `GET /model/info`: every deployment of every model; a key sees those that it may ask for.
pub fn info(desk: &Desk<'_>, caller: &Caller, parameters: &Parameters) -> Result<Value, Problem> {
    let (plan, now) = (desk.app.engine.plan(), desk.now);
    let names = match caller {
        Caller::Administrator => plan.models.iter().filter(|model| !model.retired).map(|model| model.name.clone()).collect(),
        Caller::Key(name) => desk.app.engine.read(|gateway, plan, _| {
            let key = gateway.key(name).ok_or_else(answers::unknown_key)?;
            gateway.directory().standing(key).map_err(|denial| answers::denied(denial, &desk.app.settings().server, None, ""))?;
            Ok(allowed(gateway.directory(), plan, key))
        })?,
    };
    let wanted = parameters.get("litellm_model_id");
    let mut data = Vec::new();
    for model in names.iter().filter_map(|name| plan.find_model(name)).map(|id| plan.model(id)) {
        for id in &model.deployments {
            let deployment = plan.deployment(*id);
            if deployment.retired || wanted.is_some_and(|wanted| *wanted != deployment.name) {
                continue;
            }
            let card = deployment.rates.at(now);
            let rates: &Rates = card.rates(0);
            let per_token = |rate: crate::gateway::money::Rate| terms::dollars(rate.times(1));
            data.push(json!({
                "model_name": model.name,
                "litellm_params": { "model": format!("{}/{}", deployment.provider, deployment.model) },
                "model_info": {
                    "id": deployment.name,
                    "litellm_provider": deployment.provider,
                    "max_input_tokens": deployment.input_tokens_max,
                    "max_output_tokens": deployment.output_tokens_max,
                    "max_tokens": deployment.output_tokens_max,
                    "input_cost_per_token": per_token(rates.input),
                    "output_cost_per_token": per_token(rates.output),
                    "cache_read_input_token_cost": per_token(rates.cache_read),
                    "cache_creation_input_token_cost": per_token(rates.cache_write),
                    "servable": is_servable(desk, *id),
                },
            }));
        }
    }
    Ok(json!({ "data": data }))
}

/// The models that a key may ask for, by name.
pub fn allowed(directory: &Directory, plan: &Plan, key: KeyId) -> Vec<String> {
    let models = (0..).map(ModelId).zip(&plan.models).filter(|(id, model)| !model.retired && directory.may_use(key, *id));
    models.map(|(_, model)| model.name.clone()).collect()
}

/// Whether calls can be made there at all.
fn is_servable(desk: &Desk<'_>, deployment: DeploymentId) -> bool {
    desk.app.settings().destinations.get(deployment.index()).is_some_and(Result::is_ok)
}
