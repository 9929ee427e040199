// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Test } from "forge-std/Test.sol";
import { IAudits } from "../../src/interfaces/IAudits.sol";
import { IChecks } from "../../src/interfaces/IChecks.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { ISampling } from "../../src/interfaces/ISampling.sol";
import { IStaking } from "../../src/interfaces/IStaking.sol";
import { IJuryArbiter } from "../../src/interfaces/IJuryArbiter.sol";
import { IDisputes } from "../../src/interfaces/IDisputes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind, keyOf } from "../../src/types/Accounts.sol";
import {
    InferenceRequest,
    InferenceResponse,
    Challenge,
    CheckAnswer,
    Voucher,
    Evidence,
    Finish,
    Role
} from "../../src/types/Messages.sol";
import { Modules } from "../../src/types/Modules.sol";
import { PoolParams, Basis, Prices, Rates, Limits, Windows } from "../../src/types/PoolParams.sol";
import { ILocalDeployment } from "../shipped/LocalDeployment.sol";
import { TestBeacon } from "./TestBeacon.sol";
import { Shipped } from "./Shipped.sol";

interface IToken is IERC20, IERC20Permit { }

/// @dev A deployment, a pool of five servers with twelve seats each, and a funded user. Time starts in the third epoch, so
/// that everybody's seats are in the table.
abstract contract AssayTest is Test {
    uint256 internal constant SERVERS = 5;
    uint32 internal constant SEATS = 12;
    bytes32 internal constant RIGHT = keccak256("right digest");
    bytes32 internal constant WRONG = keccak256("wrong digest");
    bytes internal constant INPUT = "the canonical input";

    IToken internal token;
    TestBeacon internal beacon;
    IPools internal pools;
    ILedger internal ledger;
    IStaking internal staking;
    ILanes internal lanes;
    IChecks internal checks;
    IDisputes internal disputes;
    IAudits internal audits;
    ISampling internal sampling;
    IJuryArbiter internal arbiter;

    PoolParams internal params;
    bytes32 internal pool;
    address[] internal servers;
    uint256[] internal serverKeys;
    address internal user;
    uint256 internal userKey;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        beacon = new TestBeacon(1_700_000_000, 1);
        token = IToken(Shipped.deploy("AssayToken", abi.encode(address(this), 1e30)));
        (Modules memory m, address sampling_, address arbiter_) =
            ILocalDeployment(Shipped.deploy("LocalDeployment", "")).run();
        pools = IPools(m.pools);
        ledger = ILedger(m.ledger);
        staking = IStaking(m.staking);
        lanes = ILanes(m.lanes);
        checks = IChecks(m.checks);
        disputes = IDisputes(m.disputes);
        audits = IAudits(m.audits);
        sampling = ISampling(sampling_);
        arbiter = IJuryArbiter(arbiter_);
        params = poolParams();
        pool = pools.create(params, "ipfs://model", bytes32(uint256(1)));
        token.approve(address(ledger), type(uint256).max);
        for (uint256 i; i < SERVERS; ++i) {
            (address server, uint256 key) = makeAddrAndKey(string.concat("server", vm.toString(i)));
            servers.push(server);
            serverKeys.push(key);
            uint256 price = seatsEach() * (uint256(params.prices.seatStake) + params.prices.seatFloat);
            ledger.deposit(pool, server, price + 1_000_000);
            vm.prank(server);
            staking.join(pool, seatsEach());
        }
        (user, userKey) = makeAddrAndKey("user");
        ledger.deposit(pool, user, 10_000_000);
        vm.prank(user);
        lanes.fund(pool, 4_000_000, 4_000_000);
        skip(2 * params.windows.epoch);
    }

    /// @dev Of the shape of the devnet's pool, in small round amounts.
    function poolParams() internal view virtual returns (PoolParams memory p) {
        p.basis = Basis(address(token), address(beacon), address(arbiter), keccak256("model"));
        p.prices = Prices({
            seatStake: 500_000,
            seatFloat: 2_000,
            rewardFixed: 20,
            rewardUnit: 3,
            feeFixed: 20,
            feeUnit: 4,
            costUnit: 1,
            checkFixed: 20,
            outsideGain: 20,
            gasAllowance: 100,
            freezePrice: 200,
            jurorPay: 1_500,
            jurorPenalty: 1_500,
            checkCap: 500_000,
            minBond: 200_000,
            auditPay: 0
        });
        p.rates = Rates({
            challengeFixed: uint128(1) << 63,
            challengeUnit: 0,
            auditFixed: 0,
            auditUnit: 0,
            collusion: 100,
            discount: 100
        });
        p.limits = Limits({
            maxUnits: 1_000,
            maxInputBytes: 16_384,
            promptWeight: 1,
            outputWeight: 2,
            stride: 1,
            redraws: 3,
            setSize: 3,
            auditSize: 0,
            firstJury: 5,
            secondJury: 9
        });
        p.windows = Windows({
            epoch: 10,
            request: 30,
            answer: 5,
            claim: 20,
            dispute: 30,
            publish: 10,
            commit: 10,
            propose: 10,
            audit: 0,
            vesting: 100,
            unbonding: 200,
            voucher: 100,
            exit: 150,
            lag: 2
        });
    }

    // -------------------------------------------------------------------------------------------------- messages

    function nowRound() internal view returns (uint64) {
        return beacon.roundAt(block.timestamp);
    }

    /// @dev Passes over a ballot that nobody draws.
    function skipBallot() internal {
        skip(params.windows.commit + params.windows.lag + 3);
    }

    /// @dev The latest round that who builds this block may know.
    function knowableRound() internal view returns (uint64) {
        return beacon.roundAt(block.timestamp + params.windows.lag);
    }

    /// @dev The round that draws what is fixed now.
    function drawingRound() internal view returns (uint64) {
        return knowableRound() + 2;
    }

    function signed(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, Hashes.typed(lanes.domainSeparator(), structHash));
        return abi.encodePacked(r, s, v);
    }

    /// @dev Brings a round on-chain and returns its value; a test that must not change one overrides this.
    function setRound(uint64 round, bytes32 value) internal virtual returns (bytes32) {
        beacon.set(round, value);
        return value;
    }

    function balanceOf(AccountKind kind, address owner) internal view returns (uint256) {
        return ledger.balanceOf(pool, kind, keyOf(owner));
    }

    /// @dev The key that signs for a server in this epoch.
    function serverKey(uint256 server) internal view virtual returns (uint256) {
        return serverKeys[server];
    }

    /// @dev The key that signs for the user in this epoch.
    function keyOfUser() internal view virtual returns (uint256) {
        return userKey;
    }

    /// @dev Seats of each server.
    function seatsEach() internal pure virtual returns (uint32) {
        return SEATS;
    }

    /// @dev Seat of a server: seats were bought in order.
    function seatOf(uint256 server) internal view virtual returns (uint64) {
        return uint64(server * seatsEach() + 1);
    }

    function serverOfSeat(uint64 seat) internal view virtual returns (uint256) {
        return (seat - 1) / seatsEach();
    }

    /// @dev A request and a response to it, signed in this round. `digest` is what the server committed to.
    function answered(uint256 server, uint64 lane, uint64 sequence, uint32 outputTokens, bytes32 digest)
        internal
        view
        returns (Evidence memory e)
    {
        e.request = InferenceRequest({
            pool: pool,
            user: user,
            server: servers[server],
            seat: seatOf(server),
            slot: 0,
            lane: lane,
            sequence: sequence,
            round: nowRound(),
            inputHash: keccak256(INPUT),
            ticketNonceHash: 0,
            maxUnits: params.limits.maxUnits,
            deadline: uint64(block.timestamp + 30)
        });
        respond(e, server, outputTokens, digest);
    }

    function respond(Evidence memory e, uint256 server, uint32 outputTokens, bytes32 digest) internal view {
        e.response = InferenceResponse({
            request: Hashes.request(e.request),
            commitment: 0,
            outputHash: keccak256("output"),
            promptTokens: 10,
            outputTokens: outputTokens,
            finish: uint8(Finish.Length),
            cancel: 0,
            round: nowRound()
        });
        e.response.commitment =
            Hashes.commitment(Role.Server, servers[server], Hashes.responseSubject(e.response), digest);
        e.responseSignature = signed(serverKey(server), Hashes.response(e.response));
    }

    /// @dev Finds a ticket nonce with which the response is drawn, and the validator's draw passes `accept`; then everything
    /// up to the validator's answer, with `digest`. Moves time to the ticket's round.
    function drawn(uint256 server, uint64 sequence, bytes32 digest, bytes32 validatorDigest)
        internal
        returns (Evidence memory)
    {
        return drawn(server, sequence, 100, digest, validatorDigest);
    }

    function drawn(
        uint256 server,
        uint64 sequence,
        uint32 outputTokens,
        bytes32 digest,
        bytes32 validatorDigest
    ) internal returns (Evidence memory e) {
        e = answered(server, 7, sequence, outputTokens, digest);
        uint64 ticketRound = params.ticketRound(e.response.round);
        bytes32 randomness = setRound(ticketRound, keccak256(abi.encode("round", ticketRound)));
        uint32 epoch = params.epochOf(beacon.timeOf(ticketRound));
        bytes32 nonce;
        uint64 seat;
        for (uint256 i;; ++i) {
            nonce = keccak256(abi.encode("nonce", i));
            e.request.ticketNonceHash = keccak256(abi.encode(nonce));
            respond(e, server, outputTokens, digest);
            bytes32 ticket = Hashes.ticket(randomness, Hashes.response(e.response), nonce);
            if (!Hashes.isDrawn(ticket, params.challengeRate(units(e)))) continue;
            uint256 place = Hashes.draw(
                Hashes.DRAW_VALIDATOR, randomness, pool, ticket, 0, staking.seatCount(pool, epoch)
            );
            seat = staking.seatAt(pool, epoch, place);
            if (accepts(server, seat)) break;
        }
        vm.warp(beacon.timeOf(ticketRound));
        challenge(e, nonce, 0, seat, validatorDigest);
    }

    /// @dev Whether `drawn` may take `seat` as the validator of a response of `server`.
    function accepts(uint256 server, uint64 seat) internal view virtual returns (bool) {
        return serverOfSeat(seat) != server;
    }

    function challenge(Evidence memory e, bytes32 nonce, uint8 counter, uint64 seat, bytes32 digest)
        internal
        view
    {
        bytes32 response = Hashes.response(e.response);
        e.challenge = Challenge(e.response.request, response, nonce, counter, seat, nowRound());
        e.challengeSignature = signed(keyOfUser(), Hashes.challenge(e.challenge));
        uint256 validator = serverOfSeat(seat);
        e.answer = CheckAnswer({
            response: response,
            commitment: Hashes.commitment(Role.Validator, servers[validator], response, digest),
            seat: seat,
            round: nowRound()
        });
        e.answerSignature = signed(serverKey(validator), Hashes.answer(e.answer));
    }

    function units(Evidence memory e) internal view returns (uint256) {
        return params.units(e.response.promptTokens, e.response.outputTokens);
    }

    function voucher(uint256 server, uint64 lane, uint64 sequence, uint64 count, uint64 total)
        internal
        view
        returns (Voucher memory)
    {
        return Voucher({
            pool: pool,
            user: user,
            server: servers[server],
            lane: lane,
            sequence: sequence,
            count: count,
            units: total,
            root: keccak256(abi.encode(server, lane, count)),
            round: nowRound()
        });
    }

    /// @dev What `redeem` sends, so that a test can expect the call itself to revert.
    function batchOf(Voucher memory v)
        internal
        view
        returns (Voucher[] memory vouchers, bytes[] memory signatures)
    {
        (vouchers, signatures) = (new Voucher[](1), new bytes[](1));
        (vouchers[0], signatures[0]) = (v, signed(keyOfUser(), Hashes.voucher(v)));
    }

    function redeem(uint256 server, Voucher memory v) internal {
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        vm.prank(servers[server]);
        lanes.redeem(pool, servers[server], vouchers, signatures);
    }

    function isConvicted(uint64 seat) internal view returns (bool) {
        return staking.seatOf(pool, seat).status == IStaking.SeatStatus.Convicted;
    }

    /// @dev Fined below its stake, or convicted.
    function isSuspended(uint64 seat) internal view returns (bool) {
        return staking.seatOf(pool, seat).status != IStaking.SeatStatus.Active;
    }

    function seatBalance(uint64 seat) internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Seat, bytes32(uint256(seat)));
    }

    function burnBalance() internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Burn, 0);
    }

    function caseBalance(uint256 id) internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Case, bytes32(id));
    }

    /// @dev What the jury over a response is paid from.
    function juryBalance(bytes32 response) internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Case, response);
    }

    /// @dev What a conviction set aside for a seat's other disputes.
    function reserveBalance(uint64 seat) internal view returns (uint256) {
        return ledger.balanceOf(pool, AccountKind.Case, keccak256(abi.encode(pool, seat)));
    }

    // -------------------------------------------------------------------------------------------------- disputes

    /// @dev Opens a dispute from the user's side and returns its id and record.
    function disputed(Evidence memory e, address opener)
        internal
        returns (uint256 id, IDisputes.Record memory r)
    {
        vm.prank(opener);
        id = disputes.open(e);
        r = recordOf(e, opener);
    }

    /// @dev The record of a dispute over evidence.
    function recordOf(Evidence memory e, address opener) internal view returns (IDisputes.Record memory) {
        return IDisputes.Record({
            pool: pool,
            response: Hashes.response(e.response),
            inputHash: e.request.inputHash,
            opener: opener,
            user: e.request.user,
            server: e.request.server,
            serverSeat: e.request.seat,
            serverSubject: Hashes.responseSubject(e.response),
            serverCommitment: e.response.commitment,
            validator: staking.seatOf(pool, e.answer.seat).owner,
            validatorSeat: e.answer.seat,
            validatorCommitment: e.answer.commitment,
            lane: e.request.lane,
            sequence: e.request.sequence,
            units: uint32(units(e)),
            outputTokens: e.response.outputTokens
        });
    }

    /// @dev Draws the current ballot's jury over a response, moving time to its round.
    function drawJury(bytes32 response) internal {
        bytes32 subject = disputes.subjectOf(response);
        uint8 ballot = arbiter.currentBallot(address(disputes), subject);
        uint64 round = arbiter.ballotOf(address(disputes), subject, ballot).round;
        setRound(round, keccak256(abi.encode("jury", round)));
        if (block.timestamp < beacon.timeOf(round)) vm.warp(beacon.timeOf(round));
        arbiter.draw(address(disputes), subject);
    }

    /// @dev The first `count` jurors commit to `digest`, each seat by itself.
    function commitJurors(bytes32 response, uint256 from, uint256 to, bytes32 digest) internal {
        bytes32 subject = disputes.subjectOf(response);
        uint8 ballot = arbiter.currentBallot(address(disputes), subject);
        for (uint256 i = from; i < to; ++i) {
            uint64 seat = arbiter.seatOfJuror(address(disputes), subject, ballot, i);
            address owner = servers[serverOfSeat(seat)];
            uint256[] memory positions = new uint256[](1);
            positions[0] = i;
            bytes32 commitment =
                Hashes.commitment(Role.Juror, owner, Hashes.ballotSubject(subject, ballot), digest);
            vm.prank(owner);
            arbiter.commit(address(disputes), subject, positions, commitment);
        }
    }

    function jurySize(bytes32 response) internal view returns (uint256) {
        bytes32 subject = disputes.subjectOf(response);
        return
            arbiter.ballotOf(address(disputes), subject, arbiter.currentBallot(address(disputes), subject))
            .size;
    }

    /// @dev From an open dispute to the arbiter's verdict for `digest`, all jurors agreeing.
    function judged(uint256 id, IDisputes.Record memory r, bytes32 digest) internal {
        disputes.publish(id, r, INPUT);
        drawJury(r.response);
        commitJurors(r.response, 0, jurySize(r.response), digest);
        arbiter.propose(address(disputes), disputes.subjectOf(r.response), digest);
    }

    /// @dev Has seat 0 of a server convicted of a wrong answer, by a dispute of the user's.
    function convicted(uint256 server, uint64 sequence)
        internal
        returns (uint256 id, IDisputes.Record memory r)
    {
        Evidence memory e = drawn(server, sequence, WRONG, RIGHT);
        (id, r) = disputed(e, user);
        judged(id, r, RIGHT);
        disputes.resolve(id, r);
    }

    function settleAllJurors(bytes32 response, uint8 ballot) internal {
        uint256 size = arbiter.ballotOf(address(disputes), disputes.subjectOf(response), ballot).size;
        uint256[] memory positions = new uint256[](size);
        for (uint256 i; i < size; ++i) {
            positions[i] = i;
        }
        disputes.settleJurors(pool, response, ballot, positions);
    }
}
