// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

// Signed off-chain as EIP-712 typed data in one domain: name "Assay", version "1", the chain's id, the Ledger's address.
// Every signature is checked against the signer's key in the epoch of the message's `round`.

/// @notice Step 1: a user's order to a server.
struct InferenceRequest {
    bytes32 pool;
    address user;
    address server;
    uint64 seat; // the server's seat that stands for the answer
    uint32 slot; // place of that seat in the user's set
    uint64 lane; // random; one sequential stream of requests
    uint64 sequence; // strictly increasing in its lane
    uint64 round; // current drand round
    bytes32 inputHash;
    bytes32 ticketNonceHash; // keccak256 of the secret that decides the ticket
    uint32 maxUnits;
    uint64 deadline; // unix seconds
}

/// @notice A user's order to end an output early.
struct Cancel {
    bytes32 request;
    uint64 round;
}

/// @notice Step 2: a server's answer. `commitment` is to the digest, with the hash of the other fields as subject.
struct InferenceResponse {
    bytes32 request;
    bytes32 commitment;
    bytes32 outputHash;
    uint32 promptTokens;
    uint32 outputTokens;
    uint8 finish; // Finish
    bytes32 cancel; // hash of the user's Cancel if finish says so, else 0
    uint64 round;
}

/// @notice A user's cumulative acceptance of what a lane delivered.
struct Voucher {
    bytes32 pool;
    address user;
    address server;
    uint64 lane;
    uint64 sequence; // of the last accepted response
    uint64 count; // accepted responses so far
    uint64 units; // their units
    bytes32 root; // Merkle mountain range over them
    uint64 round;
}

/// @notice Step 4: a user's order to a validator to recompute a response.
struct Challenge {
    bytes32 request;
    bytes32 response;
    bytes32 ticketNonce;
    uint8 counter; // which draw of the ticket
    uint64 seat; // the seat it drew
    uint64 round;
}

/// @notice Step 5: the validator's answer. `commitment` has the response's hash as subject.
struct CheckAnswer {
    bytes32 response;
    bytes32 commitment;
    uint64 seat;
    uint64 round;
}

/// @notice An output that its user did not acknowledge, as its server brings it on-chain.
struct Delivery {
    InferenceRequest request;
    InferenceResponse response;
    Cancel cancel; // where the response's finish says so
    bytes requestSignature;
    bytes responseSignature;
    bytes cancelSignature;
    bytes output; // token ids, 4 bytes big-endian each
}

/// @notice How an output ended.
enum Finish {
    None,
    Stop,
    Length,
    Cancelled
}

/// @notice In which role somebody committed to a digest.
enum Role {
    None,
    Server,
    Validator,
    Juror
}

/// @notice A checked response with everything that proves it was due: what a claim and a dispute both show.
struct Evidence {
    InferenceRequest request;
    InferenceResponse response;
    Challenge challenge;
    CheckAnswer answer;
    bytes responseSignature;
    bytes challengeSignature;
    bytes answerSignature;
    bool delivered; // the ticket is that of the block that brought the response on-chain
}
