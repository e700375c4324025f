//! What reading costs: every text of the request and of the reply crosses into the plugin and is walked piece by piece.

use sluice::{Call, Fault, NoSettings, OnRequest, OnResponse, Plugin, Reply, RequestVerdict, ResponseVerdict, Texts};

struct Reader;

impl Plugin for Reader {
    type Settings = NoSettings;
    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Reader)
    }
}

/// Faults where what was read does not add up, so that the walk cannot be left out.
fn walk(texts: &Texts) -> Result<(), Fault> {
    let read: usize = texts.iter().map(|piece| piece.text.len() + 1).sum();
    if read == texts.joined().len() + usize::from(!texts.is_empty()) {
        Ok(())
    } else {
        Err(Fault::internal("pieces and joined text differ"))
    }
}

impl OnRequest for Reader {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        walk(&call.texts())?;
        Ok(RequestVerdict::Pass)
    }
}

impl OnResponse for Reader {
    fn on_response(&self, _: &mut Call, reply: &mut Reply) -> Result<ResponseVerdict, Fault> {
        walk(&reply.texts())?;
        Ok(ResponseVerdict::Pass)
    }
}

sluice::plugin!(Reader: on_request, on_response);
