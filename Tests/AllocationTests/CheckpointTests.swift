import Estimation
import Testing
@testable import Allocation

struct CheckpointTests {
    /// The payload, changed at one place, under a checksum that is right.
    private func changed<Number: FixedWidthInteger>(_ bytes: [UInt8], at offset: Int, to value: Number) -> [UInt8] {
        var bytes = bytes
        let start = 20 + offset
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(start..<start + $0.count, with: $0) }
        var checksum: UInt32 = .max
        for byte in bytes.dropLast(4) {
            checksum ^= UInt32(byte)
            for _ in 0..<8 { checksum = checksum & 1 == 1 ? checksum >> 1 ^ 0xEDB8_8320 : checksum >> 1 }
        }
        withUnsafeBytes(of: (~checksum).littleEndian) { bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: $0) }
        return bytes
    }

    private func running() throws -> SequentialAllocator {
        var allocator = try SequentialAllocator.make(2, priors: [0.5, .nan]) { ($0.budget, $0.maximum) = (9, 6) }
        _ = allocator.request()
        try allocator.observe([0, 1, 1], [1, 0, 1], count: 3)
        return allocator
    }

    @Test func loadedAsSaved() throws {
        var allocator = try running()
        defer { allocator.release() }
        var loaded = try SequentialAllocator(loading: allocator.saved)
        defer { loaded.release() }
        #expect(loaded.saved == allocator.saved && loaded.isDone == allocator.isDone)
        #expect(loaded.request() == allocator.request())
        #expect((0..<2).map(loaded.count) == [1, 2] && (0..<2).map(loaded.inFlight) == [3, 2])
    }

    /// Offsets: budget 56, model 64, stopped 136, first prompt 160 (prior, initial, maximum, in flight).
    @Test func impossibleStates() throws {
        let allocator = try running()
        defer { allocator.release() }
        let saved = allocator.saved
        #expect(changed(saved, at: 56, to: Int64(9)) == saved)
        func refuse(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
            #expect(sourceLocation: sourceLocation) { try SequentialAllocator(loading: bytes).release() } throws: {
                $0 is Failure
            }
        }
        refuse(changed(saved, at: 64, to: UInt64(3)))  // no model of this number
        refuse(changed(saved, at: 136, to: UInt64(2)))  // neither stopped nor not
        refuse(changed(saved, at: 172, to: UInt32(3)))  // maximum below initial
        refuse(changed(saved, at: 176, to: UInt32(6)))  // 7 rollouts of at most 6
        refuse(changed(saved, at: 56, to: Int64(7)))  // initial rollouts beyond the budget
        // 6 and 4 started of a budget of 9
        refuse(changed(changed(saved, at: 176, to: UInt32(5)), at: 56, to: Int64(9)))
        let stopped = try SequentialAllocator(loading: changed(saved, at: 136, to: UInt64(1)))
        defer { stopped.release() }
        #expect(stopped.isStopped)
    }
}
