// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ILedger } from "../../src/interfaces/ILedger.sol";
import { AccountKind, Posting, keyOf } from "../../src/types/Accounts.sol";
import { CaseTest } from "../utils/CaseTest.sol";
import { Kinds } from "../utils/Kinds.sol";

/// @dev Entries over several accounts: balanced, allowed on each side, and all or nothing.
contract LedgerPostTest is CaseTest {
    bytes32 private key;

    function setUp() public override {
        super.setUp();
        key = keyOf(user);
    }

    function _list(Posting memory a) private pure returns (Posting[] memory list) {
        list = new Posting[](1);
        list[0] = a;
    }

    function _list(Posting memory a, Posting memory b) private pure returns (Posting[] memory list) {
        list = new Posting[](2);
        (list[0], list[1]) = (a, b);
    }

    function _p(AccountKind kind, bytes32 key_, uint256 amount) private pure returns (Posting memory) {
        return Posting(kind, key_, amount);
    }

    function _post(Posting[] memory debits, Posting[] memory credits) private {
        vm.prank(address(lanes));
        ledger.post(pool, debits, credits);
    }

    function test_AnEntryMovesWhatBothSidesSay() public {
        Posting[] memory debits = _list(_p(AccountKind.Balance, key, 30), _p(AccountKind.Bond, key, 12));
        Posting[] memory credits =
            _list(_p(AccountKind.Vesting, keyOf(servers[0]), 40), _p(AccountKind.Burn, 0, 2));
        uint256 total = ledger.totalOf(address(token));
        vm.expectEmit(address(ledger));
        emit ILedger.Posted(pool, debits, credits);
        _post(debits, credits);
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000 - 30);
        assertEq(balanceOf(AccountKind.Bond, user), 4_000_000 - 12);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), 40);
        assertEq(burnBalance(), 2);
        assertEq(ledger.totalOf(address(token)), total);
        conserved();
    }

    /// @dev One account on both sides, and twice on one: each posting counts once, in order.
    function test_RepeatedAccountsAddUp() public {
        Posting memory a = _p(AccountKind.Balance, key, 5);
        _post(_list(a, a), _list(_p(AccountKind.Balance, key, 7), _p(AccountKind.Check, key, 3)));
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000 - 3);
        assertEq(balanceOf(AccountKind.Check, user), 3);
        // What is credited in an entry can't pay for its debits.
        Posting memory all = _p(AccountKind.Check, key, 4);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.Insufficient.selector, pool, AccountKind.Check, key, 4, 3)
        );
        _post(_list(all), _list(all));
        conserved();
    }

    function test_RevertWhen_TheSidesDiffer() public {
        Posting[] memory five = _list(_p(AccountKind.Balance, key, 5));
        Posting[] memory six = _list(_p(AccountKind.Bond, key, 6));
        vm.expectRevert(abi.encodeWithSelector(ILedger.Unbalanced.selector, 5, 6));
        _post(five, six);
        vm.expectRevert(abi.encodeWithSelector(ILedger.Unbalanced.selector, 6, 5));
        _post(six, five);
        Posting[] memory none = new Posting[](0);
        vm.expectRevert(abi.encodeWithSelector(ILedger.Unbalanced.selector, 5, 0));
        _post(five, none);
        vm.expectRevert(abi.encodeWithSelector(ILedger.Unbalanced.selector, 0, 6));
        _post(none, six);
        _post(none, none);
        conserved();
    }

    /// @dev Sums that wrap around would balance anything.
    function test_RevertWhen_ASumWouldWrap() public {
        Posting[] memory credits =
            _list(_p(AccountKind.Bond, key, type(uint256).max), _p(AccountKind.Check, key, 6));
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        _post(_list(_p(AccountKind.Balance, key, 5)), credits);
    }

    function test_RevertWhen_AnAccountHoldsTooLittle() public {
        Posting[] memory debits = _list(_p(AccountKind.Balance, key, 1), _p(AccountKind.Bond, key, 4_000_001));
        vm.expectRevert(
            abi.encodeWithSelector(
                ILedger.Insufficient.selector, pool, AccountKind.Bond, key, 4_000_001, 4_000_000
            )
        );
        _post(debits, _list(_p(AccountKind.Burn, 0, 4_000_002)));
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000, "all or nothing");
    }

    /// @dev The table in ILedger holds for each side of an entry, empty amounts included.
    function test_OnlyTheModulesPostAndOnlyTheirKinds() public {
        uint256 own = Kinds.FREE | Kinds.BALANCE | Kinds.BOND | Kinds.CHECK | Kinds.VESTING;
        _mayPost(address(lanes), own, own | Kinds.BURN | Kinds.AUDIT);
        _mayPost(address(staking), Kinds.FREE | Kinds.SEAT, Kinds.FREE | Kinds.SEAT | Kinds.CASE | Kinds.BURN);
        _mayPost(
            address(checks),
            Kinds.CHECK | Kinds.BOND | Kinds.CLAIM,
            Kinds.CLAIM | Kinds.CHECK | Kinds.FREE | Kinds.BALANCE
        );
        _mayPost(
            address(disputes), Kinds.FREE | Kinds.CASE, Kinds.FREE | Kinds.CASE | Kinds.BALANCE | Kinds.BURN
        );
        _mayPost(
            address(audits),
            Kinds.AUDIT | Kinds.CASE | Kinds.VESTING,
            Kinds.AUDIT | Kinds.CASE | Kinds.VESTING | Kinds.FREE | Kinds.BALANCE | Kinds.BURN
        );
        _mayPost(address(ledger), 0, 0);
        _mayPost(address(sampling), 0, 0);
        _mayPost(address(arbiter), 0, 0);
        _mayPost(address(this), 0, 0);
    }

    function _mayPost(address module, uint256 sources, uint256 targets) private {
        Posting[] memory none = new Posting[](0);
        for (uint8 kind; kind <= uint8(AccountKind.Audit); ++kind) {
            Posting[] memory one = _list(_p(AccountKind(kind), 0, 0));
            if (sources >> kind & 1 == 0) {
                vm.expectRevert(
                    abi.encodeWithSelector(
                        ILedger.NotAllowed.selector, module, AccountKind(kind), AccountKind.None
                    )
                );
            }
            vm.prank(module);
            ledger.post(pool, one, none);
            if (targets >> kind & 1 == 0) {
                vm.expectRevert(
                    abi.encodeWithSelector(
                        ILedger.NotAllowed.selector, module, AccountKind.None, AccountKind(kind)
                    )
                );
            }
            vm.prank(module);
            ledger.post(pool, none, one);
        }
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_EntriesConserve(uint96[3] calldata debits, uint96[3] calldata credits, bool balance)
        public
    {
        AccountKind[3] memory kinds = [AccountKind.Balance, AccountKind.Bond, AccountKind.Free];
        Posting[] memory from = new Posting[](3);
        Posting[] memory to = new Posting[](3);
        uint256 sum;
        for (uint256 i; i < 3; ++i) {
            from[i] = _p(kinds[i], key, debits[i] % 1_000_000);
            sum += from[i].amount;
        }
        uint256 left = sum;
        for (uint256 i; i < 3; ++i) {
            uint256 amount = i == 2 ? left : credits[i] % (left + 1);
            to[i] = _p(kinds[(i + 1) % 3], keyOf(servers[i]), amount);
            left -= amount;
        }
        if (!balance) ++to[2].amount;
        if (!balance) vm.expectRevert(abi.encodeWithSelector(ILedger.Unbalanced.selector, sum, sum + 1));
        _post(from, to);
        conserved();
    }
}
