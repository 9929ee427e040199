// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";
import { AccountKind, keyOf } from "../../src/types/Accounts.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { CaseTest } from "../utils/CaseTest.sol";

/// @dev A token whose balances change by themselves, that refuses in the old way, or calls anybody back.
contract HostileToken is ERC20("Hostile", "HOST") {
    uint256 private _percent = 100;
    bool private _silent;
    address private _target;
    bytes private _call;

    constructor() {
        _mint(msg.sender, 1e24);
    }

    /// @dev All balances are so many hundredths of what they were.
    function rebase(uint256 percent) external {
        _percent = percent;
    }

    function refuse(bool silent) external {
        _silent = silent;
    }

    function callBack(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function burn(uint256 amount) external {
        _burn(msg.sender, amount);
    }

    function balanceOf(address owner) public view override returns (uint256) {
        return super.balanceOf(owner) * _percent / 100;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (_silent) return false;
        if (_target != address(0)) {
            address target = _target;
            _target = address(0);
            (bool ok, bytes memory result) = target.call(_call);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(result, 32), mload(result))
                }
            }
        }
        return super.transferFrom(from, to, amount);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (_silent) return false;
        return super.transfer(to, amount);
    }
}

/// @dev Rebases in the middle of the transfer that the ledger measures.
contract MovingToken is ERC20("Moving", "MOVE") {
    uint256 public extra;
    bool public down;

    constructor() {
        _mint(msg.sender, 1e24);
    }

    function set(uint256 extra_, bool down_) external {
        (extra, down) = (extra_, down_);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (extra == 0 || from == address(0)) return;
        address holder = msg.sender; // the ledger
        if (down) super._update(holder, address(1), extra);
        else super._update(address(0), holder, extra);
    }
}

contract LedgerTokensTest is CaseTest {
    function _pool(address token_) private returns (bytes32 id) {
        PoolParams memory p = poolParams();
        p.basis.token = token_;
        id = pools.create(p, "", 0);
        ERC20(token_).approve(address(ledger), type(uint256).max);
        ledger.deposit(id, address(this), 1_000);
    }

    function _moved(address token_, uint256 asked, uint256 moved) private {
        vm.expectRevert(abi.encodeWithSelector(ILedger.TokenMovedOtherAmount.selector, token_, asked, moved));
    }

    function test_RevertWhen_TheTokenRebasesWhileItMoves() public {
        MovingToken moving = new MovingToken();
        bytes32 id = _pool(address(moving));
        moving.set(7, false);
        _moved(address(moving), 100, 107);
        ledger.deposit(id, user, 100);
        _moved(address(moving), 100, 93);
        ledger.withdraw(id, user, 100);
        moving.set(7, true);
        _moved(address(moving), 100, 93);
        ledger.deposit(id, user, 100);
        _moved(address(moving), 100, 107);
        ledger.withdraw(id, user, 100);
        assertEq(moving.balanceOf(address(ledger)), ledger.totalOf(address(moving)));
        // One that grows what is left by more than leaves: less than nothing has moved.
        moving.set(101, false);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        ledger.withdraw(id, user, 100);
    }

    /// @dev Between two calls a rebase is out of reach: it is that token's owners who lose, and no other token's.
    function test_ARebaseBetweenCallsTouchesNoOtherToken() public {
        HostileToken hostile = new HostileToken();
        bytes32 id = _pool(address(hostile));
        hostile.rebase(50);
        assertEq(hostile.balanceOf(address(ledger)), 500);
        assertEq(ledger.totalOf(address(hostile)), 1_000);
        _moved(address(hostile), 1_000, 500);
        ledger.withdraw(id, user, 1_000);
        // The other pools' money is as it was, and leaves as ever.
        vm.prank(user);
        ledger.withdraw(pool, user, 2_000_000);
        assertEq(token.balanceOf(user), 2_000_000);
        conserved();
    }

    function test_RevertWhen_TheTokenSaysFalse() public {
        HostileToken hostile = new HostileToken();
        bytes32 id = _pool(address(hostile));
        hostile.refuse(true);
        bytes memory reason =
            abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(hostile));
        vm.expectRevert(reason);
        ledger.deposit(id, user, 1);
        vm.expectRevert(reason);
        ledger.withdraw(id, user, 1);
        assertEq(ledger.balanceOf(id, AccountKind.Free, keyOf(address(this))), 1_000);
    }

    /// @dev Invented money stays in the pools of the token that invents it.
    function test_MoneyThatATokenInventsReachesNoOtherPool() public {
        HostileToken hostile = new HostileToken();
        bytes32 id = _pool(address(hostile));
        vm.mockCall(address(hostile), abi.encodeWithSelector(ERC20.transferFrom.selector), abi.encode(true));
        bytes[] memory told = new bytes[](2);
        (told[0], told[1]) = (abi.encode(uint256(1_000)), abi.encode(uint256(1e30)));
        vm.mockCalls(
            address(hostile), abi.encodeWithSelector(ERC20.balanceOf.selector, address(ledger)), told
        );
        ledger.deposit(id, stranger, 1e30 - 1_000);
        assertEq(ledger.balanceOf(id, AccountKind.Free, keyOf(stranger)), 1e30 - 1_000);
        assertEq(free(stranger), 1_000_000, "the same owner in another pool");
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Free, keyOf(stranger), 1_000_001, 1_000_000
            )
        );
        vm.prank(stranger);
        ledger.withdraw(pool, stranger, 1_000_001);
        conserved();
    }

    /// @dev The edges of the ledger are closed while a token moves; what other modules do moves accounts and no token.
    function test_ATokenThatCallsOtherModulesMovesOnlyItsOwnAccounts() public {
        HostileToken hostile = new HostileToken();
        bytes32 id = _pool(address(hostile));
        ledger.deposit(id, address(hostile), 600);
        hostile.callBack(address(lanes), abi.encodeCall(lanes.fund, (id, 200, 100)));
        ledger.deposit(id, address(this), 50);
        bytes32 key = keyOf(address(hostile));
        assertEq(ledger.balanceOf(id, AccountKind.Free, key), 300);
        assertEq(ledger.balanceOf(id, AccountKind.Balance, key), 200);
        assertEq(ledger.balanceOf(id, AccountKind.Bond, key), 100);
        assertEq(ledger.balanceOf(id, AccountKind.Free, keyOf(address(this))), 1_050);
        assertEq(ledger.totalOf(address(hostile)), 1_650);
        assertEq(hostile.balanceOf(address(ledger)), 1_650);
        // As the token it has no more power over accounts than anybody.
        hostile.callBack(
            address(ledger),
            abi.encodeCall(
                ledger.move, (id, AccountKind.Free, keyOf(address(this)), AccountKind.Free, key, 1)
            )
        );
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.NotAllowed.selector, address(hostile), AccountKind.Free, AccountKind.Free
            )
        );
        ledger.deposit(id, address(this), 50);
    }
}
