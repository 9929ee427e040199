// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { Test, stdJson } from "forge-std/Test.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import {
    InferenceRequest,
    InferenceResponse,
    Cancel,
    Voucher,
    Challenge,
    CheckAnswer,
    Role
} from "../../src/types/Messages.sol";
import { PoolParams, Basis, Prices, Rates, Limits, Windows } from "../../src/types/PoolParams.sol";

/// @dev Invariant 10: Solidity and Rust agree on every hash, commitment, ticket and draw. crates/protocol writes the file.
contract HashesTest is Test {
    using stdJson for string;

    string private json;

    function setUp() public {
        json = vm.readFile("tests/vectors/protocol.json");
    }

    function _w(string memory key) private view returns (bytes32) {
        return json.readBytes32(key);
    }

    function _u(string memory key) private view returns (uint256) {
        return json.readUint(key);
    }

    function _a(string memory key) private view returns (address) {
        return json.readAddress(key);
    }

    function _request() private view returns (InferenceRequest memory) {
        return InferenceRequest({
            pool: _w(".request.message.pool"),
            user: _a(".request.message.user"),
            server: _a(".request.message.server"),
            seat: uint64(_u(".request.message.seat")),
            slot: uint32(_u(".request.message.slot")),
            lane: uint64(_u(".request.message.lane")),
            sequence: uint64(_u(".request.message.sequence")),
            round: uint64(_u(".request.message.round")),
            inputHash: _w(".request.message.inputHash"),
            ticketNonceHash: _w(".request.message.ticketNonceHash"),
            maxUnits: uint32(_u(".request.message.maxUnits")),
            deadline: uint64(_u(".request.message.deadline"))
        });
    }

    function _response() private view returns (InferenceResponse memory) {
        return InferenceResponse({
            request: _w(".response.message.request"),
            commitment: _w(".response.message.commitment"),
            outputHash: _w(".response.message.outputHash"),
            promptTokens: uint32(_u(".response.message.promptTokens")),
            outputTokens: uint32(_u(".response.message.outputTokens")),
            finish: uint8(_u(".response.message.finish")),
            cancel: _w(".response.message.cancel"),
            round: uint64(_u(".response.message.round"))
        });
    }

    function test_DomainAndRequest() public view {
        bytes32 separator = Hashes.domain(_u(".domain.chainId"), _a(".domain.ledger"));
        assertEq(separator, _w(".domain.separator"));
        bytes32 hash = Hashes.request(_request());
        assertEq(hash, _w(".request.hash"));
        assertEq(Hashes.typed(separator, hash), _w(".request.signed"));
    }

    function test_Response() public view {
        assertEq(Hashes.response(_response()), _w(".response.hash"));
        assertEq(Hashes.responseSubject(_response()), _w(".response.subject"));
    }

    function test_Cancel() public view {
        Cancel memory cancel = Cancel(_w(".cancel.message.request"), uint64(_u(".cancel.message.round")));
        assertEq(Hashes.cancel(cancel), _w(".cancel.hash"));
    }

    function test_Voucher() public view {
        Voucher memory voucher = Voucher({
            pool: _w(".voucher.message.pool"),
            user: _a(".voucher.message.user"),
            server: _a(".voucher.message.server"),
            lane: uint64(_u(".voucher.message.lane")),
            sequence: uint64(_u(".voucher.message.sequence")),
            count: uint64(_u(".voucher.message.count")),
            units: uint64(_u(".voucher.message.units")),
            root: _w(".voucher.message.root"),
            round: uint64(_u(".voucher.message.round"))
        });
        assertEq(Hashes.voucher(voucher), _w(".voucher.hash"));
    }

    function test_ChallengeAndAnswer() public view {
        Challenge memory challenge = Challenge({
            request: _w(".challenge.message.request"),
            response: _w(".challenge.message.response"),
            ticketNonce: _w(".challenge.message.ticketNonce"),
            counter: uint8(_u(".challenge.message.counter")),
            seat: uint64(_u(".challenge.message.seat")),
            round: uint64(_u(".challenge.message.round"))
        });
        assertEq(Hashes.challenge(challenge), _w(".challenge.hash"));
        CheckAnswer memory answer = CheckAnswer({
            response: _w(".answer.message.response"),
            commitment: _w(".answer.message.commitment"),
            seat: uint64(_u(".answer.message.seat")),
            round: uint64(_u(".answer.message.round"))
        });
        assertEq(Hashes.answer(answer), _w(".answer.hash"));
        assertEq(keccak256(abi.encode(_w(".ticketNonce.nonce"))), _w(".ticketNonce.hash"));
    }

    function test_Commitments() public view {
        bytes32 digest = _w(".commitments.digest");
        assertEq(
            Hashes.commitment(Role.Server, _a(".request.message.server"), _w(".response.subject"), digest),
            _w(".commitments.server")
        );
        assertEq(
            Hashes.commitment(
                Role.Validator, _a(".commitments.validatorSigner"), _w(".response.hash"), digest
            ),
            _w(".commitments.validator")
        );
        bytes32 subject =
            Hashes.caseSubject(_u(".domain.chainId"), _a(".case.disputes"), _w(".case.response"));
        assertEq(subject, _w(".case.subject"));
        bytes32 ballot = Hashes.ballotSubject(subject, _u(".case.ballot"));
        assertEq(ballot, _w(".case.ballotSubject"));
        assertEq(
            Hashes.commitment(Role.Juror, _a(".commitments.jurorSigner"), ballot, digest),
            _w(".commitments.juror")
        );
    }

    function test_TicketsAndDraws() public view {
        for (uint256 i; i < 40; ++i) {
            string memory path = string.concat(".tickets[", vm.toString(i), "]");
            bytes32 randomness = _w(string.concat(path, ".randomness"));
            bytes32 ticket = Hashes.ticket(
                randomness, _w(string.concat(path, ".response")), _w(string.concat(path, ".nonce"))
            );
            assertEq(ticket, _w(string.concat(path, ".ticket")));
            assertEq(
                Hashes.isDrawn(ticket, _u(string.concat(path, ".rate"))),
                json.readBool(string.concat(path, ".drawn"))
            );
            uint256 count = _u(string.concat(path, ".seatCount"));
            bytes32 pool = _w(".request.message.pool");
            assertEq(
                Hashes.draw(Hashes.DRAW_VALIDATOR, randomness, pool, ticket, i, count),
                _u(string.concat(path, ".validator"))
            );
            bytes32 user = bytes32(uint256(uint160(_a(string.concat(path, ".user")))));
            assertEq(
                Hashes.draw(Hashes.DRAW_SET, randomness, pool, user, i, count),
                _u(string.concat(path, ".set"))
            );
        }
    }

    function test_TicketRounds() public view {
        for (uint256 i; i < 30; ++i) {
            string memory path = string.concat(".ticketRounds[", vm.toString(i), "]");
            PoolParams memory p;
            p.limits.stride = uint16(_u(string.concat(path, ".stride")));
            assertEq(
                p.ticketRound(uint64(_u(string.concat(path, ".round")))),
                _u(string.concat(path, ".ticketRound"))
            );
        }
    }

    /// @dev 10,000 responses, as crates/protocol simulates them: the drawn share matches the rate, validators are uniform over
    /// seats, and both languages draw the same.
    function test_DrawnShareAndUniformValidators() public view {
        uint256 seats = 60;
        uint256 rate = uint256(3 << 64) / 10;
        uint256 drawn;
        uint256[] memory counts = new uint256[](seats);
        for (uint256 i; i < 10_000; ++i) {
            bytes32 randomness = keccak256(abi.encode(i / 50, 0));
            bytes32 ticket =
                Hashes.ticket(randomness, keccak256(abi.encode(i, 1)), keccak256(abi.encode(i, 2)));
            if (Hashes.isDrawn(ticket, rate)) ++drawn;
            ++counts[Hashes.draw(Hashes.DRAW_VALIDATOR, randomness, keccak256("pool"), ticket, 0, seats)];
        }
        assertEq(drawn, _u(".simulation.drawn"));
        assertEq(counts, json.readUintArray(".simulation.counts"));
        // 3.5 standard errors of 10,000 draws at 0.3.
        assertApproxEqAbs(drawn, 3000, 160);
        uint256 squares;
        for (uint256 i; i < seats; ++i) {
            squares += counts[i] * counts[i];
        }
        // chi-squared = sum(c^2)·seats/10,000 − 10,000, below the 99.9 % quantile with 59 degrees of freedom.
        assertLt(squares * seats / 10_000, 10_000 + 98);
    }
}
