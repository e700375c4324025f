//! Calls that are no conversation: lists of models, counts of tokens, embeddings, and what passes raw to its provider.
//!
//! What plugins can read of them they read; a call that a closed plugin would have to read and cannot is refused here.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::peek::{self, Peek};
use sluice_dialect::splice::splice;
use sluice_sandbox::Hook;

use super::call::Call;
use super::{cut, models, reply};
use crate::app::{Core, Gateway};
use crate::config::OnError;
use crate::exchange::{Inbound, Operation, Reply};
use crate::observe::record::Outcome;
use crate::plugins::chain::{Chain, Entry};

mod ask;
mod count;
mod embed;
mod multipart;
mod raw;

pub async fn run(gateway: &Rc<Gateway>, core: &Arc<Core>, inbound: Inbound) -> Reply {
    match &inbound.road.operation {
        Operation::Models => models::list(core, &inbound.road, inbound.caller.as_ref()).await,
        Operation::Model(id) => models::get(core, &inbound.road, inbound.caller.as_ref(), id, &inbound.id).await,
        Operation::Raw(raw) => {
            let raw = raw.clone();
            raw::run(gateway, core, inbound, &raw).await
        }
        Operation::CountTokens | Operation::Embeddings | Operation::Chat => read(gateway, core, inbound).await,
    }
}

/// An operation whose request is read and whose reply is whole.
async fn read(gateway: &Rc<Gateway>, core: &Arc<Core>, inbound: Inbound) -> Reply {
    let counts = inbound.road.operation == Operation::CountTokens;
    let (settle, parts) = Call::start(core, inbound);
    let mut call = match parts {
        Ok(parts) => Call::new(parts, settle),
        Err(failure) => return reply::refuse(settle, &failure),
    };
    // Nothing streams here, whatever the body says.
    call.peek.stream = false;
    call.keep(&gateway.finisher);
    let steps = async {
        super::admit(&mut call)?;
        if counts { count::run(gateway, core, &mut call).await } else { embed::run(gateway, core, &mut call).await }
    };
    let served = tokio::select! {
        biased;
        served = steps => served,
        () = gateway.cut.wait() => Err(cut::stopping()),
    };
    match served {
        Ok((headers, body)) => {
            call.settle.end(Outcome::Ok, 200);
            reply::whole(call.settle, headers, body)
        }
        Err(failure) => reply::refuse(call.settle, &failure),
    }
}

/// Refuses a call that a plugin of the chain is to guard and cannot read.
fn unseen(chain: &Chain, operation: &str) -> Result<(), Failure> {
    let blind = |entry: &&Arc<Entry>| {
        let guards = entry.has(Hook::OnRequest) || entry.has(Hook::OnRoute) || entry.reads_replies();
        entry.on_error == OnError::Closed && guards
    };
    let Some(entry) = chain.entries.iter().find(blind) else { return Ok(()) };
    let name = &entry.name;
    let message = format!(
        "The policy `{name}` cannot read calls of this kind ({operation}), so they are refused. The operator can let them pass: list the \
         operations that the policy runs on in its `match`, as in `match: {{ operation: [chat, embeddings] }}`."
    );
    Err(Failure::new(Blame::Plugin, 403, "permission_error", "unseen_by_policy", message))
}

/// The body with the target's name for the model, where it says another.
fn renamed(body: &Bytes, peek: &Peek, model: &str) -> Bytes {
    let said = peek.model.as_ref().filter(|said| !said.literal.is_empty());
    if said.is_some_and(|said| said.name == model) {
        return body.clone();
    }
    let (range, text) = peek::name_model(peek, model);
    splice(body, &[(range, text.as_slice())])
}
