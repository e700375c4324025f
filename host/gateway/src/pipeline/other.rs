//! Calls that are no conversation: lists of models, counts, embeddings, and what passes raw.

use std::sync::Arc;

use sluice_dialect::failure::{Blame, Failure};

use super::{call::Settle, models, reply};
use crate::app::Core;
use crate::exchange::{Inbound, Operation, Reply};

pub async fn run(core: &Arc<Core>, mut inbound: Inbound) -> Reply {
    match &inbound.road.operation {
        Operation::Models => models::list(core, &inbound.road, inbound.caller.as_ref()).await,
        Operation::Model(id) => models::get(core, &inbound.road, inbound.caller.as_ref(), id, &inbound.id).await,
        operation => {
            let message = format!(
                "Calls of this kind ({}, {}) are not served yet.",
                operation.as_str(),
                inbound.road.dialect.as_str()
            );
            let failure = Failure::new(Blame::Gateway, 501, "server_error", "not_served", message);
            reply::refuse(Settle::new(core, &mut inbound), &failure)
        }
    }
}
