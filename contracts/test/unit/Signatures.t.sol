// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { ISignedMessages } from "../../src/interfaces/ISignedMessages.sol";
import { ILanes } from "../../src/interfaces/ILanes.sol";
import { Hashes } from "../../src/libraries/Hashes.sol";
import { AccountKind } from "../../src/types/Accounts.sol";
import { Delivery, Evidence, InferenceRequest, Role, Voucher } from "../../src/types/Messages.sol";
import { PoolParams } from "../../src/types/PoolParams.sol";
import { CaseTest } from "../utils/CaseTest.sol";
import { OddWallet, Wallet } from "../utils/Wallets.sol";

/// @dev Whose signatures count, in which form, and where: by keys, by account contracts, and by accounts with code.
contract SignaturesTest is CaseTest {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev A funded user that is an account contract of `userKey`'s owner.
    function _wallet() private returns (Wallet wallet) {
        wallet = new Wallet();
        wallet.setOwner(user);
        _adopt(address(wallet));
    }

    /// @dev Makes `account` the user that the helpers' messages name.
    function _adopt(address account) private {
        ledger.deposit(pool, account, 8_000_000);
        vm.prank(account);
        lanes.fund(pool, 4_000_000, 4_000_000);
        others.push(user);
        user = account;
    }

    function _redeem(Voucher memory v, bytes memory signature, bytes memory reason) private {
        (Voucher[] memory vouchers, bytes[] memory signatures) = (new Voucher[](1), new bytes[](1));
        (vouchers[0], signatures[0]) = (v, signature);
        if (reason.length > 0) vm.expectRevert(reason);
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
    }

    function _typed(bytes32 structHash) private view returns (bytes32) {
        return Hashes.typed(lanes.domainSeparator(), structHash);
    }

    // ---------------------------------------------------------------------------------------------------- contracts

    function test_AnAccountContractSignsVouchersAndChallenges() public {
        _wallet();
        redeem(0, voucher(0, 7, 1, 1, 100));
        assertEq(balanceOf(AccountKind.Balance, user), 4_000_000 - params.fee(100));
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        checks.claim(e);
        assertEq(ledger.balanceOf(pool, AccountKind.Claim, 0), params.check(210));
        ledger.deposit(pool, user, bondOf());
        (uint256 id,) = dispute(e, user);
        assertEq(caseBalance(id), bondOf());
        assertEq(
            balanceOf(AccountKind.Bond, user), 4_000_000 - params.check(210) + params.checkCredit(1, 100)
        );
        conserved();
    }

    function test_AnAccountContractSignsRequestsThatAreDeliveredOrTwice() public {
        _wallet();
        Delivery memory d;
        d.request = answered(0, 7, 1, 100, RIGHT).request;
        d.response = answered(0, 7, 1, 100, RIGHT).response;
        d.output = new bytes(400);
        d.response.outputHash = keccak256(bytes.concat(Hashes.OUTPUT, d.output));
        d.requestSignature = signed(userKey, Hashes.request(d.request));
        d.responseSignature = signed(serverKeys[0], Hashes.response(d.response));
        vm.prank(servers[0]);
        lanes.deliver(d);
        assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(210));
        InferenceRequest memory other = answered(0, 7, 1, 100, RIGHT).request;
        other.inputHash = "other";
        bytes memory second = signed(userKey, Hashes.request(other));
        vm.prank(stranger);
        lanes.proveEquivocation(d.request, d.requestSignature, other, second);
        assertEq(lanes.exitOf(pool, user).finder, stranger);
    }

    /// @dev A contract may be the key of an account that has none of its own.
    function test_AnAccountContractMayBeAUsersKey() public {
        Wallet wallet = new Wallet();
        (address session, uint256 sessionKey) = makeAddrAndKey("session");
        wallet.setOwner(session);
        vm.prank(user);
        staking.setKey(pool, address(wallet));
        skip(2 * params.windows.epoch);
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        _redeem(
            v,
            signed(userKey, Hashes.voucher(v)),
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, address(wallet), user)
        );
        _redeem(v, signed(sessionKey, Hashes.voucher(v)), "");
    }

    /// @dev Nothing but the right word means yes. What the contract does besides costs its caller gas, and nobody money.
    function test_RevertWhen_TheContractDoesNotSayYes() public {
        OddWallet odd = new OddWallet();
        _adopt(address(odd));
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        bytes memory signature = signed(userKey, Hashes.voucher(v));
        address recovered = vm.addr(userKey);
        for (uint8 i; i < uint8(OddWallet.Answer.Yes); ++i) {
            odd.set(OddWallet.Answer(i));
            (Voucher[] memory vouchers, bytes[] memory signatures) = (new Voucher[](1), new bytes[](1));
            (vouchers[0], signatures[0]) = (v, signature);
            vm.expectRevert(
                abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, recovered)
            );
            vm.prank(servers[0]);
            lanes.redeem{ gas: 5_000_000 }(pool, servers[0], vouchers, signatures);
        }
        // Whatever bytes come with it: an account contract has its own forms.
        odd.set(OddWallet.Answer.Yes);
        _redeem(v, "", "");
    }

    /// @dev Its bytes are of no form that a key could have made: the contract alone says what they are worth.
    function test_RevertWhen_TheContractRefusesBytesOfNoForm() public {
        OddWallet odd = new OddWallet();
        _adopt(address(odd));
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        bytes memory reason =
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, address(0));
        _redeem(v, "", reason);
        _redeem(v, new bytes(65), reason);
        _redeem(v, new bytes(1_000), reason);
    }

    /// @dev A contract can change its mind about a signature: it could disown what convicts it.
    function test_RevertWhen_AServersOrValidatorsKeyIsAContract() public {
        OddWallet odd = new OddWallet();
        odd.set(OddWallet.Answer.Yes);
        vm.prank(servers[0]);
        staking.setKey(pool, address(odd));
        skip(2 * params.windows.epoch);
        Evidence memory e = answered(0, 7, 1, 100, RIGHT);
        vm.expectRevert(
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, servers[0], address(odd), servers[0])
        );
        checks.verifyResponse(e.request, e.response, e.responseSignature);
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, 0));
        checks.verifyResponse(e.request, e.response, "");
        // The same of a validator.
        e = drawn(1, 2, RIGHT, RIGHT);
        while (serverOfSeat(e.answer.seat) != 0) {
            e = drawn(1, e.request.sequence + 1, RIGHT, RIGHT);
        }
        vm.expectRevert(
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, servers[0], address(odd), servers[0])
        );
        checks.verify(e);
    }

    // --------------------------------------------------------------------------------------------- keys with code

    /// @dev An account that has delegated to code (EIP-7702) still has its key, and now its code as well.
    function test_AnAccountWithCodeSignsByItsKeyOrByItsCode() public {
        OddWallet odd = new OddWallet();
        vm.etch(user, address(odd).code);
        assertGt(user.code.length, 0);
        redeem(0, voucher(0, 7, 1, 1, 100)); // the code says no: it is not asked
        OddWallet(user).set(OddWallet.Answer.Yes);
        Voucher memory v = voucher(0, 7, 2, 2, 200);
        _redeem(v, "by the code", "");
        OddWallet(user).set(OddWallet.Answer.No);
        v = voucher(0, 7, 3, 3, 300);
        _redeem(
            v,
            "by the code",
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, address(0))
        );
        _redeem(
            v,
            signed(serverKeys[1], Hashes.voucher(v)),
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, servers[1])
        );
    }

    /// @dev A delegation as the chain stores it: 23 bytes that point to a wallet.
    function test_ADelegationIsFollowed() public {
        Wallet wallet = new Wallet();
        vm.etch(user, abi.encodePacked(hex"ef0100", address(wallet)));
        assertEq(user.code.length, 23);
        (address guardian, uint256 guardianKey) = makeAddrAndKey("guardian");
        Wallet(user).setOwner(guardian);
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        _redeem(v, signed(guardianKey, Hashes.voucher(v)), "");
        redeem(0, voucher(0, 7, 2, 2, 200));
        v = voucher(0, 7, 3, 3, 300);
        _redeem(
            v,
            signed(serverKeys[1], Hashes.voucher(v)),
            abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, servers[1])
        );
    }

    /// @dev Nor is a server's code asked: its key alone signs, delegated or not.
    function test_AServerWithCodeSignsByItsKeyAlone() public {
        OddWallet odd = new OddWallet();
        vm.etch(servers[0], address(odd).code);
        OddWallet(servers[0]).set(OddWallet.Answer.Yes);
        Evidence memory e = answered(0, 7, 1, 100, RIGHT);
        checks.verifyResponse(e.request, e.response, e.responseSignature);
        bytes memory signature = signed(userKey, Hashes.response(e.response));
        vm.expectRevert(
            abi.encodeWithSelector(
                ISignedMessages.WrongSigner.selector, servers[0], servers[0], vm.addr(userKey)
            )
        );
        checks.verifyResponse(e.request, e.response, signature);
    }

    // -------------------------------------------------------------------------------------------------------- forms

    function _forms(bytes32 structHash, uint256 key)
        private
        view
        returns (bytes[9] memory bad, bytes[9] memory reasons)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _typed(structHash));
        bytes32 high = bytes32(ORDER - uint256(s));
        uint8 other = v == 27 ? 28 : 27;
        bytes4 length = ECDSA.ECDSAInvalidSignatureLength.selector;
        (bad[0], reasons[0]) = ("", abi.encodeWithSelector(length, 0));
        (bad[1], reasons[1]) = (new bytes(64), abi.encodeWithSelector(length, 64));
        // The compact form of ERC-2098 would be a second signature of the same key under the same hash.
        bad[2] = abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255));
        reasons[2] = abi.encodeWithSelector(length, 64);
        (bad[3], reasons[3]) = (abi.encodePacked(r, s, v, v), abi.encodeWithSelector(length, 66));
        bad[4] = abi.encodePacked(r, high, other);
        reasons[4] = abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high);
        bytes memory invalid = abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector);
        (bad[5], reasons[5]) = (abi.encodePacked(r, s, v - 27), invalid);
        (bad[6], reasons[6]) = (abi.encodePacked(r, s, uint8(29)), invalid);
        (bad[7], reasons[7]) = (abi.encodePacked(bytes32(0), s, v), invalid);
        (bad[8], reasons[8]) = (new bytes(65), invalid);
    }

    function test_RevertWhen_AUsersSignatureHasAnotherForm() public {
        Voucher memory voucher_ = voucher(0, 7, 1, 1, 100);
        (bytes[9] memory bad, bytes[9] memory reasons) = _forms(Hashes.voucher(voucher_), userKey);
        for (uint256 i; i < bad.length; ++i) {
            _redeem(voucher_, bad[i], reasons[i]);
        }
        _redeem(voucher_, signed(userKey, Hashes.voucher(voucher_)), "");
    }

    function test_RevertWhen_AServersSignatureHasAnotherForm() public {
        Evidence memory e = answered(0, 7, 1, 100, RIGHT);
        (bytes[9] memory bad, bytes[9] memory reasons) = _forms(Hashes.response(e.response), serverKeys[0]);
        for (uint256 i; i < bad.length; ++i) {
            vm.expectRevert(reasons[i]);
            checks.verifyResponse(e.request, e.response, bad[i]);
        }
    }

    function test_RevertWhen_AChallengeOrAnAnswerHasAnotherForm() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        (bytes[9] memory bad, bytes[9] memory reasons) = _forms(Hashes.challenge(e.challenge), userKey);
        bytes memory good = e.challengeSignature;
        for (uint256 i; i < bad.length; ++i) {
            e.challengeSignature = bad[i];
            vm.expectRevert(reasons[i]);
            checks.verify(e);
        }
        e.challengeSignature = good;
        (bad, reasons) = _forms(Hashes.answer(e.answer), serverKeys[serverOfSeat(e.answer.seat)]);
        for (uint256 i; i < bad.length; ++i) {
            e.answerSignature = bad[i];
            vm.expectRevert(reasons[i]);
            checks.verify(e);
        }
    }

    // ------------------------------------------------------------------------------------------------------- places

    /// @dev Another chain, another deployment, another version or protocol, none.
    function _otherDomains() private view returns (bytes32[5] memory) {
        bytes32 type_ = Hashes.DOMAIN_TYPE;
        return [
            Hashes.domain(block.chainid + 1, address(ledger)),
            Hashes.domain(block.chainid, address(lanes)),
            keccak256(abi.encode(type_, keccak256("Assay"), keccak256("2"), block.chainid, address(ledger))),
            keccak256(abi.encode(type_, keccak256("assay"), keccak256("1"), block.chainid, address(ledger))),
            bytes32(0)
        ];
    }

    function _signedIn(bytes32 domain, uint256 key, bytes32 structHash) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, Hashes.typed(domain, structHash));
        return abi.encodePacked(r, s, v);
    }

    function test_RevertWhen_EvidenceIsSignedInAnotherDomain() public {
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        checks.verify(e);
        bytes32[5] memory domains = _otherDomains();
        uint256 validatorKey = serverKeys[serverOfSeat(e.answer.seat)];
        for (uint256 i; i < domains.length; ++i) {
            Evidence memory bad = copied(e);
            bad.responseSignature = _signedIn(domains[i], serverKeys[0], Hashes.response(e.response));
            vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
            checks.verify(bad);
            bad = copied(e);
            bad.challengeSignature = _signedIn(domains[i], userKey, Hashes.challenge(e.challenge));
            vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
            checks.verify(bad);
            bad = copied(e);
            bad.answerSignature = _signedIn(domains[i], validatorKey, Hashes.answer(e.answer));
            vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
            checks.verify(bad);
        }
    }

    function test_RevertWhen_SignedInAnotherDomain() public {
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        bytes32[5] memory domains = _otherDomains();
        for (uint256 i; i < domains.length; ++i) {
            bytes32 hash = Hashes.typed(domains[i], Hashes.voucher(v));
            (uint8 v_, bytes32 r, bytes32 s) = vm.sign(userKey, hash);
            bytes memory signature = abi.encodePacked(r, s, v_);
            address recovered = ecrecover(_typed(Hashes.voucher(v)), v_, r, s);
            _redeem(
                v,
                signature,
                abi.encodeWithSelector(ISignedMessages.WrongSigner.selector, user, user, recovered)
            );
        }
        assertEq(lanes.domainSeparator(), checks.domainSeparator(), "both modules read in one domain");
        assertEq(lanes.domainSeparator(), Hashes.domain(block.chainid, address(ledger)));
    }

    /// @dev After a fork each chain has its own domain, and the one that keeps the id keeps the signatures.
    function test_AForkChangesTheDomain() public {
        bytes32 before = lanes.domainSeparator();
        // forge's own; the compiler may read `block.chainid` again after it has changed.
        uint256 id = 31_337;
        assertEq(block.chainid, id);
        vm.chainId(id + 1);
        assertEq(lanes.domainSeparator(), Hashes.domain(id + 1, address(ledger)));
        assertEq(checks.domainSeparator(), lanes.domainSeparator());
        redeem(0, voucher(0, 7, 1, 1, 100));
        vm.chainId(id);
        assertEq(lanes.domainSeparator(), before);
    }

    function test_RevertWhen_ASignatureIsReplayedInAnotherPool() public {
        PoolParams memory p = poolParams();
        p.limits.maxInputBytes = 99;
        bytes32 other = pools.create(p, "", 0);
        ledger.deposit(other, servers[0], 30 * (uint256(p.prices.seatStake) + p.prices.seatFloat));
        vm.prank(servers[0]);
        staking.join(other, 30);
        ledger.deposit(other, user, 1_000_000);
        vm.prank(user);
        lanes.fund(other, 500_000, 500_000);
        skip(2 * params.windows.epoch);
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        vm.expectRevert(abi.encodeWithSelector(ILanes.VoucherOfOther.selector, pool, servers[0]));
        vm.prank(servers[0]);
        lanes.redeem(other, servers[0], vouchers, signatures);
        vouchers[0].pool = other;
        vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
        vm.prank(servers[0]);
        lanes.redeem(other, servers[0], vouchers, signatures);
    }

    /// @dev A signature under one message is none under another, also where the first fields are the same.
    function test_RevertWhen_ASignatureIsOfAnotherMessage() public {
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        InferenceRequest memory r = answered(0, 7, 1, 100, RIGHT).request;
        bytes memory signature = signed(userKey, Hashes.request(r));
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        signatures[0] = signature;
        vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
        vm.prank(servers[0]);
        lanes.redeem(pool, servers[0], vouchers, signatures);
        Evidence memory e = drawn(0, 1, RIGHT, RIGHT);
        e.challengeSignature = signed(userKey, Hashes.voucher(v));
        vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
        checks.verify(e);
    }

    /// @dev Two wallets of one owner accept the same signature under the same hash, but a message names its user.
    function test_RevertWhen_ASignatureIsReplayedAtAnotherWalletOfItsOwner() public {
        _wallet();
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        bytes memory signature = signed(userKey, Hashes.voucher(v));
        Wallet second = new Wallet();
        second.setOwner(vm.addr(userKey));
        _adopt(address(second));
        v.user = address(second);
        vm.expectPartialRevert(ISignedMessages.WrongSigner.selector);
        this.redeemAs(v, signature);
    }

    function redeemAs(Voucher memory v, bytes memory signature) external {
        _redeem(v, signature, "");
    }

    /// @dev Nobody signs for an account without a key.
    function test_RevertWhen_TheUserIsZero() public {
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        v.user = address(0);
        _redeem(v, new bytes(65), abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector));
    }

    // ---------------------------------------------------------------------------------------------------------- gas

    /// @dev Whoever sends a call with too little gas for the contract it asks gets no other answer than failure.
    function test_StarvingAContractOfGasIsNoAnswer() public {
        _wallet();
        Voucher memory v = voucher(0, 7, 1, 1, 100);
        (Voucher[] memory vouchers, bytes[] memory signatures) = batchOf(v);
        uint256 snapshot = vm.snapshotState();
        uint256 passed;
        for (uint256 gas_ = 60_000; gas_ < 700_000; gas_ += 7_919) {
            vm.prank(servers[0]);
            try lanes.redeem{ gas: gas_ }(pool, servers[0], vouchers, signatures) {
                ++passed;
                assertEq(balanceOf(AccountKind.Vesting, servers[0]), params.pay(100));
            } catch {
                assertEq(balanceOf(AccountKind.Vesting, servers[0]), 0);
                assertEq(lanes.laneOf(pool, user, servers[0], 7).count, 0);
            }
            conserved();
            vm.revertToState(snapshot);
        }
        assertGt(passed, 0);
    }
}
