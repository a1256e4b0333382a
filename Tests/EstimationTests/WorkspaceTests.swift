import SeededRandom
import Testing
@testable import Estimation

struct WorkspaceTests {
    @Test func piecesAreAlignedAndApart() throws {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 64)
        defer { memory.deallocate() }
        for shift in 0..<64 {
            var workspace = Workspace(base: memory + shift, size: 4096 - 64)
            let first = UnsafeMutableRawPointer(try workspace.take(UInt8.self, count: 1))
            let second = UnsafeMutableRawPointer(try workspace.take(Double.self, count: 9))
            let third = UnsafeMutableRawPointer(try workspace.take(Int32.self, count: 3))
            #expect(first >= memory + shift && first < memory + shift + 64)
            #expect([first, second, third].allSatisfy { UInt(bitPattern: $0) % 64 == 0 })
            #expect(second - first >= 1 && third - second >= 72)
        }
    }

    @Test func everyByteCounts() throws {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 64)
        defer { memory.deallocate() }
        for count in [0, 1, 7, 8, 9, 64, 100] {
            let size = Workspace.size(of: Double.self, count: count)
            #expect(size >= 8 * count)
            var exact = Workspace(base: memory, size: size)
            _ = try exact.take(Double.self, count: count)
            guard size > 0 else { continue }
            var short = Workspace(base: memory, size: size - 1)
            let failure = try #require(throws: Failure.self) { try short.take(Double.self, count: count) }
            #expect(failure.kind == .workspaceTooSmall)
        }
    }

    @Test func piecesFromMalloc() throws {
        var workspace = Workspace()
        var pieces: [UnsafeMutablePointer<Int64>] = []
        for count in [0, 1, 100, 10_000] {
            let piece = try workspace.take(Int64.self, count: count)
            piece.initialize(repeating: Int64(count), count: count)
            pieces.append(piece)
        }
        #expect(pieces[2][99] == 100 && pieces[3][0] == 10_000)
        workspace.release()
        workspace.release()
    }

    /// What the query says always suffices, wherever the block begins; less either suffices too or is refused, and
    /// nothing behind the block is touched.
    @Test func querySuffices() throws {
        var random = SeededRandom(1)
        let interval = Interval(low: 0, high: 1)
        let batches = [
            Rollouts(rewards: [1], ids: [5], priors: [0.5]),
            Rollouts(rewards: [1, 0, 1], ids: [3, 2, 1], priors: [0.5, 0.2, .nan]),
            Rollouts(rewards: [1, 0, 1, 0], ids: [1, 1, 2, 2]),
            Rollouts.random(groupCount: 12, largest: 5, in: interval, using: &random),
            Rollouts(rewards: [1, 0, 0.1], offsets: [0, 2, 2, 3], priors: [0.5, 0.2, .nan]),
        ]
        var twoValued = Rollouts.random(groupCount: 14, largest: 5, in: interval, using: &random)
        twoValued.rewards = twoValued.rewards.map { $0.rounded() }
        twoValued.mask = nil
        for rollouts in batches + [twoValued] {
            let isTwoValued = rollouts.rewards.allSatisfy { $0 == 0 || $0 == 1 }
            for options in AllOptions.over(interval, isTwoValued: isTwoValued)
            where options.scale == .none && options.singleton == .zero {
                let size = BatchEstimation.workspaceSize(
                    rowCount: rollouts.rewards.count, groupCount: rollouts.offsets.map { $0.count - 1 },
                    options: options)
                let expected = try rollouts.estimate(options).advantages
                let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: size + 128)
                defer { memory.deallocate() }
                let sizes = [size] + stride(from: 0, to: size, by: max(1, size / 20))
                for (shift, given) in zip((0...).lazy.map { $0 % 64 }, sizes) {
                    for wantsGroups in [true, false] {
                        memory.initialize(repeating: 0xA5, count: size + 128)
                        var workspace = Workspace(base: memory + shift, size: given)
                        do {
                            let found =
                                wantsGroups
                                ? try rollouts.estimate(options, workspace: &workspace).advantages
                                : try rollouts.advantages(options, workspace: &workspace)
                            #expect(found == expected)
                        } catch let failure as Failure {
                            #expect(failure.kind == .workspaceTooSmall)
                            #expect(given < size)
                        }
                        let isUntouched = (shift + given..<size + 128).allSatisfy { memory[$0] == 0xA5 }
                        #expect(isUntouched)
                    }
                }
            }
        }
    }
}
