//! The dialect's words for pieces of text, in the sandbox's; the two crates do not know each other.

use sluice_dialect::document::Document;
use sluice_dialect::text;
use sluice_sandbox::{Kind, Piece, Role, Texts};

pub fn texts(document: &mut Document) -> Texts {
    let joined = document.joined();
    let pieces = document.pieces().iter().map(piece).collect();
    Texts { joined, pieces }
}

fn piece(piece: &text::Piece) -> Piece {
    let role = match piece.role {
        text::Role::System => Role::System,
        text::Role::User => Role::User,
        text::Role::Assistant => Role::Assistant,
        text::Role::Tool => Role::Tool,
        text::Role::Other => Role::Other,
    };
    Piece { role, kind: kind(piece.kind), choice: piece.choice }
}

pub fn kind(kind: text::Kind) -> Kind {
    match kind {
        text::Kind::Text => Kind::Text,
        text::Kind::Reasoning => Kind::Reasoning,
        text::Kind::Refusal => Kind::Refusal,
        text::Kind::ToolArguments => Kind::ToolArguments,
        text::Kind::ToolResult => Kind::ToolResult,
        text::Kind::Other => Kind::Other,
    }
}
