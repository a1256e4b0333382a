/// Which rows belong to which group: group g holds the positions offsets[g] ..< offsets[g + 1], groups in
/// order of first appearance, rows of a group in ascending order. Where the rows of every group already
/// lie side by side in that order, `rows` is nil and a position is a row.
struct Grouping {
    let groupCount: Int
    let offsets: UnsafePointer<Int64>
    let rows: UnsafePointer<Int32>?

    @inline(__always)
    func row(at position: Int) -> Int {
        guard let rows else { return position }
        return Int(truncatingIfNeeded: rows[position])
    }

    @inline(__always)
    func start(_ group: Int) -> Int { Int(truncatingIfNeeded: offsets[group]) }

    var largestGroup: Int {
        var largest = 0
        var group = 0
        while group < groupCount {
            largest = max(largest, size(group))
            group &+= 1
        }
        return largest
    }

    @inline(__always)
    func size(_ group: Int) -> Int { Int(truncatingIfNeeded: offsets[group &+ 1] &- offsets[group]) }
}

extension Grouping {
    /// Groups by offsets that the caller has: group g is the rows offsets[g] ..< offsets[g + 1].
    @inline(never)
    init(offsets: UnsafePointer<Int64>, groupCount: Int, rowCount: Int) throws(Failure) {
        var previous: Int64 = 0
        var group = 0
        while group <= groupCount {
            let offset = offsets[group]
            if group == 0 && offset != 0 {
                throw Failure(.invalidOffsets, "group_offsets[#] must be 0", at: 0, integer: Int(offset))
            }
            if offset < previous {
                throw Failure(
                    .invalidOffsets, "group_offsets[#] must not be less than the offset before it",
                    at: group, integers: Int(previous), Int(offset))
            }
            previous = offset
            group &+= 1
        }
        if previous != Int64(rowCount) {
            throw Failure(
                .invalidOffsets, "group_offsets[#] must equal row_count",
                at: groupCount, integers: Int(previous), rowCount)
        }
        self.init(groupCount: groupCount, offsets: offsets, rows: nil)
    }

    /// Memory that `init(ids:)` takes from a workspace.
    static func workspaceSize(rowCount: Int) -> Int {
        Workspace.size(of: Int64.self, count: rowCount &+ 1) &+ Workspace.size(of: Int32.self, count: rowCount)
            &+ GroupNumbers.workspaceSize(count: rowCount)
    }

    /// Groups by ids in any order.
    init(ids: UnsafePointer<Int64>, rowCount: Int, workspace: inout Workspace) throws(Failure) {
        let offsets = try workspace.take(Int64.self, count: rowCount &+ 1)
        let runs = IdRuns(ids, rowCount: rowCount, offsets: offsets)
        if runs.areGroups {
            self.init(groupCount: runs.count, offsets: UnsafePointer(offsets), rows: nil)
            return
        }
        var numbers = try GroupNumbers(count: rowCount, workspace: &workspace)
        if runs.areFew && numbers.number(ids, runs: offsets, runCount: runs.count) {
            if numbers.groupCount == runs.count {
                self.init(groupCount: runs.count, offsets: UnsafePointer(offsets), rows: nil)
                return
            }
            numbers.spread(runs: offsets, runCount: runs.count)
        } else {
            try numbers.number(ids)
        }
        let rows = try workspace.take(Int32.self, count: rowCount)
        if numbers.groupCount == rowCount {
            var row = 0
            while row <= rowCount {
                offsets[row] = Int64(truncatingIfNeeded: row)
                row &+= 1
            }
            self.init(groupCount: rowCount, offsets: UnsafePointer(offsets), rows: nil)
            return
        }
        Grouping.order(numbers, rowCount: rowCount, offsets: offsets, rows: rows)
        self.init(groupCount: numbers.groupCount, offsets: UnsafePointer(offsets), rows: UnsafePointer(rows))
    }

    /// Rows of a group side by side, in ascending order.
    @_optimize(speed)
    private static func order(
        _ numbers: GroupNumbers, rowCount: Int, offsets: UnsafeMutablePointer<Int64>, rows: UnsafeMutablePointer<Int32>
    ) {
        let groups = numbers.groupCount
        let numbers = numbers.numbers
        var group = 0
        while group <= groups {
            offsets[group] = 0
            group &+= 1
        }
        var row = 0
        while row < rowCount {
            offsets[Int(numbers[row])] &+= 1
            row &+= 1
        }
        var start: Int64 = 0
        group = 0
        while group <= groups {
            let size = offsets[group]
            offsets[group] = start
            start &+= size
            group &+= 1
        }
        // Every start moves to the end of its group, which is the start of the next one.
        row = 0
        while row < rowCount {
            let group = Int(numbers[row])
            rows[Int(truncatingIfNeeded: offsets[group])] = Int32(truncatingIfNeeded: row)
            offsets[group] &+= 1
            row &+= 1
        }
        group = groups
        while group > 0 {
            offsets[group] = offsets[group &- 1]
            group &-= 1
        }
        offsets[0] = 0
    }
}

/// Runs of equal neighbouring ids.
struct IdRuns {
    private(set) var count = 0
    /// Ids never fall, so that every run is a group.
    private(set) var areGroups = true
    /// At most one for two rows; where they fall and are more, not all were counted.
    private(set) var areFew = true

    /// So many more runs than for every other row show that rows are mixed.
    static let margin = 128

    /// - Parameter offsets: of `rowCount` + 1; run r becomes the rows offsets[r] ..< offsets[r + 1].
    @_optimize(speed)
    @inline(never)
    init(_ ids: UnsafePointer<Int64>, rowCount: Int, offsets: UnsafeMutablePointer<Int64>) {
        offsets[0] = 0
        var row = 1
        while row < rowCount {
            if ids[row] != ids[row &- 1] {
                if ids[row] < ids[row &- 1] { areGroups = false }
                if !areGroups && 2 &* count > row &+ IdRuns.margin {
                    areFew = false
                    return
                }
                count &+= 1
                offsets[count] = Int64(truncatingIfNeeded: row)
            }
            row &+= 1
        }
        if rowCount > 0 {
            count &+= 1
            offsets[count] = Int64(truncatingIfNeeded: rowCount)
        }
    }
}
