import Estimation
import SeededRandom
import Testing
@testable import Allocation

extension SequentialAllocator {
    static func make(_ count: Int, priors: [Double]? = nil, _ change: (inout Options) -> Void) throws
        -> SequentialAllocator
    {
        var options = Options()
        change(&options)
        return try SequentialAllocator(
            options: options, calibration: nil, count: count, priors: priors, initials: nil, maxima: nil)
    }

    mutating func request() -> [Int64] {
        var counts = [Int64](repeating: -77, count: promptCount)
        let sum = request(&counts)
        #expect(Int64(sum) == counts.reduce(0, +))
        return counts
    }

    var saved: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: CheckpointWriter.size(payload: savedSize))
        var writer = CheckpointWriter(.allocator, payloadSize: savedSize, to: &bytes)
        write(to: &writer)
        writer.finish()
        return bytes
    }

    init(loading bytes: [UInt8]) throws {
        var workspace = Workspace()
        defer { workspace.release() }
        var reader = try CheckpointReader(.allocator, bytes: bytes, size: bytes.count)
        self = try SequentialAllocator(from: &reader, workspace: &workspace)
    }
}
