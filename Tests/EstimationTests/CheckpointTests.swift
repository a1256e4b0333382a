import Testing
@testable import Estimation

struct CheckpointTests {
    private static var moments: RunningCalibration {
        var moments = RunningCalibration(interval: Interval(low: -1, high: 2), discount: 0.9)
        moments.updates = 7
        moments.withinSquares = 1.0 / 3
        moments.withinFreedom = 48
        moments.groups = 12.5
        moments.totalGroups = 17
        moments.regression.groups = 12.5
        moments.regression.meanPrior = 0.1
        moments.regression.meanReward = -0.2
        moments.regression.priorPrior = 3
        moments.regression.priorReward = -1.5
        moments.regression.rewardReward = 2
        moments.regression.inverseCount = 4
        moments.grand.groups = 17
        moments.grand.meanReward = .leastNonzeroMagnitude
        return moments
    }

    private static func bytes(of moments: RunningCalibration) -> [UInt8] {
        let size = CheckpointWriter.size(payload: RunningCalibration.savedSize)
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            var writer = CheckpointWriter(
                .runningCalibration, payloadSize: RunningCalibration.savedSize, to: buffer.baseAddress!)
            moments.write(to: &writer)
            writer.finish()
            count = size
        }
    }

    private static func read(_ bytes: [UInt8]) throws(Failure) -> RunningCalibration {
        // An exact copy on the heap, so that the address sanitizer sees a byte too many.
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        copy.initialize(from: bytes, count: bytes.count)
        defer { copy.deallocate() }
        var reader = try CheckpointReader(.runningCalibration, bytes: copy, size: bytes.count)
        return try RunningCalibration(from: &reader)
    }

    @Test func roundTrip() throws {
        let bytes = CheckpointTests.bytes(of: CheckpointTests.moments)
        let read = try CheckpointTests.read(bytes)
        #expect(CheckpointTests.bytes(of: read) == bytes)
        #expect(read.updates == 7 && read.regression.meanReward == -0.2 && read.interval.high == 2)
    }

    /// "v05c", version 1, kind 1, length of the payload; the checksum at the end.
    @Test func layout() {
        let bytes = CheckpointTests.bytes(of: CheckpointTests.moments)
        #expect(bytes.count == 20 + RunningCalibration.savedSize + 4)
        #expect(
            Array(bytes[0..<20]) == Array("v05c".utf8) + [
                1, 0, 0, 0, 1, 0, 0, 0, UInt8(RunningCalibration.savedSize), 0, 0, 0, 0, 0, 0, 0,
            ])
        #expect(Array(bytes[20..<28]) == [0, 0, 0, 0, 0, 0, 0xF0, 0xBF], "the lower end of the interval, -1")
    }

    @Test func everyDamagedByteIsRefused() {
        let bytes = CheckpointTests.bytes(of: CheckpointTests.moments)
        for place in bytes.indices {
            for flipped in UInt8(1)...255 {
                var damaged = bytes
                damaged[place] ^= flipped
                if (try? CheckpointTests.read(damaged)) != nil {
                    Issue.record("byte \(place) changed by \(flipped) was accepted")
                }
            }
        }
    }

    @Test func everyTruncationIsRefused() {
        let bytes = CheckpointTests.bytes(of: CheckpointTests.moments)
        for size in 0..<bytes.count {
            let failure = #expect(throws: Failure.self) { try CheckpointTests.read(Array(bytes[..<size])) }
            #expect(failure?.kind == .checkpointTruncated)
        }
        #expect(throws: Failure.self) { try CheckpointTests.read(bytes + [0]) }
    }

    @Test(
        "Says what is wrong",
        arguments: [
            (0, .checkpointKind), (4, .checkpointVersion), (8, .checkpointCorrupted), (12, .checkpointTruncated),
            (30, .checkpointCorrupted),
        ] as [(Int, Failure.Kind)])
    func kindOfDamage(_ place: Int, _ kind: Failure.Kind) {
        var bytes = CheckpointTests.bytes(of: CheckpointTests.moments)
        bytes[place] ^= 2
        #expect(#expect(throws: Failure.self) { try CheckpointTests.read(bytes) }?.kind == kind)
    }

    /// A checksum that matches does not make impossible contents acceptable.
    @Test func impossibleContents() {
        let changes: [(inout RunningCalibration) -> Void] = [
            { $0.discount = 2 }, { $0.discount = .nan }, { $0.interval = Interval(low: 1, high: 1) },
            { $0.interval = Interval(low: 0, high: .infinity) }, { $0.interval = Interval(low: .nan, high: 1) },
            { $0.withinSquares = -1 }, { $0.groups = .nan }, { $0.totalGroups = -1 }, { $0.updates = -1 },
            { $0.regression.priorPrior = -1e-300 }, { $0.regression.priorReward = .infinity },
            { $0.grand.meanReward = .nan },
            { $0.grand.inverseCount = -1 },
        ]
        for change in changes {
            var moments = CheckpointTests.moments
            change(&moments)
            #expect(throws: Failure.self) { try CheckpointTests.read(CheckpointTests.bytes(of: moments)) }
        }
    }

    /// The check value of CRC-32 (IEEE 802.3).
    @Test func checksum() {
        var checksum = Checksum()
        #expect(checksum.value == 0)
        for byte in "123456789".utf8 { checksum.add(byte) }
        #expect(checksum.value == 0xCBF4_3926)
        // Eight bytes at a time or one after the other.
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ 7) }
        for count in 0...bytes.count {
            var together = Checksum()
            var single = Checksum()
            together.add(bytes, count: count / 3)
            together.add(Array(bytes[(count / 3)..<count]), count: count - count / 3)
            bytes.prefix(count).forEach { single.add($0) }
            #expect(together.value == single.value)
        }
    }
}
