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
        2 &* Workspace.size(of: Int64.self, count: rowCount &+ 1)
            &+ RadixSort.workspaceSize(count: rowCount) &+ Workspace.size(of: Int32.self, count: rowCount)
    }

    /// Groups by ids in any order, in time linear in the rows whatever the ids are: a stable radix sort of
    /// (id - smallest id), or no sort at all where the ids never fall. A hash table would be as fast on
    /// friendly ids but can be made to crawl by unfriendly ones.
    @_optimize(speed)
    init(ids: UnsafePointer<Int64>, rowCount: Int, workspace: inout Workspace) throws(Failure) {
        if let runs = try Grouping(runsOf: ids, rowCount: rowCount, workspace: &workspace) {
            self = runs
            return
        }
        let offsets = try workspace.take(Int64.self, count: rowCount &+ 1)
        var sort = try RadixSort(count: rowCount, workspace: &workspace)
        sort.sort(ids)
        let groupOfRow = sort.spareRows
        let rankOfGroup = try workspace.take(Int32.self, count: rowCount)
        let sizeOfGroup = sort.spareKeys

        // Runs of equal keys are the groups, numbered by id.
        var position = 0
        var sortedGroup = -1
        while position < rowCount {
            if position == 0 || sort.keys[position] != sort.keys[position &- 1] {
                sortedGroup &+= 1
                rankOfGroup[sortedGroup] = -1
                sizeOfGroup[sortedGroup] = 0
            }
            groupOfRow[Int(truncatingIfNeeded: sort.rows[position])] = Int32(truncatingIfNeeded: sortedGroup)
            sizeOfGroup[sortedGroup] &+= 1
            position &+= 1
        }
        // Rows in order meet the groups in order of first appearance; a group met for the first time gets
        // the next rank and its place, kept in offsets[rank + 1] until its rows have moved it to the end.
        var groupCount = 0
        var start: Int64 = 0
        var row = 0
        offsets[0] = 0
        while row < rowCount {
            let group = Int(truncatingIfNeeded: groupOfRow[row])
            if rankOfGroup[group] < 0 {
                rankOfGroup[group] = Int32(truncatingIfNeeded: groupCount)
                groupCount &+= 1
                offsets[groupCount] = start
                start &+= Int64(truncatingIfNeeded: sizeOfGroup[group])
            }
            let rank = Int(truncatingIfNeeded: rankOfGroup[group])
            sort.rows[Int(truncatingIfNeeded: offsets[rank &+ 1])] = Int32(truncatingIfNeeded: row)
            offsets[rank &+ 1] &+= 1
            row &+= 1
        }
        self.init(groupCount: groupCount, offsets: UnsafePointer(offsets), rows: UnsafePointer(sort.rows))
    }

    /// Where ids never fall, groups are runs; nil where an id falls.
    @_optimize(speed)
    init?(runsOf ids: UnsafePointer<Int64>, rowCount: Int, workspace: inout Workspace) throws(Failure) {
        let offsets = try workspace.take(Int64.self, count: rowCount &+ 1)
        offsets[0] = 0
        var groupCount = 0
        var row = 1
        while row < rowCount {
            if ids[row] != ids[row &- 1] {
                if ids[row] < ids[row &- 1] { return nil }
                groupCount &+= 1
                offsets[groupCount] = Int64(truncatingIfNeeded: row)
            }
            row &+= 1
        }
        if rowCount > 0 {
            groupCount &+= 1
            offsets[groupCount] = Int64(truncatingIfNeeded: rowCount)
        }
        self.init(groupCount: groupCount, offsets: UnsafePointer(offsets), rows: nil)
    }
}
