// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Seats, the tables they are drawn from, suspension and slashing, and the append-only signer keys.
/// @notice A seat is one bond of `S + F`. Joining and leaving change the table of the epoch after next: the tables of the past,
/// the current and the next epoch never change. A suspended seat keeps its place in those and counts as silent.
interface IStaking {
    /// @notice Each is final: there is no way back.
    enum SeatStatus {
        Active,
        Suspended, // fines have left it less than its stake
        Convicted // slashed: no dispute opens over it but one whose verdict is there
    }

    /// @dev One storage slot. The count of disputes takes more of them than blocks hold while one runs.
    struct Seat {
        address owner;
        uint24 index; // place in the latest table, while `exitAt` is 0
        uint40 exitAt; // 0, or when the stake is free
        uint24 disputes; // open ones that accuse it
        SeatStatus status;
    }

    struct Server {
        uint32 seats; // seats in the latest table that are not suspended
        uint40 bondedUntil; // latest `exitAt` of its leaving seats
        uint32 freezes; // open disputes and audits that may still take its stake
        bool convicted;
    }

    event SeatJoined(
        bytes32 indexed pool, uint64 indexed seat, address indexed owner, uint32 index, uint32 epoch
    );
    /// @notice The table's last seat, `movedSeat`, takes the place `index` (it may be the leaving seat itself).
    event SeatLeft(
        bytes32 indexed pool, uint64 indexed seat, uint32 index, uint64 movedSeat, uint32 epoch, uint40 exitAt
    );
    event SeatSuspended(bytes32 indexed pool, uint64 indexed seat);
    event SeatWithdrawn(bytes32 indexed pool, uint64 indexed seat, uint256 amount);
    event SeatFined(bytes32 indexed pool, uint64 indexed seat, uint256 amount);
    event SeatSlashed(bytes32 indexed pool, uint64 indexed seat, bytes32 indexed caseKey, uint256 amount);
    event ServerConvicted(bytes32 indexed pool, address indexed server);
    event FrozenChanged(bytes32 indexed pool, address indexed server, uint32 freezes);
    event KeySet(bytes32 indexed pool, address indexed owner, address key, uint32 fromEpoch);
    event EndpointSet(bytes32 indexed pool, address indexed server, string url);

    error NotModule(address caller);
    error NotOwner(bytes32 pool, uint64 seat, address caller);
    error SeatUnknown(bytes32 pool, uint64 seat);
    error AlreadyLeaving(bytes32 pool, uint64 seat);
    error NotLeaving(bytes32 pool, uint64 seat);
    error StillBonded(bytes32 pool, uint64 seat, uint256 until);
    error ServerFrozen(bytes32 pool, address server, uint32 freezes);
    error Convicted(bytes32 pool, address server);
    error IndexOutOfRange(bytes32 pool, uint32 epoch, uint256 index);
    error InvalidCount();
    error ZeroKey();
    error EndpointTooLong(uint256 length);

    /// @notice Buys `count` seats with the caller's Free money. They enter the table two epochs from now.
    /// @return first Id of the first; the others follow it.
    function join(bytes32 pool, uint32 count) external returns (uint64 first);

    /// @notice Takes the caller's seat out of the table two epochs from now; its stake is free `unbondingWindow` later.
    function unbond(bytes32 pool, uint64 seat) external;

    /// @notice Takes a suspended seat, or one of a convicted server, out of the table. Anyone may.
    function evict(bytes32 pool, uint64 seat) external;

    /// @notice Pays what is left of a seat whose unbonding is over to its owner's Free account.
    function withdraw(bytes32 pool, uint64 seat) external;

    /// @notice Refills the float of the caller's seat.
    function topUp(bytes32 pool, uint64 seat, uint256 amount) external;

    /// @notice Sets the key that signs for the caller from the epoch after next. Earlier signatures keep their key.
    function setKey(bytes32 pool, address key) external;

    /// @notice Announces where the caller's server answers.
    function setEndpoint(bytes32 pool, string calldata url) external;

    /// @notice Disputes only: a dispute that accuses `seat` was opened or is over.
    function accuse(bytes32 pool, uint64 seat, bool opened) external;

    /// @notice Disputes and Audits only: stake and rewards of `server` must stay, or need not any more.
    function freeze(bytes32 pool, address server, bool frozen) external;

    /// @notice Disputes and Audits only: ends the service of `server` for good.
    function convict(bytes32 pool, address server) external;

    /// @notice Disputes and Audits only: takes up to `S` of a seat into a Case account, and convicts its owner.
    /// @return amount What was taken.
    function slash(bytes32 pool, uint64 seat, bytes32 caseKey) external returns (uint256 amount);

    /// @notice Disputes and Audits only: burns up to the juror penalty out of a seat; one that falls below `S` is suspended.
    function fine(bytes32 pool, uint64 seat) external returns (uint256 amount);

    /// @notice Number of seats in the table of `epoch`; final for epochs up to the next one.
    function seatCount(bytes32 pool, uint32 epoch) external view returns (uint32);

    /// @notice Seat at place `index` of the table of `epoch`.
    function seatAt(bytes32 pool, uint32 epoch, uint256 index) external view returns (uint64);

    /// @notice Seats at several places of the table of `epoch`.
    function seatsAt(bytes32 pool, uint32 epoch, uint64[] calldata places)
        external
        view
        returns (uint64[] memory);

    /// @notice Owners of several seats.
    function ownersOf(bytes32 pool, uint64[] calldata seats) external view returns (address[] memory);

    /// @notice A seat's owner, and whether the seat can be drawn, serve and vote.
    function standingOf(bytes32 pool, uint64 seat) external view returns (address owner, bool active);

    /// @notice Whether the pool is large enough in `epoch` for its requests to count: three times the second jury.
    function isOpen(bytes32 pool, uint32 epoch) external view returns (bool);

    function seatOf(bytes32 pool, uint64 seat) external view returns (Seat memory);
    function serverOf(bytes32 pool, address server) external view returns (Server memory);

    /// @notice Whether a seat can be drawn, serve and vote.
    function isActive(bytes32 pool, uint64 seat) external view returns (bool);

    /// @notice Whether `server` owns the seat and its unbonding is not over.
    function isBonded(bytes32 pool, uint64 seat, address server) external view returns (bool);

    /// @notice Whether some seat of `server` stays bonded until `time` at least.
    function isBondedUntil(bytes32 pool, address server, uint256 time) external view returns (bool);

    /// @notice The key that signs for `owner` in `epoch`: the owner's own address unless it set another.
    function keyAt(bytes32 pool, address owner, uint32 epoch) external view returns (address);
}
