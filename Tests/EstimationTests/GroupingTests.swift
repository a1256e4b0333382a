import SeededRandom
import Testing
@testable import Estimation

struct GroupingTests {
    @Test func everyShortSequence() throws {
        let alphabet: [Int64] = [.min, -1, 0, .max]
        for length in 0...6 {
            var digits = [Int](repeating: 0, count: length)
            repeat {
                try check(digits.map { alphabet[$0] })
            } while advance(&digits, base: alphabet.count)
        }
    }

    @Test func everyOrderOfDistinctIds() throws {
        let ids: [Int64] = [.min, -5, 0, 7, .max]
        var digits = [0, 0, 0, 0, 0]
        repeat {
            if Set(digits).count == ids.count { try check(digits.map { ids[$0] }) }
        } while advance(&digits, base: ids.count)
    }

    @Test func randomIds() throws {
        var random = SeededRandom(1)
        for count in [10, 100, 1000, 5000] {
            for range: ClosedRange<Int64> in [
                .min ... .max, -3...3, 0...2047, 0...2048, .max - 5 ... .max, .min ... .min + 100, -1...(1 << 40),
            ] {
                var ids = (0..<count).map { _ in Int64.random(in: range, using: &random) }
                ids += [range.lowerBound, range.upperBound]
                try check(ids)
                try check(ids.sorted())
                try check(ids.sorted(by: >))
                ids += ids + ids
                try check(ids.shuffled(using: &random))
            }
        }
    }

    /// Groups whose rows lie side by side need no list of rows, whatever the order of their ids.
    @Test func runsOfDifferentIds() throws {
        var workspace = Workspace()
        defer { workspace.release() }
        for ids in [[1, 1, 2, 2, 2, 9], [2, 2, 1], [.max, .max, 0, 0, .min], [5, 4, 3, 2], [7]] as [[Int64]] {
            #expect(try Grouping(ids: ids, rowCount: ids.count, workspace: &workspace).rows == nil)
            try check(ids)
        }
        #expect(try Grouping(ids: [2, 1, 2], rowCount: 3, workspace: &workspace).rows != nil)
        var random = SeededRandom(4)
        for _ in 0..<10 {
            let singles = (0..<1000).map { _ in Int64.random(in: .min ... .max, using: &random) }
            #expect(try Grouping(ids: singles, rowCount: 1000, workspace: &workspace).rows == nil)
            try check(singles)
            let fours = singles.flatMap { [$0, $0, $0, $0] }
            #expect(try Grouping(ids: fours, rowCount: 4000, workspace: &workspace).rows == nil)
            try check(fours)
            try check(fours.shuffled(using: &random))
        }
    }

    /// Ids that all hash to the same place, as runs and mixed.
    @Test func unfriendlyIds() throws {
        var inverse: UInt64 = 1
        for _ in 0..<6 { inverse = inverse &* (2 &- 0x9E37_79B9_7F4A_7C15 &* inverse) }
        try #require(inverse &* 0x9E37_79B9_7F4A_7C15 == 1)
        var random = SeededRandom(5)
        for count in [100, 250, 3000] {
            let ids = (0..<count).map { Int64(bitPattern: UInt64($0) &* inverse) }
            try check(ids)
            try check(ids.flatMap { [$0, $0, $0] })
            try check((ids + ids).shuffled(using: &random))
        }
    }

    /// More groups than the first table holds, one after the other.
    @Test func growingTable() throws {
        var random = SeededRandom(6)
        for groups in [510, 511, 512, 513, 1024, 1025, 5000] {
            let ids = (0..<groups).map { _ in Int64.random(in: .min ... .max, using: &random) }
            try check((ids + ids.reversed() + ids).shuffled(using: &random))
        }
    }

    @Test func fitsInTheWorkspaceItAsksFor() throws {
        for count in [0, 1, 2, 17, 1000] {
            let ids = (0..<count).map { Int64(-$0) }
            let size = Grouping.workspaceSize(rowCount: count)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: Workspace.alignment)
            defer { memory.deallocate() }
            var workspace = Workspace(base: memory, size: size)
            #expect(try Grouping(ids: ids, rowCount: count, workspace: &workspace).groupCount == count)
        }
    }

    @Test func offsets() throws {
        try ([0, 2, 2, 5] as [Int64]).withUnsafeBufferPointer { offsets in
            let grouping = try Grouping(offsets: offsets.baseAddress!, groupCount: 3, rowCount: 5)
            #expect((0..<3).map { grouping.size($0) } == [2, 0, 3])
            #expect(grouping.largestGroup == 3)
            #expect(grouping.rows == nil)
        }
        #expect(try Grouping(offsets: [0], groupCount: 0, rowCount: 0).groupCount == 0)
    }

    @Test(
        arguments: [
            ([1, 2, 5], 0), ([-1, 2, 5], 0), ([0, -1, 5], 1), ([0, 3, 2], 2), ([0, 3, 4], 2), ([0, 3, 6], 2),
            ([0, .max, 5], 2),
            ([.min, 0, 5], 0), ([0, .min, 5], 1),
        ] as [([Int64], Int)])
    func refusedOffsets(_ offsets: [Int64], _ index: Int) throws {
        let failure = try #require(throws: Failure.self) { try Grouping(offsets: offsets, groupCount: 2, rowCount: 5) }
        #expect(failure.kind == .invalidOffsets)
        #expect(failure.index == index)
    }

    /// Against a dictionary.
    private func check(_ ids: [Int64]) throws {
        var expected: [[Int]] = []
        var place: [Int64: Int] = [:]
        for (row, id) in ids.enumerated() {
            if let group = place[id] {
                expected[group].append(row)
            } else {
                place[id] = expected.count
                expected.append([row])
            }
        }
        var workspace = Workspace()
        defer { workspace.release() }
        let grouping = try ids.withUnsafeBufferPointer { buffer in
            try Grouping(
                ids: buffer.baseAddress ?? UnsafePointer(bitPattern: 8)!, rowCount: ids.count, workspace: &workspace)
        }
        let found = (0..<grouping.groupCount).map { group in
            (0..<grouping.size(group)).map { grouping.row(at: grouping.start(group) + $0) }
        }
        #expect(found == expected)
        #expect(grouping.largestGroup == expected.map(\.count).max() ?? 0)
    }
}

/// Counts up; false after the last number.
func advance(_ digits: inout [Int], base: Int) -> Bool {
    for place in digits.indices {
        digits[place] += 1
        if digits[place] < base { return true }
        digits[place] = 0
    }
    return false
}
