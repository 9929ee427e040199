// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {
    InferenceRequest,
    InferenceResponse,
    Cancel,
    Voucher,
    Challenge,
    CheckAnswer,
    Role
} from "../types/Messages.sol";

/// @title Every hash of the protocol. crates/protocol computes the same; tests/vectors/protocol.json holds both to it.
/// @dev All hashes cover typed structs, never signatures: a malleable signature would be free grinding.
library Hashes {
    bytes32 internal constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 internal constant REQUEST_TYPE = keccak256(
        "InferenceRequest(bytes32 pool,address user,address server,uint64 seat,uint32 slot,uint64 lane,uint64 sequence,uint64 round,bytes32 inputHash,bytes32 ticketNonceHash,uint32 maxUnits,uint64 deadline)"
    );
    bytes32 internal constant CANCEL_TYPE = keccak256("Cancel(bytes32 request,uint64 round)");
    bytes32 internal constant RESPONSE_TYPE = keccak256(
        "InferenceResponse(bytes32 request,bytes32 commitment,bytes32 outputHash,uint32 promptTokens,uint32 outputTokens,uint8 finish,bytes32 cancel,uint64 round)"
    );
    bytes32 internal constant VOUCHER_TYPE = keccak256(
        "Voucher(bytes32 pool,address user,address server,uint64 lane,uint64 sequence,uint64 count,uint64 units,bytes32 root,uint64 round)"
    );
    bytes32 internal constant CHALLENGE_TYPE = keccak256(
        "Challenge(bytes32 request,bytes32 response,bytes32 ticketNonce,uint8 counter,uint64 seat,uint64 round)"
    );
    bytes32 internal constant ANSWER_TYPE =
        keccak256("CheckAnswer(bytes32 response,bytes32 commitment,uint64 seat,uint64 round)");

    bytes32 internal constant OUTPUT = keccak256("assay.output.v1");
    bytes32 internal constant ACCEPTED_LEAF = keccak256("assay.accepted.leaf.v1");
    bytes32 internal constant ACCEPTED_NODE = keccak256("assay.accepted.node.v1");
    bytes32 internal constant ACCEPTED_ROOT = keccak256("assay.accepted.root.v1");
    bytes32 internal constant TICKET = keccak256("assay.ticket.v1");
    bytes32 internal constant COMMITMENT = keccak256("assay.commitment.v1");
    bytes32 internal constant RESPONSE_SUBJECT = keccak256("assay.subject.response.v1");
    bytes32 internal constant CASE_SUBJECT = keccak256("assay.subject.case.v1");
    bytes32 internal constant BALLOT_SUBJECT = keccak256("assay.subject.ballot.v1");
    bytes32 internal constant ASSERTION_SUBJECT = keccak256("assay.subject.assertion.v1");
    bytes32 internal constant DRAW_SET = keccak256("assay.draw.set.v1");
    bytes32 internal constant DRAW_VALIDATOR = keccak256("assay.draw.validator.v1");
    bytes32 internal constant DRAW_JURY = keccak256("assay.draw.jury.v1");
    bytes32 internal constant DRAW_PANEL = keccak256("assay.draw.panel.v1");
    bytes32 internal constant DRAW_AUDIT = keccak256("assay.draw.audit.v1");

    /// @notice EIP-712 domain separator of a deployment.
    function domain(uint256 chainId, address ledger) internal pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, keccak256("Assay"), keccak256("1"), chainId, ledger));
    }

    /// @notice What is signed: the struct's hash in the domain.
    function typed(bytes32 separator, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    /// @dev EIP-712's struct hash of `count` clean words of memory, in place: the word in front of them is borrowed.
    function _struct(bytes32 structType, uint256 pointer, uint256 count) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := sub(pointer, 0x20)
            let borrowed := mload(start)
            mstore(start, structType)
            hash := keccak256(start, shl(5, add(count, 1)))
            mstore(start, borrowed)
        }
    }

    function request(InferenceRequest memory x) internal pure returns (bytes32) {
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := x
        }
        return _struct(REQUEST_TYPE, pointer, 12);
    }

    function cancel(Cancel memory x) internal pure returns (bytes32) {
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := x
        }
        return _struct(CANCEL_TYPE, pointer, 2);
    }

    function response(InferenceResponse memory x) internal pure returns (bytes32) {
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := x
        }
        return _struct(RESPONSE_TYPE, pointer, 8);
    }

    function voucher(Voucher memory x) internal pure returns (bytes32) {
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := x
        }
        return _struct(VOUCHER_TYPE, pointer, 9);
    }

    function challenge(Challenge memory x) internal pure returns (bytes32) {
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := x
        }
        return _struct(CHALLENGE_TYPE, pointer, 6);
    }

    function answer(CheckAnswer memory x) internal pure returns (bytes32) {
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := x
        }
        return _struct(ANSWER_TYPE, pointer, 4);
    }

    /// @notice Hash of an output: its token ids, 4 bytes big-endian each.
    function output(bytes calldata tokens) internal pure returns (bytes32) {
        return keccak256(bytes.concat(OUTPUT, tokens));
    }

    /// @notice Leaf of a lane's accepted responses, with the lane's totals after it.
    function acceptedLeaf(bytes32 responseHash, uint64 count, uint64 totalUnits)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(ACCEPTED_LEAF, responseHash, count, totalUnits));
    }

    /// @notice Subject of a server's commitment: its response without the commitment.
    function responseSubject(InferenceResponse memory x) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RESPONSE_SUBJECT,
                x.request,
                x.outputHash,
                x.promptTokens,
                x.outputTokens,
                x.finish,
                x.cancel,
                x.round
            )
        );
    }

    /// @notice Subject of a response's case before an arbiter.
    function caseSubject(uint256 chainId, address disputes, bytes32 responseHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(CASE_SUBJECT, chainId, disputes, responseHash));
    }

    /// @notice Subject of an assertion before its validators and, if they differ, before an arbiter.
    function assertionSubject(uint256 chainId, address sampling, address client, bytes32 id)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(ASSERTION_SUBJECT, chainId, sampling, client, id));
    }

    /// @notice Subject of the commitments and of the draw of one ballot over a case.
    function ballotSubject(bytes32 caseSubject_, uint256 ballot) internal pure returns (bytes32) {
        return keccak256(abi.encode(BALLOT_SUBJECT, caseSubject_, ballot));
    }

    /// @notice Shows that `signer` knew `digest`; can't be copied by another signer or for another subject.
    function commitment(Role role, address signer, bytes32 subject, bytes32 digest)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(COMMITMENT, role, signer, subject, digest));
    }

    /// @notice Decides whether a response is challenged, and seeds the draw of its validator.
    function ticket(bytes32 randomness, bytes32 responseHash, bytes32 ticketNonce)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(TICKET, randomness, responseHash, ticketNonce));
    }

    /// @notice Whether a ticket falls below a rate (a fraction of 2^64).
    function isDrawn(bytes32 ticket_, uint256 rate) internal pure returns (bool) {
        return uint256(ticket_) >> 192 < rate;
    }

    /// @notice An index below `seatCount`, uniform up to 2^-224: chances are shares of stake.
    function draw(
        bytes32 domain_,
        bytes32 randomness,
        bytes32 pool,
        bytes32 subject,
        uint256 counter,
        uint256 seatCount
    ) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(domain_, randomness, pool, subject, counter))) % seatCount;
    }
}
