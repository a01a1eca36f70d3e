//! Tokens with which machines enrol: made, listed, ended.

use evenkeel_proto::admin as wire;
use evenkeel_proto::times;
use evenkeel_store::Entry;
use evenkeel_store::entry::{TokenCreated, TokenRevoked};
use tonic::Status;

use super::{Actor, Admin, end};
use crate::ledger::{Decision, Key};
use crate::scope::Scope;
use crate::state::{State, TokenState};
use crate::token::{Token, network};

const LIFE: u64 = 15 * 60;
const MAX_LIFE: u64 = 365 * 24 * 60 * 60;
/// The longest glob of names.
const MAX_GLOB: usize = 253;

impl Admin {
    pub(super) async fn make_token(
        &self,
        request: wire::CreateTokenRequest,
        Actor { by, scope }: Actor,
    ) -> Result<wire::CreateTokenResponse, Status> {
        let wire::CreateTokenRequest { environment, uses, ttl_seconds, names, network: from } = request;
        scope.check(&environment)?;
        let known: Vec<String> = self.ledger.state().environments().iter().map(ToString::to_string).collect();
        if !known.contains(&environment) {
            let sentence =
                format!("there is no environment {environment:?}; there are: {}", known.join(", "));
            return Err(Status::invalid_argument(sentence));
        }
        let is_of_names =
            |character: char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '_' | '-' | '*' | '?');
        if names.len() > MAX_GLOB || !names.chars().all(is_of_names) {
            let sentence = format!("{names:?} is not a glob of names: a-z, 0-9, '.', '_', '-', '*' and '?'");
            return Err(Status::invalid_argument(sentence));
        }
        let network = if from.is_empty() {
            String::new()
        } else {
            network(&from).map_err(Status::invalid_argument)?.to_string()
        };
        let expires = end(ttl_seconds, LIFE, MAX_LIFE)?;
        let token = Token::generate();
        self.record(Entry::TokenCreated(TokenCreated {
            id: token.id.clone(),
            hash: token.hash(),
            environment,
            uses: uses.max(1),
            expires,
            by,
            names,
            network,
        }))
        .await?;
        Ok(wire::CreateTokenResponse {
            token: token.reveal(self.ca.pin()),
            id: token.id,
            enroll_address: self.enroll_address.clone(),
        })
    }

    pub(super) fn tokens(&self, scope: &Scope) -> wire::ListTokensResponse {
        let state = self.ledger.state();
        let mut tokens: Vec<&TokenState> =
            state.tokens().filter(|token| scope.includes(&token.created.environment)).collect();
        tokens.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.created.id.cmp(&b.created.id)));
        wire::ListTokensResponse { tokens: tokens.into_iter().map(to_wire).collect() }
    }

    pub(super) async fn end_token(
        &self,
        wire::RevokeTokenRequest { id }: wire::RevokeTokenRequest,
        Actor { by, scope }: Actor,
    ) -> Result<wire::RevokeTokenResponse, Status> {
        let decide = {
            let id = id.clone();
            move |state: &State| match state.token(&id) {
                None => Decision::only(Err(Status::not_found(format!(
                    "there is no token {id:?}: see evenkeel token list"
                )))),
                Some(token) if !scope.includes(&token.created.environment) => {
                    Decision::only(scope.check(&token.created.environment))
                }
                // Twice is as good as once.
                Some(token) if token.revoked_by.is_some() => Decision::only(Ok(())),
                Some(_) => {
                    let entry = Entry::TokenRevoked(TokenRevoked { id, by });
                    Decision { entries: vec![entry], sections: vec![], answer: Ok(()) }
                }
            }
        };
        let ended = self.ledger.change(Key::Token(id), decide).await;
        ended.map_err(|error| Status::unavailable(error.to_string()))??;
        Ok(wire::RevokeTokenResponse {})
    }
}

fn to_wire(TokenState { created, at, used, revoked_by }: &TokenState) -> wire::Token {
    let TokenCreated { id, hash: _, environment, uses, expires, by, names, network } = created.clone();
    wire::Token {
        id,
        environment,
        uses,
        used: *used,
        created: Some(times::to_wire(*at)),
        expires: Some(times::to_wire(expires)),
        by,
        names,
        network,
        revoked_by: revoked_by.clone().unwrap_or_default(),
    }
}
