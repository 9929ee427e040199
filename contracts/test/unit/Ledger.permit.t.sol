// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { IERC20Errors } from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev A token whose permit calls the ledger back before it does what it should.
contract CallingToken is ERC20("Caller", "CALL") {
    ILedger private _ledger;
    bytes private _call;
    bool public refused;

    constructor() {
        _mint(msg.sender, 1e30);
    }

    function set(ILedger ledger, bytes calldata call) external {
        (_ledger, _call) = (ledger, call);
    }

    function permit(address owner, address spender, uint256 value, uint256, uint8, bytes32, bytes32)
        external
    {
        (bool ok, bytes memory result) = address(_ledger).call(_call);
        refused = !ok && bytes4(result) == ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        _approve(owner, spender, value);
    }
}

/// @dev A token that has no permit and says nothing when it moves.
contract BareToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor() {
        balanceOf[msg.sender] = 1e30;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        (balanceOf[from], balanceOf[to]) = (balanceOf[from] - amount, balanceOf[to] + amount);
    }

    function transfer(address to, uint256 amount) external {
        (balanceOf[msg.sender], balanceOf[to]) = (balanceOf[msg.sender] - amount, balanceOf[to] + amount);
    }
}

contract LedgerPermitTest is CaseTest {
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    address private holder;
    uint256 private holderKey;
    uint256 private deadline;

    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public override {
        super.setUp();
        (holder, holderKey) = makeAddrAndKey("holder");
        others.push(holder);
        token.transfer(holder, 1_000);
        deadline = block.timestamp;
    }

    function _permit(uint256 key, uint256 value, uint256 until) private view returns (Signature memory x) {
        bytes32 message =
            keccak256(abi.encode(PERMIT, holder, address(ledger), value, token.nonces(holder), until));
        (x.v, x.r, x.s) =
            vm.sign(key, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), message)));
    }

    function _deposit(uint256 amount, uint256 until, Signature memory x) private {
        vm.prank(holder);
        ledger.depositWithPermit(pool, holder, amount, until, x.v, x.r, x.s);
    }

    function _unapproved(uint256 allowance, uint256 amount) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(ledger), allowance, amount
            )
        );
    }

    function test_ASignatureDepositsWithoutAnApproval() public {
        Signature memory x = _permit(holderKey, 700, deadline);
        address to = rich("to");
        vm.expectEmit(address(ledger));
        emit ILedger.Deposited(pool, to, holder, 700);
        vm.prank(holder);
        ledger.depositWithPermit(pool, to, 700, deadline, x.v, x.r, x.s);
        assertEq(free(to), 1_000_700);
        assertEq(token.balanceOf(holder), 300);
        assertEq(token.allowance(holder, address(ledger)), 0);
        conserved();
        // Used up: the token refuses it a second time, and there is no allowance left.
        _unapproved(0, 300);
        _deposit(300, deadline, x);
    }

    /// @dev Whoever saw the signature and sent it first has done its work.
    function test_APermitThatSomebodyElseSentDoesNoHarm() public {
        Signature memory x = _permit(holderKey, 700, deadline);
        vm.prank(stranger);
        token.permit(holder, address(ledger), 700, deadline, x.v, x.r, x.s);
        _deposit(700, deadline, x);
        assertEq(free(holder), 700);
        assertEq(token.allowance(holder, address(ledger)), 0);
        conserved();
    }

    function test_RevertWhen_ThePermitIsNoneAndNothingWasApproved() public {
        Signature memory x = _permit(holderKey, 700, deadline - 1);
        _unapproved(0, 700);
        _deposit(700, deadline - 1, x); // too late
        x = _permit(userKey, 700, deadline);
        _unapproved(0, 700);
        _deposit(700, deadline, x); // somebody else's
        x = _permit(holderKey, 699, deadline);
        _unapproved(0, 700);
        _deposit(700, deadline, x); // of another amount
        x.s = bytes32(type(uint256).max);
        _unapproved(0, 700);
        _deposit(700, deadline, x);
    }

    function test_AnAllowanceThatIsThereCounts() public {
        vm.prank(holder);
        token.approve(address(ledger), 700);
        Signature memory none;
        _deposit(700, 0, none);
        assertEq(free(holder), 700);
        conserved();
    }

    /// @dev A permit serves its owner alone: in another's hands it moves nothing, not even what the owner has approved.
    function test_RevertWhen_SomebodyElseDepositsByIt() public {
        Signature memory x = _permit(holderKey, 700, deadline);
        vm.prank(holder);
        token.approve(address(ledger), 700);
        _unapproved(0, 700);
        vm.prank(stranger);
        ledger.depositWithPermit(pool, stranger, 700, deadline, x.v, x.r, x.s);
        assertEq(token.nonces(holder), 0);
        assertEq(token.balanceOf(holder), 1_000);
    }

    function test_RevertWhen_AmountAddressOrPoolIsNone() public {
        Signature memory x = _permit(holderKey, 0, deadline);
        vm.expectRevert(ILedger.ZeroAmount.selector);
        _deposit(0, deadline, x);
        x = _permit(holderKey, 700, deadline);
        vm.expectRevert(ILedger.ZeroAddress.selector);
        vm.prank(holder);
        ledger.depositWithPermit(pool, address(0), 700, deadline, x.v, x.r, x.s);
        vm.expectRevert(abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none")));
        vm.prank(holder);
        ledger.depositWithPermit("none", holder, 700, deadline, x.v, x.r, x.s);
    }

    /// @dev With 1/64 of the gas left after a permit that ran out of it, a deposit goes by the allowance, or not at all:
    /// what is credited is what the caller has paid.
    function test_StarvingThePermitOfGasCreditsNothingUnpaid() public {
        Signature memory x = _permit(holderKey, 700, deadline);
        vm.prank(holder);
        token.approve(address(ledger), 400);
        uint256 snapshot = vm.snapshotState();
        uint256 passed;
        for (uint256 gas_ = 30_000; gas_ < 300_000; gas_ += 1_511) {
            vm.prank(holder);
            try ledger.depositWithPermit{ gas: gas_ }(pool, holder, 400, deadline, x.v, x.r, x.s) {
                ++passed;
            } catch { }
            assertEq(free(holder), 1_000 - token.balanceOf(holder));
            conserved();
            vm.revertToState(snapshot);
        }
        assertGt(passed, 0);
    }

    function _poolOf(address token_) private returns (bytes32) {
        PoolParams memory p = poolParams();
        p.basis.token = token_;
        return pools.create(p, "", 0);
    }

    function test_ATokenWithoutPermitIsDepositedByItsAllowance() public {
        BareToken bare = new BareToken();
        bytes32 id = _poolOf(address(bare));
        bare.approve(address(ledger), 500);
        ledger.depositWithPermit(id, user, 500, deadline, 27, 0, 0);
        assertEq(ledger.totalOf(address(bare)), 500);
        assertEq(bare.balanceOf(address(ledger)), 500);
        vm.prank(user);
        ledger.withdraw(id, stranger, 200);
        assertEq(bare.balanceOf(stranger), 200);
        assertEq(ledger.totalOf(address(bare)), 300);
        // One that can't be burnt keeps its Burn account for ever, and blocks nothing.
        vm.prank(address(lanes));
        ledger.move(id, AccountKind.Free, bytes32(uint256(uint160(user))), AccountKind.Burn, 0, 100);
        vm.expectRevert();
        ledger.flush(id);
        vm.prank(user);
        ledger.withdraw(id, user, 200);
    }

    /// @dev A failure in there is swallowed, so a call back must fail without a trace.
    function test_APermitThatCallsBackGetsNowhere() public {
        CallingToken caller = new CallingToken();
        bytes32 id = _poolOf(address(caller));
        bytes[4] memory calls = [
            abi.encodeCall(ledger.deposit, (id, stranger, 1)),
            abi.encodeCall(ledger.depositWithPermit, (id, stranger, 1, deadline, 27, 0, 0)),
            abi.encodeCall(ledger.withdraw, (id, stranger, 1)),
            abi.encodeCall(ledger.flush, (id))
        ];
        for (uint256 i; i < calls.length; ++i) {
            caller.set(ledger, calls[i]);
            ledger.depositWithPermit(id, user, 100, deadline, 27, 0, 0);
            assertTrue(caller.refused());
            assertEq(ledger.totalOf(address(caller)), 100 * (i + 1));
            assertEq(caller.balanceOf(address(ledger)), 100 * (i + 1));
        }
    }
}
