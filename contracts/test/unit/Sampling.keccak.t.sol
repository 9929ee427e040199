// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ISampling } from "../../src/interfaces/ISampling.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { Role } from "../../src/types/Messages.sol";
import { AuditTest } from "../utils/AuditTest.sol";
import { KeccakChain } from "../utils/KeccakChain.sol";

/// @dev Sampling as another service uses it: its own function, its own money, the pool's seats.
contract SamplingKeccakTest is AuditTest {
    bytes32 private constant X = "x";
    uint256 private constant STEPS = 1_000;

    KeccakChain private chain;
    address private asserter = makeAddr("asserter");
    bytes32 private right;

    function setUp() public override {
        super.setUp();
        chain = new KeccakChain(sampling, staking, pool, params);
        right = chain.f(X, STEPS);
        token.transfer(asserter, 10_000_000);
        vm.prank(asserter);
        token.approve(address(chain), type(uint256).max);
    }

    function _assert(bytes32 value) private returns (bytes32 id) {
        bytes32 commitment = Hashes.commitment(Role.Server, asserter, chain.idOf(asserter, X, STEPS), value);
        vm.prank(asserter);
        id = chain.assertValue(X, STEPS, commitment);
        assertEq(token.balanceOf(asserter), 10_000_000 - chain.COLLATERAL() - chain.BUDGET());
    }

    /// @dev Brings the claim's round on-chain with a value that samples it, or does not.
    function _sample(bytes32 id, bool sampled) private {
        (, uint64 round,,,) = chain.claims(id);
        for (uint256 i = 1;; ++i) {
            bytes32 randomness = bytes32(i);
            if (uint256(keccak256(abi.encode(randomness, id))) % 1000 < chain.SAMPLED() == sampled) {
                reach(round, randomness);
                break;
            }
        }
        chain.sample(id);
        _assertState(id, sampled ? KeccakChain.State.Sampled : KeccakChain.State.Passed);
    }

    function _sampled(bytes32 value) private returns (bytes32 id) {
        id = _assert(value);
        _sample(id, true);
        drawPanel(address(chain), id, chain.assertionOf(id));
    }

    function _commit(bytes32 id, uint256 from, uint256 to, bytes32 value) private {
        commitPanel(address(chain), id, chain.assertionOf(id), from, to, value);
    }

    function _propose(bytes32 id, bytes32 value) private {
        sampling.propose(address(chain), id, chain.assertionOf(id), value);
    }

    function _assertState(bytes32 id, KeccakChain.State expected) private view {
        (,, KeccakChain.State state,,) = chain.claims(id);
        assertEq(uint8(state), uint8(expected));
    }

    function _assertValue(bytes32 id, bytes32 expected) private view {
        (,,,, bytes32 value) = chain.claims(id);
        assertEq(value, expected);
    }

    function _ownerAt(bytes32 id, uint256 position) private view returns (address) {
        return servers[serverOfSeat(sampling.seatOfValidator(address(chain), id, position))];
    }

    function _payAllJurors(bytes32 id, uint8 ballot) private {
        bytes32 subject = sampling.subjectOf(address(chain), id);
        chain.payJurors(id, ballot, upTo(arbiter.ballotOf(address(sampling), subject, ballot).size));
    }

    function _sumOfServers() private view returns (uint256 sum) {
        for (uint256 i; i < SERVERS; ++i) {
            sum += token.balanceOf(servers[i]);
        }
    }

    function test_AnUnsampledClaimIsAcceptedWithItsValue() public {
        bytes32 id = _assert(right);
        _sample(id, false);
        vm.expectRevert(abi.encodeWithSelector(KeccakChain.WrongValue.selector, WRONG));
        chain.reveal(id, WRONG);
        chain.reveal(id, right);
        _assertState(id, KeccakChain.State.Accepted);
        _assertValue(id, right);
        assertEq(token.balanceOf(asserter), 10_000_000);
        assertEq(token.balanceOf(address(chain)), 0);
    }

    /// @dev What sampling leaves unseen is accepted: the collateral must make the odds bad.
    function test_ALieThatIsNotSampledPasses() public {
        bytes32 id = _assert(WRONG);
        _sample(id, false);
        chain.reveal(id, WRONG);
        _assertState(id, KeccakChain.State.Accepted);
    }

    function test_AnHonestAsserterPaysTheValidatorsAndKeepsItsCollateral() public {
        bytes32 id = _sampled(right);
        _commit(id, 0, N, right);
        _propose(id, right);
        chain.settle(id);
        _assertState(id, KeccakChain.State.Accepted);
        _assertValue(id, right);
        uint256 pay = N * chain.VALIDATOR_PAY();
        assertEq(token.balanceOf(asserter), 10_000_000 - pay);
        uint256 before = token.balanceOf(_ownerAt(id, 0));
        chain.payValidators(id, one(0));
        assertEq(token.balanceOf(_ownerAt(id, 0)), before + chain.VALIDATOR_PAY());
        vm.expectRevert(abi.encodeWithSelector(KeccakChain.NotDue.selector, 0));
        chain.payValidators(id, one(0));
        vm.expectRevert(abi.encodeWithSelector(KeccakChain.NotDue.selector, N));
        chain.payValidators(id, one(N));
        chain.payValidators(id, one(1));
        chain.payValidators(id, one(2));
        assertEq(token.balanceOf(address(chain)), 0);
        assertEq(_sumOfServers(), pay);
    }

    function test_ALyingAsserterLosesItsCollateral() public {
        bytes32 id = _sampled(WRONG);
        _commit(id, 0, N, right);
        _propose(id, right);
        vm.expectRevert(abi.encodeWithSelector(KeccakChain.StillPending.selector, id));
        chain.settle(id);
        judge(address(chain), id, right);
        uint256 supply = token.totalSupply();
        chain.settle(id);
        _assertState(id, KeccakChain.State.Refuted);
        _assertValue(id, right);
        uint256 jurors = uint256(params.limits.firstJury) * chain.JUROR_PAY();
        uint256 due = N * chain.VALIDATOR_PAY() + jurors;
        assertEq(token.balanceOf(asserter), 10_000_000 - chain.COLLATERAL() - chain.BUDGET());
        assertEq(token.totalSupply(), supply - (chain.COLLATERAL() + chain.BUDGET() - due));
        chain.payValidators(id, upTo(N));
        _payAllJurors(id, 1);
        assertEq(token.balanceOf(address(chain)), 0);
        assertEq(_sumOfServers(), due);
    }

    /// @dev One validator's word against two and the asserter's: the arbiter decides, and the one goes unpaid.
    function test_ALyingValidatorIsNotPaid() public {
        bytes32 id = _sampled(right);
        _commit(id, 0, N - 1, right);
        _commit(id, N - 1, N, WRONG);
        _propose(id, right);
        judge(address(chain), id, right);
        chain.settle(id);
        _assertState(id, KeccakChain.State.Accepted);
        (, ISampling.Standing standing) = sampling.standingOf(address(chain), id, N - 1);
        assertEq(uint8(standing), uint8(ISampling.Standing.Wrong));
        vm.expectRevert(abi.encodeWithSelector(KeccakChain.NotDue.selector, N - 1));
        chain.payValidators(id, one(N - 1));
        chain.payValidators(id, upTo(N - 1));
        _payAllJurors(id, 1);
        assertEq(token.balanceOf(address(chain)), 0);
    }

    function test_SilentValidatorsLeaveItToTheArbiter() public {
        bytes32 id = _sampled(right);
        vm.warp(uint256(sampling.panelOf(address(chain), id).proposeEnd) + 1);
        sampling.advance(address(chain), id, chain.assertionOf(id));
        judge(address(chain), id, right);
        chain.settle(id);
        _assertState(id, KeccakChain.State.Accepted);
        vm.expectRevert(abi.encodeWithSelector(KeccakChain.NotDue.selector, 0));
        chain.payValidators(id, one(0));
        _payAllJurors(id, 1);
        assertEq(token.balanceOf(address(chain)), 0);
        assertEq(
            token.balanceOf(asserter),
            10_000_000 - uint256(params.limits.firstJury) * chain.JUROR_PAY(),
            "only those who worked are paid"
        );
    }

    /// @dev Nothing was shown: the collateral goes back, and who committed is paid.
    function test_AVoidClaimReturnsTheCollateral() public {
        bytes32 id = _sampled(WRONG);
        _commit(id, 0, 1, right);
        vm.warp(uint256(sampling.panelOf(address(chain), id).proposeEnd) + 1);
        sampling.advance(address(chain), id, chain.assertionOf(id));
        voidCase(address(chain), id);
        chain.settle(id);
        _assertState(id, KeccakChain.State.Undecided);
        assertEq(token.balanceOf(asserter), 10_000_000 - chain.VALIDATOR_PAY());
        chain.payValidators(id, one(0));
        assertEq(token.balanceOf(address(chain)), 0);
    }

    function test_RevertWhen_AClaimIsNotInThatState() public {
        bytes32 id = _assert(right);
        bytes memory reason =
            abi.encodeWithSelector(KeccakChain.WrongState.selector, id, KeccakChain.State.Asserted);
        vm.expectRevert(reason);
        chain.settle(id);
        vm.expectRevert(reason);
        chain.reveal(id, right);
        vm.expectRevert(reason);
        vm.prank(asserter);
        chain.assertValue(X, STEPS, 0);
        _sample(id, true);
        vm.expectRevert(
            abi.encodeWithSelector(KeccakChain.WrongState.selector, id, KeccakChain.State.Sampled)
        );
        chain.sample(id);
    }

    /// @dev The two clients of one core do not meet: an id of one is nothing to the other.
    function test_AnAssertionBelongsToItsClient() public {
        bytes32 id = _sampled(right);
        (ISampling.Outcome outcome,,,) = sampling.outcomeOf(address(audits), id);
        assertEq(uint8(outcome), uint8(ISampling.Outcome.None));
        assertNotEq(sampling.subjectOf(address(audits), id), sampling.subjectOf(address(chain), id));
    }
}
