//! A provider that plays a model with tools, natively in each dialect: a thought with its sealed state, a call of a tool that the request
//! offers, and at last a sentence. What its turn is, the results in the request say, so that it keeps nothing between requests.
//!
//! It is strict where real providers are: each result must name the call before it, and where [`Model::keeps`] is set the state of every
//! thought must have come back as it was given. It is not a model of any provider beyond that; what providers send is in the recorded cases.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use base64::Engine as _;
use serde_json::{Value, json};
use sluice_dialect::Dialect;

use crate::mock::{Exchange, Mock, Script};

/// What the model does in one turn.
#[derive(Clone, Debug)]
pub enum Act {
    /// Calls the tool of that name (or whose name ends with it, behind a namespace) with this object.
    Call(&'static str, Value),
    /// Calls a tool that takes a text. Where the request describes it as a function, the text is its one required argument.
    Free(&'static str, String),
    /// Ends. `{result}` stands for what the newest result says.
    Say(&'static str),
}

/// A scripted model, to be served under a name of the mock provider.
#[derive(Clone, Debug)]
pub struct Model {
    dialect: Dialect,
    acts: Vec<Act>,
    keeps: bool,
}

/// A tool as the request describes it.
struct Offered {
    name: String,
    namespace: Option<String>,
    /// Takes a text instead of an object.
    custom: bool,
    schema: Value,
}

/// What a request tells the model.
#[derive(Default)]
struct Told {
    stream: bool,
    tools: Vec<Offered>,
    /// The ids of the calls, and of the calls of the results, where the dialect has them. Some clients number them anew.
    called: Vec<String>,
    answered: Vec<String>,
    results: Vec<String>,
    states: Vec<String>,
}

/// One turn, ready to be written.
struct Turn {
    number: usize,
    model: String,
    thought: String,
    state: String,
    done: Done,
}

enum Done {
    Call { id: String, name: String, namespace: Option<String>, custom: bool, input: String },
    Say(String),
}

/// The thought of a turn, counted from 0.
pub fn thought(turn: usize) -> String {
    format!("What is to be done in turn {turn}?")
}

/// The state of that thought: base64 with every character that one alphabet or the other lacks.
pub fn state(turn: usize) -> String {
    base64::engine::general_purpose::STANDARD.encode([b"\xfb\xef\xff sealed ", turn.to_string().as_bytes()].concat())
}

impl Model {
    pub fn new(dialect: Dialect, acts: impl Into<Vec<Act>>) -> Model {
        Model { dialect, acts: acts.into(), keeps: false }
    }

    /// Refuses requests that do not bring the state of every thought back.
    #[must_use]
    pub fn keeps(self) -> Model {
        Model { keeps: true, ..self }
    }

    /// How many requests the whole play takes.
    pub fn turns(&self) -> usize {
        self.acts.len()
    }

    pub fn serve(self, mock: &Mock, name: &str) {
        mock.on(name, move |exchange| self.answer(exchange));
    }

    pub fn answer(&self, exchange: &Exchange) -> Script {
        let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
        let path = exchange.target.split('?').next().unwrap_or_default();
        let served = match self.dialect {
            Dialect::OpenaiChat => path.ends_with("/chat/completions"),
            Dialect::OpenaiResponses => path.ends_with("/responses"),
            Dialect::Anthropic => path.ends_with("/messages"),
            Dialect::Gemini => path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent"),
        };
        if exchange.method != "POST" || !served {
            return self.refuse(404, "no such operation here");
        }
        let told = match self.dialect {
            Dialect::OpenaiChat => chat::read(&body),
            Dialect::OpenaiResponses => responses::read(&body),
            Dialect::Anthropic => anthropic::read(&body),
            Dialect::Gemini => gemini::read(&body, path),
        };
        let turn = match self.turn(&told, &body) {
            Ok(turn) => turn,
            Err(why) => return self.refuse(400, &why),
        };
        match (self.dialect, told.stream) {
            (Dialect::OpenaiChat, false) => Script::json(200, chat::whole(&turn).to_string()),
            (Dialect::OpenaiChat, true) => Script::sse(chat::stream(&turn)),
            (Dialect::OpenaiResponses, false) => Script::json(200, responses::whole(&turn).to_string()),
            (Dialect::OpenaiResponses, true) => Script::sse(responses::stream(&turn)),
            (Dialect::Anthropic, false) => Script::json(200, anthropic::whole(&turn).to_string()),
            (Dialect::Anthropic, true) => Script::sse(anthropic::stream(&turn)),
            (Dialect::Gemini, false) => Script::json(200, gemini::whole(&turn).to_string()),
            (Dialect::Gemini, true) => Script::sse(gemini::stream(&turn)),
        }
    }

    fn turn(&self, told: &Told, body: &Value) -> Result<Turn, String> {
        let number = told.results.len();
        if told.answered != told.called {
            return Err(format!("results for {:?}, but the calls were {:?}", told.answered, told.called));
        }
        if self.keeps {
            let given: Vec<String> = (0..number).map(|turn| self.given(turn)).collect();
            if told.states != given {
                return Err(format!("the state of thoughts is {:?}, but it was {given:?}", told.states));
            }
        }
        let act = self.acts.get(number).ok_or_else(|| format!("{number} results, more than the play has"))?;
        let done = match act {
            Act::Say(text) => Done::Say(text.replace("{result}", told.results.last().map_or("", String::as_str))),
            Act::Call(name, arguments) => {
                let tool = told.tool(name)?;
                Done::call(number, tool, arguments.to_string())
            }
            Act::Free(name, text) => {
                let tool = told.tool(name)?;
                let input = if tool.custom { text.clone() } else { json!({tool.only()?: text}).to_string() };
                Done::call(number, tool, input)
            }
        };
        let model = body["model"].as_str().unwrap_or("scripted").to_owned();
        Ok(Turn { number, model, thought: thought(number), state: state(number), done })
    }

    /// What must come back of a turn. Chat has no state beside the thought's text.
    fn given(&self, turn: usize) -> String {
        if self.dialect == Dialect::OpenaiChat { thought(turn) } else { state(turn) }
    }

    fn refuse(&self, status: u16, message: &str) -> Script {
        let kind = if status == 404 { "not_found_error" } else { "invalid_request_error" };
        let body = match self.dialect {
            Dialect::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
            Dialect::Gemini => json!({"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}),
            _ => json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
        };
        Script::json(status, body.to_string())
    }
}

impl Done {
    fn call(number: usize, tool: &Offered, input: String) -> Done {
        Done::Call {
            id: call_id(number),
            name: tool.name.clone(),
            namespace: tool.namespace.clone(),
            custom: tool.custom,
            input,
        }
    }
}

impl Told {
    fn tool(&self, name: &str) -> Result<&Offered, String> {
        let exact = self.tools.iter().find(|tool| tool.name == name);
        exact.or_else(|| self.tools.iter().find(|tool| tool.name.ends_with(name))).ok_or_else(|| {
            let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
            format!("no tool {name} among {names:?}")
        })
    }
}

impl Offered {
    fn function(tool: &Value, schema: &Value) -> Offered {
        Offered { name: text(&tool["name"]), namespace: None, custom: false, schema: schema.clone() }
    }

    /// The one argument that the tool requires.
    fn only(&self) -> Result<String, String> {
        match self.schema["required"].as_array().map(Vec::as_slice) {
            Some([Value::String(name)]) => Ok(name.clone()),
            _ => Err(format!("{} does not take one text: {}", self.name, self.schema)),
        }
    }
}

fn call_id(turn: usize) -> String {
    format!("call_scripted_{turn}")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A list of a document; anything else is an empty one.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or the texts of a list of parts.
fn joined(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        parts => list(parts).iter().filter_map(|part| part["text"].as_str()).collect(),
    }
}

/// Cuts where no word ends, as tokens do.
fn pieces(text: &str) -> Vec<&str> {
    let third = text.len().div_ceil(3);
    let mut rest = text;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let end = (third..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        out.push(piece);
        rest = after;
    }
    out
}

/// An event with its name.
fn named(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}
