// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { IPools } from "../../src/interfaces/IPools.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Modules } from "../../src/types/Modules.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { AssayTest } from "../utils/AssayTest.sol";
import { Kinds } from "../utils/Kinds.sol";
import { Shipped } from "../utils/Shipped.sol";

/// @dev A token that does what it should not, one way at a time.
contract LyingToken is ERC20("Liar", "LIE") {
    enum Lie {
        None,
        TakesAFee, // out of what arrives
        TakesMore, // out of the sender, on top
        MovesNothing,
        BurnsLess,
        CallsBack
    }

    Lie public lie;
    ILedger private _ledger;
    bytes private _call;

    constructor() {
        _mint(msg.sender, 1e30);
    }

    function set(Lie lie_) external {
        lie = lie_;
    }

    function callBack(ILedger ledger, bytes calldata call) external {
        (lie, _ledger, _call) = (Lie.CallsBack, ledger, call);
    }

    function burn(uint256 amount) external {
        _burn(msg.sender, lie == Lie.BurnsLess ? amount - 1 : amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0) || to == address(0)) return super._update(from, to, amount);
        if (lie == Lie.MovesNothing) return;
        if (lie == Lie.CallsBack) {
            (bool ok, bytes memory result) = address(_ledger).call(_call);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(result, 32), mload(result))
                }
            }
        }
        super._update(from, to, amount);
        if (lie == Lie.TakesAFee) super._update(to, address(1), 1);
        if (lie == Lie.TakesMore) super._update(from, address(1), 1);
    }
}

contract LedgerTest is AssayTest {
    function test_DepositsAreFreeAndWithdrawable() public {
        uint256 total = ledger.totalOf(address(token));
        address to = makeAddr("to");
        vm.expectEmit(address(ledger));
        emit ILedger.Deposited(pool, to, address(this), 100);
        ledger.deposit(pool, to, 100);
        assertEq(balanceOf(AccountKind.Free, to), 100);
        assertEq(ledger.totalOf(address(token)), total + 100);
        vm.expectEmit(address(ledger));
        emit ILedger.Withdrawn(pool, to, user, 30);
        vm.prank(to);
        ledger.withdraw(pool, user, 30);
        assertEq(token.balanceOf(user), 30);
        assertEq(balanceOf(AccountKind.Free, to), 70);
        assertEq(ledger.totalOf(address(token)), total + 70);
        assertEq(token.balanceOf(address(ledger)), total + 70);
    }

    function test_RevertWhen_AmountOrAddressIsZero() public {
        vm.expectRevert(ILedger.ZeroAmount.selector);
        ledger.deposit(pool, user, 0);
        vm.expectRevert(ILedger.ZeroAddress.selector);
        ledger.deposit(pool, address(0), 1);
        vm.expectRevert(ILedger.ZeroAmount.selector);
        ledger.withdraw(pool, user, 0);
        vm.expectRevert(ILedger.ZeroAddress.selector);
        ledger.withdraw(pool, address(0), 1);
        vm.expectRevert(ILedger.ZeroAmount.selector);
        ledger.flush(pool);
        // The ledger's own address is the one that it does not need to be told.
        for (uint256 i; i < 7; ++i) {
            address[7] memory a =
                [address(1), address(2), address(3), address(4), address(5), address(6), address(7)];
            a[i] = address(0);
            if (i != 1) vm.expectRevert(ILedger.ZeroAddress.selector);
            Shipped.deploy("Ledger", abi.encode(Modules(a[0], a[1], a[2], a[3], a[4], a[5], a[6])));
        }
    }

    /// @dev Two accounts share a slot: neither may grow into the other.
    function test_RevertWhen_ATokensTotalWouldNotFitIntoHalfASlot() public {
        uint256 held = ledger.totalOf(address(token));
        uint256 room = type(uint128).max - held;
        deal(address(token), address(this), type(uint256).max);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.TotalTooLarge.selector, address(token), uint256(1) << 128)
        );
        ledger.deposit(pool, user, room + 1);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        ledger.deposit(pool, user, type(uint256).max);
        ledger.deposit(pool, user, room);
        uint256 balance = balanceOf(AccountKind.Balance, user);
        uint256 check = balanceOf(AccountKind.Check, user);
        uint256 free = balanceOf(AccountKind.Free, user);
        vm.prank(user);
        lanes.fund(pool, free, 0);
        assertEq(balanceOf(AccountKind.Balance, user), balance + free);
        assertEq(balanceOf(AccountKind.Check, user), check, "the account beside it");
        assertEq(ledger.totalOf(address(token)), type(uint128).max);
    }

    function test_RevertWhen_PoolIsUnknown() public {
        bytes memory reason = abi.encodeWithSelector(IPools.PoolUnknown.selector, bytes32("none"));
        vm.expectRevert(reason);
        ledger.deposit("none", user, 1);
        vm.expectRevert(reason);
        ledger.withdraw("none", user, 1);
        vm.expectRevert(reason);
        ledger.flush("none");
    }

    function test_RevertWhen_WithdrawingMoreThanIsFree() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector,
                pool,
                AccountKind.Free,
                bytes32(uint256(uint160(user))),
                2_000_001,
                2_000_000
            )
        );
        vm.prank(user);
        ledger.withdraw(pool, user, 2_000_001);
    }

    /// @dev Nothing but the token's own supply would change: the accounts would no longer add up to what is held.
    function test_RevertWhen_WithdrawingToTheLedgerItself() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.TokenMovedOtherAmount.selector, address(token), 5, 0));
        vm.prank(user);
        ledger.withdraw(pool, address(ledger), 5);
    }

    function test_FlushBurnsTheSupply() public {
        redeem(0, voucher(0, 7, 1, 1, 100));
        uint256 burnt = burnBalance();
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(ledger));
        emit ILedger.Flushed(pool, burnt);
        ledger.flush(pool);
        assertEq(token.totalSupply(), supply - burnt);
        assertEq(burnBalance(), 0);
        assertEq(token.balanceOf(address(ledger)), ledger.totalOf(address(token)));
    }

    // ------------------------------------------------------------------------------------------------ who may move

    /// @dev The table in ILedger, one bit a kind: what each module may take from and give to, and that nobody else may.
    function test_OnlyTheModulesMoveMoneyAndOnlyBetweenTheirKinds() public {
        _mayMove(address(staking), Kinds.FREE | Kinds.SEAT, Kinds.FREE | Kinds.SEAT | Kinds.CASE | Kinds.BURN);
        uint256 own = Kinds.FREE | Kinds.BALANCE | Kinds.BOND | Kinds.CHECK | Kinds.VESTING;
        _mayMove(address(lanes), own, own | Kinds.BURN | Kinds.AUDIT);
        _mayMove(
            address(checks),
            Kinds.CHECK | Kinds.BOND | Kinds.CLAIM,
            Kinds.CLAIM | Kinds.CHECK | Kinds.FREE | Kinds.BALANCE
        );
        _mayMove(
            address(disputes), Kinds.FREE | Kinds.CASE, Kinds.FREE | Kinds.CASE | Kinds.BALANCE | Kinds.BURN
        );
        _mayMove(
            address(audits),
            Kinds.AUDIT | Kinds.CASE | Kinds.VESTING,
            Kinds.AUDIT | Kinds.CASE | Kinds.VESTING | Kinds.FREE | Kinds.BALANCE | Kinds.BURN
        );
        _mayMove(address(pools), 0, 0);
        _mayMove(address(sampling), 0, 0);
        _mayMove(address(arbiter), 0, 0);
        _mayMove(address(this), 0, 0);
    }

    function _mayMove(address module, uint256 sources, uint256 targets) private {
        vm.startPrank(module);
        for (uint8 from; from <= uint8(AccountKind.Audit); ++from) {
            for (uint8 to; to <= uint8(AccountKind.Audit); ++to) {
                bool allowed = sources >> from & 1 == 1 && targets >> to & 1 == 1;
                if (!allowed) {
                    vm.expectRevert(
                        abi.encodeWithSelector(
                            ILedger.NotAllowed.selector, module, AccountKind(from), AccountKind(to)
                        )
                    );
                }
                ledger.move(pool, AccountKind(from), 0, AccountKind(to), 0, 0);
            }
        }
        vm.stopPrank();
    }

    // ------------------------------------------------------------------------------------------------ bad tokens

    function _liar() private returns (LyingToken liar, bytes32 id) {
        liar = new LyingToken();
        PoolParams memory p = poolParams();
        p.basis.token = address(liar);
        id = pools.create(p, "", 0);
        liar.approve(address(ledger), type(uint256).max);
        ledger.deposit(id, address(this), 1_000);
    }

    function test_RevertWhen_ADepositArrivesShort() public {
        (LyingToken liar, bytes32 id) = _liar();
        liar.set(LyingToken.Lie.TakesAFee);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.TokenMovedOtherAmount.selector, address(liar), 100, 99)
        );
        ledger.deposit(id, user, 100);
        liar.set(LyingToken.Lie.MovesNothing);
        vm.expectRevert(abi.encodeWithSelector(ILedger.TokenMovedOtherAmount.selector, address(liar), 100, 0));
        ledger.deposit(id, user, 100);
        assertEq(liar.balanceOf(address(ledger)), ledger.totalOf(address(liar)));
    }

    /// @dev A fee on top of what leaves would be paid with other owners' money.
    function test_RevertWhen_AWithdrawalTakesMoreThanWasAsked() public {
        (LyingToken liar, bytes32 id) = _liar();
        liar.set(LyingToken.Lie.TakesMore);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.TokenMovedOtherAmount.selector, address(liar), 100, 101)
        );
        ledger.withdraw(id, user, 100);
    }

    function test_RevertWhen_TheBurnDoesNotBurnEverything() public {
        (LyingToken liar, bytes32 id) = _liar();
        vm.prank(address(lanes));
        ledger.move(id, AccountKind.Free, bytes32(uint256(uint160(address(this)))), AccountKind.Burn, 0, 50);
        liar.set(LyingToken.Lie.BurnsLess);
        vm.expectRevert(abi.encodeWithSelector(ILedger.TokenMovedOtherAmount.selector, address(liar), 50, 49));
        ledger.flush(id);
        liar.set(LyingToken.Lie.None);
        ledger.flush(id);
        assertEq(liar.balanceOf(address(ledger)), ledger.totalOf(address(liar)));
    }

    function test_RevertWhen_TheTokenCallsBack() public {
        (LyingToken liar, bytes32 id) = _liar();
        bytes[3] memory calls = [
            abi.encodeCall(ledger.deposit, (id, user, 1)),
            abi.encodeCall(ledger.withdraw, (id, user, 1)),
            abi.encodeCall(ledger.flush, (id))
        ];
        for (uint256 i; i < calls.length; ++i) {
            liar.callBack(ledger, calls[i]);
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            ledger.deposit(id, user, 100);
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            ledger.withdraw(id, user, 100);
        }
    }

    function test_PoolsWithOneTokenDoNotShareMoney() public {
        PoolParams memory p = poolParams();
        p.limits.maxInputBytes = 99;
        bytes32 other = pools.create(p, "", 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, other, AccountKind.Free, bytes32(uint256(uint160(user))), 1, 0
            )
        );
        vm.prank(user);
        ledger.withdraw(other, user, 1);
    }
}
