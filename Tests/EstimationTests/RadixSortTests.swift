import SeededRandom
import Testing
@testable import Estimation

struct RadixSortTests {
    @Test(
        arguments: [
            .min ... .max, 0...0, -1...1, 0...2047, 0...2048, 0...(1 << 22), -(1 << 33)...(1 << 33), .min ... .min + 1,
            .max - 3000 ... .max,
        ] as [ClosedRange<Int64>])
    func sortsStably(_ range: ClosedRange<Int64>) throws {
        var random = SeededRandom(1)
        for count in [1, 2, 3, 10, 2000] {
            let ids =
                (0..<count).map { _ in Int64.random(in: range, using: &random) } + [range.upperBound, range.lowerBound]
            for ids in [ids, ids.sorted(), ids.sorted(by: >), ids + ids] {
                var workspace = Workspace()
                defer { workspace.release() }
                var sort = try RadixSort(count: ids.count, workspace: &workspace)
                sort.sort(ids)
                let smallest = ids.min()!
                let expected = ids.indices.sorted { (ids[$0], $0) < (ids[$1], $1) }
                #expect((0..<ids.count).map { Int(sort.rows[$0]) } == expected)
                #expect(
                    (0..<ids.count).map { Int64(bitPattern: sort.keys[$0]) &+ smallest } == expected.map { ids[$0] })
            }
        }
    }
}
