//! The wire protocol from the user's side, with the gateway's key: orders that a gateway would sign, and orders that no
//! gateway would.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use assay_chain::{PrivateKeySigner, sign};
use assay_protocol::wire::{
    INFER_PATH, InferBody, InferEvent, ResponseBody, VOUCHER_PATH, VoucherBody, WireError,
};
use assay_protocol::{
    AcceptedRange, Digest, DigestInputs, Eip712Domain, InferenceInput, InferenceRequest, PoolParams,
    Sampling, Voucher, hash_of, ticket_nonce_hash,
};
use eyre::{Context, Result, bail, ensure, eyre};
use reqwest::Client;

use crate::{Answer, Network};

const LIMIT: Duration = Duration::from_secs(30);

/// A seat of the user's set.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its number in the set.
    pub slot: u32,
    /// The seat.
    pub seat: u64,
    /// Who holds it.
    pub server: Address,
    /// Where that server answers.
    pub url: String,
    /// The round whose epoch the set is of.
    pub round: u64,
}

/// What an order led to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A signed answer, after these streamed tokens.
    Answered(Box<ResponseBody>, Vec<u32>),
    /// A status and an error.
    Refused(u16, WireError),
}

/// Signs and sends orders.
#[derive(Debug)]
pub struct Orders<'a> {
    network: &'a Network,
    /// Signs as the user.
    pub signer: PrivateKeySigner,
    /// Domain of the signatures.
    pub domain: Eip712Domain,
    /// The pool's parameters.
    pub params: PoolParams,
    client: Client,
}

/// Reads a refusal.
///
/// # Errors
/// It is no error of the wire protocol.
pub fn refusal(status: u16, body: &[u8]) -> Result<WireError> {
    serde_json::from_slice(body)
        .wrap_err_with(|| format!("status {status} with no error body: {}", String::from_utf8_lossy(body)))
}

impl<'a> Orders<'a> {
    /// Orders of the network's user.
    ///
    /// # Errors
    /// The key or the pool is missing.
    pub async fn new(network: &'a Network) -> Result<Self> {
        let params = {
            let index = network.follower.read().await;
            index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?.params.clone()
        };
        Ok(Self {
            network,
            signer: network.key("user")?,
            domain: network.chain.deployment().domain(),
            params,
            client: Client::builder().no_proxy().timeout(LIMIT).build()?,
        })
    }

    /// The round of this moment.
    pub fn current_round(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.network.beacon.chain().round_at(now.as_secs())
    }

    /// `user`'s set of this epoch.
    ///
    /// # Errors
    /// The beacon or the pool is missing.
    pub async fn places(&self, user: Address) -> Result<Vec<Place>> {
        let chain = self.network.beacon.chain();
        let round = self.current_round();
        let epoch = self.params.epoch_of(chain.time_of(round)?);
        let start = self.params.epoch_start(epoch);
        let first = chain.round_at(start);
        let first = if chain.time_of(first)? < start { first + 1 } else { first };
        let randomness = B256::from(self.network.beacon.wait(first).await?.randomness());
        let index = self.network.follower.read().await;
        let pool = index.pool(self.network.pool).ok_or_else(|| eyre!("no pool"))?;
        let mut places = Vec::new();
        for (slot, seat) in (0u32..).zip(pool.set_of(user, epoch, randomness)) {
            let server = pool.owner_of(seat).ok_or_else(|| eyre!("seat {seat} has no owner"))?;
            let url = pool.servers.get(&server).and_then(|s| s.endpoint.clone());
            let url = url.ok_or_else(|| eyre!("{server} has announced nothing"))?;
            places.push(Place { slot, seat, server, url, round });
        }
        ensure!(!places.is_empty(), "the set is empty");
        Ok(places)
    }

    /// The first place of the user's set.
    ///
    /// # Errors
    /// Those of [`Self::places`].
    pub async fn place(&self) -> Result<Place> {
        self.places(self.network.user).await?.into_iter().next().ok_or_else(|| eyre!("the set is empty"))
    }

    /// A short input with a fresh nonce.
    pub fn input(&self) -> InferenceInput {
        InferenceInput {
            nonce: rand::random(),
            max_tokens: 8,
            sampling: Sampling::GREEDY,
            stop: Vec::new(),
            tokens: vec![10, 20, 30],
        }
    }

    /// A request in a fresh lane, as it should be; the secret of its ticket beside it.
    ///
    /// # Errors
    /// The place's round is out of range.
    pub fn request(&self, place: &Place, input: &InferenceInput) -> Result<(InferenceRequest, Bytes, B256)> {
        let encoded = Bytes::from(input.encode()?);
        let ticket_nonce = B256::from(rand::random::<[u8; 32]>());
        let prompt = u32::try_from(input.tokens.len())?;
        let request = InferenceRequest {
            pool: self.network.pool,
            user: self.signer.address(),
            server: place.server,
            seat: place.seat,
            slot: place.slot,
            lane: rand::random(),
            sequence: 1,
            round: place.round,
            inputHash: keccak256(&encoded),
            ticketNonceHash: ticket_nonce_hash(ticket_nonce),
            maxUnits: u32::try_from(self.params.units(prompt, input.max_tokens))?,
            deadline: self.network.beacon.chain().time_of(place.round)?
                + u64::from(self.params.windows.request),
        };
        Ok((request, encoded, ticket_nonce))
    }

    /// A request with the user's signature.
    ///
    /// # Errors
    /// Signing fails.
    pub fn signed(&self, request: InferenceRequest, input: Bytes) -> Result<InferBody> {
        let signature = sign(&self.signer, &self.domain, &request)?;
        Ok(InferBody { request, signature, input })
    }

    /// Posts bytes to a server.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn post(
        &self,
        url: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<(u16, Vec<u8>)> {
        let response = self.client.post(format!("{url}{path}")).body(body).send().await?;
        Ok((response.status().as_u16(), response.bytes().await?.to_vec()))
    }

    /// Posts a message to a server.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn send(&self, url: &str, path: &str, body: &impl serde::Serialize) -> Result<(u16, Vec<u8>)> {
        self.post(url, path, serde_json::to_vec(body)?).await
    }

    /// Sends an order and reads everything that comes of it.
    ///
    /// # Errors
    /// The server does not answer, or not in the words of the protocol.
    pub async fn infer(&self, url: &str, body: &InferBody) -> Result<Outcome> {
        let (status, bytes) = self.send(url, INFER_PATH, body).await?;
        if status != 200 {
            return Ok(Outcome::Refused(status, refusal(status, &bytes)?));
        }
        let mut tokens = Vec::new();
        for event in String::from_utf8(bytes)?.split("\n\n") {
            let Some(data) = event.trim().strip_prefix("data:") else { continue };
            match serde_json::from_str(data)? {
                InferEvent::Tokens { tokens: new } => tokens.extend(new),
                InferEvent::Response(answer) => return Ok(Outcome::Answered(answer, tokens)),
                InferEvent::Error(error) => return Ok(Outcome::Refused(status, error)),
            }
        }
        bail!("the stream ended without an answer")
    }

    /// The digest that an answer commits to.
    ///
    /// # Errors
    /// Its finish is no finish.
    pub fn digest(&self, request: &InferenceRequest, answer: &ResponseBody) -> Result<Digest> {
        let inputs = DigestInputs {
            model_root: self.params.basis.modelRoot,
            input_hash: request.inputHash,
            prompt_tokens: answer.response.promptTokens,
            finish: answer.response.finish().ok_or_else(|| eyre!("no finish"))?,
            tokens: &answer.tokens,
            work: answer.work,
        };
        Ok(inputs.digest())
    }

    /// The voucher for the only response of a lane.
    ///
    /// # Errors
    /// Signing fails.
    pub fn voucher(&self, request: &InferenceRequest, answer: &ResponseBody) -> Result<VoucherBody> {
        let limits = &self.params.limits;
        let mut accepted = AcceptedRange::default();
        accepted
            .push(hash_of(&answer.response), answer.response.units(limits.promptWeight, limits.outputWeight));
        let voucher = Voucher {
            pool: request.pool,
            user: request.user,
            server: request.server,
            lane: request.lane,
            sequence: request.sequence,
            count: accepted.count(),
            units: accepted.units(),
            root: accepted.root(),
            round: self.current_round(),
        };
        self.signed_voucher(voucher)
    }

    /// A voucher with the user's signature.
    ///
    /// # Errors
    /// Signing fails.
    pub fn signed_voucher(&self, voucher: Voucher) -> Result<VoucherBody> {
        let signature = sign(&self.signer, &self.domain, &voucher)?;
        Ok(VoucherBody { voucher, signature })
    }

    /// Delivers a voucher; the answer is then accepted.
    ///
    /// # Errors
    /// The server refuses it.
    pub async fn accept(&self, url: &str, body: &VoucherBody, answer: &ResponseBody) -> Result<Answer> {
        let (status, bytes) = self.send(url, VOUCHER_PATH, body).await?;
        ensure!(status == 204, "voucher refused with {status}: {}", String::from_utf8_lossy(&bytes));
        Ok(Answer {
            id: String::new(),
            server: body.voucher.server,
            response: hash_of(&answer.response),
            prompt_tokens: answer.response.promptTokens,
            output_tokens: answer.response.outputTokens,
        })
    }
}
