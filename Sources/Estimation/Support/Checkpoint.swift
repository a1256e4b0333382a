/// The bytes of a saved object, little-endian: "v05c", format version, kind, payload length, payload, CRC-32
/// of all before. Bytes of a released version are read for ever.
public enum CheckpointKind: UInt32 {
    case runningCalibration = 1
    case history = 2
    case allocator = 3
    case runningMixture = 4
    case tracker = 5

    /// The format that is written; it and all before it are read.
    var version: UInt32 { self == .history ? 2 : 1 }
}

enum CheckpointFormat {
    static let magic: UInt32 = 0x6335_3076  // "v05c"
    static let newest: UInt32 = 2
    static let headerSize = 20
    static let checksumSize = 4
}

/// Writes the bytes of an object into a buffer whose size has been checked.
public struct CheckpointWriter {
    private let bytes: UnsafeMutablePointer<UInt8>
    /// Nothing is written from here on, whatever the object does.
    private let end: Int
    private var position = 0

    public static func size(payload: Int) -> Int {
        CheckpointFormat.headerSize &+ payload &+ CheckpointFormat.checksumSize
    }

    public init(_ kind: CheckpointKind, payloadSize: Int, to bytes: UnsafeMutablePointer<UInt8>) {
        self.bytes = bytes
        end = CheckpointWriter.size(payload: payloadSize)
        write(CheckpointFormat.magic)
        write(kind.version)
        write(kind.rawValue)
        write(UInt64(truncatingIfNeeded: payloadSize))
    }

    @inline(never)
    public mutating func write<Integer: FixedWidthInteger>(_ value: Integer) {
        let size = MemoryLayout<Integer>.size
        if position &+ size > end {
            position = end
            return
        }
        UnsafeMutableRawPointer(bytes + position).storeBytes(of: value.littleEndian, as: Integer.self)
        position &+= size
    }

    @inline(never)
    public mutating func write(_ value: Double) { write(value.bitPattern) }

    @inline(never)
    public mutating func write(_ values: UnsafePointer<Double>, count: Int) {
        var index = 0
        while index < count {
            write(values[index])
            index &+= 1
        }
    }

    public mutating func finish() {
        var checksum = Checksum()
        checksum.add(bytes, count: position)
        write(checksum.value)
    }
}

/// Reads the payload of bytes that have been checked whole. Reading beyond the end gives zeros and makes
/// `finish` fail.
public struct CheckpointReader {
    private let bytes: UnsafePointer<UInt8>
    private let end: Int
    private var position = 0
    /// The format of the payload.
    public private(set) var version: UInt32 = 0

    public init(_ kind: CheckpointKind, bytes: UnsafePointer<UInt8>, size: Int) throws(Failure) {
        self.bytes = bytes
        let smallest = CheckpointWriter.size(payload: 0)
        end = size &- CheckpointFormat.checksumSize
        guard size >= smallest else {
            throw Failure(
                .checkpointTruncated, "checkpoint is too short: bytes found and needed", integers: size, smallest)
        }
        guard read(UInt32.self) == CheckpointFormat.magic else {
            throw Failure(.checkpointKind, "checkpoint is not one of v05: it must begin with \"v05c\"")
        }
        version = read(UInt32.self)
        let foundKind = read(UInt32.self)
        // Another object is told apart below, whatever its format.
        let known = foundKind == kind.rawValue ? kind.version : CheckpointFormat.newest
        guard version >= 1 && version <= known else {
            throw Failure(
                .checkpointVersion, "checkpoint has a format that this release does not read: found and known",
                integers: Int(version), Int(known))
        }
        let payload = read(UInt64.self)
        guard payload == UInt64(truncatingIfNeeded: size &- smallest) else {
            throw Failure(
                .checkpointTruncated, "checkpoint must have the length that it says: payload found and said",
                integers: size &- smallest, Int(truncatingIfNeeded: payload & UInt64(Int.max)))
        }
        var checksum = Checksum()
        checksum.add(bytes, count: end)
        var tail = CheckpointReader(bytes: bytes, position: end, end: size)
        guard tail.read(UInt32.self) == checksum.value else {
            throw Failure(.checkpointCorrupted, "checkpoint is damaged: its checksum does not match")
        }
        guard foundKind == kind.rawValue else {
            throw Failure(
                .checkpointKind, "checkpoint is of another object: kind found and wanted",
                integers: Int(foundKind), Int(kind.rawValue))
        }
    }

    private init(bytes: UnsafePointer<UInt8>, position: Int, end: Int) {
        self.bytes = bytes
        self.position = position
        self.end = end
    }

    @inline(never)
    public mutating func read<Integer: FixedWidthInteger>(_ type: Integer.Type) -> Integer {
        let value = peek(type, behind: 0)
        position &+= MemoryLayout<Integer>.size
        return value
    }

    /// What lies so many bytes behind that which is read next; 0 beyond the end.
    @inline(__always)
    public func peek<Integer: FixedWidthInteger>(_ type: Integer.Type, behind offset: Int) -> Integer {
        let place = position &+ offset
        if place &+ MemoryLayout<Integer>.size > end { return 0 }
        return Integer(littleEndian: UnsafeRawPointer(bytes + place).loadUnaligned(as: Integer.self))
    }

    /// Goes on so many bytes behind, of which `peek` has told all.
    @inline(__always)
    public mutating func skip(_ size: Int) { position &+= size }

    @inline(never)
    public mutating func readDouble() -> Double { Double(bitPattern: read(UInt64.self)) }

    @inline(never)
    public mutating func read(to values: UnsafeMutablePointer<Double>, count: Int) {
        var index = 0
        while index < count {
            values[index] = readDouble()
            index &+= 1
        }
    }

    public mutating func readInterval() throws(Failure) -> Interval {
        let low = readDouble()
        let high = readDouble()
        guard low < high && low.magnitude <= largestReward && high.magnitude <= largestReward else {
            throw Failure(.checkpointCorrupted, "checkpoint must hold a finite reward_range", reals: low, high)
        }
        return Interval(low: low, high: high)
    }

    /// Bytes of the payload that have not been read.
    public var remaining: Int { end &- position }

    /// All of the payload must have been read, and no more.
    public func finish() throws(Failure) {
        guard position == end else {
            throw Failure(
                .checkpointCorrupted, "checkpoint must have the payload of its kind: bytes read and there",
                integers: position, end)
        }
    }
}
