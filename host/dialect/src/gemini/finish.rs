//! Why a candidate ended.

use serde_json::{Map, Value};

use crate::hub::{Choice, Finish, Part};

/// The names by their numbers, for replies with `enum-encoding=int`.
const NAMES: [&str; 19] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "UNEXPECTED_TOOL_CALL",
    "LANGUAGE",
    "IMAGE_PROHIBITED_CONTENT",
    "NO_IMAGE",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "MODEL_ARMOR",
    "MALFORMED_RESPONSE",
];

/// The reason, and in `rest` the provider's own word where the reason does not name it. `None` where none is said.
pub(super) fn read(value: &Value, rest: &mut Map<String, Value>) -> Option<Finish> {
    let word = match value {
        Value::String(word) => word.as_str(),
        Value::Number(number) => {
            let at = usize::try_from(number.as_u64()?).ok()?;
            NAMES.get(at).copied().unwrap_or("OTHER")
        }
        _ => return None,
    };
    let finish = match word {
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    };
    if finish == Finish::ContentFilter && word != "SAFETY" {
        rest.insert("finishReason".to_owned(), Value::from(word));
    }
    Some(finish)
}

/// The word for a client, and the message that says what the word does not.
pub(super) fn write(finish: &Finish, refused: bool) -> (&'static str, Option<&str>) {
    match finish {
        // Words of refusal have no field of their own here.
        Finish::Stop | Finish::ToolCalls | Finish::StopSequence if refused => ("SAFETY", None),
        Finish::Stop | Finish::ToolCalls | Finish::StopSequence => ("STOP", None),
        Finish::Length => ("MAX_TOKENS", None),
        Finish::ContentFilter | Finish::Refusal => ("SAFETY", None),
        Finish::Pause => ("OTHER", Some("pause")),
        Finish::Cut => ("OTHER", Some("cut")),
        Finish::Other(word) => match NAMES.iter().find(|name| *name == word) {
            Some(name) => (name, None),
            None => ("OTHER", Some(word)),
        },
    }
}

pub(super) fn refused(choice: &Choice) -> bool {
    choice.parts.iter().any(|part| matches!(part, Part::Refusal(_)))
}
