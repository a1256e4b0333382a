/// The group of every id of an array, numbered in order of first appearance, in time linear in the ids whatever they are.
///
/// Ids that lie close together are places of a table; others are looked up by hash. Ids can be made that hash alike; where the
/// search for a place gets long they are sorted instead.
struct GroupNumbers {
    private(set) var groupCount = 0
    /// (count)
    let numbers: UnsafeMutablePointer<Int32>
    private let count: Int
    /// Number of the group of a place. Where ids are places, -1 for none; where they are hashed, one more, and 0 for none.
    private let table: UnsafeMutablePointer<Int32>
    /// (groupCount), where ids are hashed.
    private let idOfGroup: UnsafeMutablePointer<Int64>
    private let memory: UnsafeMutableRawPointer

    private static var smallestTable: Int { 1024 }
    private static var longestSearch: Int { 200 }
    /// A table is at most so many times as long as the ids: more than the hash takes, half of whose places stay free.
    private static var placesPerId: Int { 4 }

    private static func tableSize(_ count: Int) -> Int { max(placesPerId &* count, smallestTable) }

    private static func memorySize(_ count: Int) -> Int {
        max(
            Workspace.size(of: Int32.self, count: tableSize(count)) &+ Workspace.size(of: Int64.self, count: count),
            // The memory is a workspace of its own then, which need not begin at a multiple of the alignment.
            RadixSort.workspaceSize(count: count) &+ Workspace.alignment)
    }

    static func workspaceSize(count: Int) -> Int {
        Workspace.size(of: Int32.self, count: count) &+ Workspace.size(of: UInt8.self, count: memorySize(count))
    }

    init(count: Int, workspace: inout Workspace) throws(Failure) {
        self.count = count
        numbers = try workspace.take(Int32.self, count: count)
        memory = UnsafeMutableRawPointer(try workspace.take(UInt8.self, count: GroupNumbers.memorySize(count)))
        table = memory.assumingMemoryBound(to: Int32.self)
        let behind = Workspace.size(of: Int32.self, count: GroupNumbers.tableSize(count))
        idOfGroup = (memory + behind).assumingMemoryBound(to: Int64.self)
    }

    /// Numbers all ids.
    mutating func number(_ ids: UnsafePointer<Int64>) throws(Failure) {
        if !number(ids, count) { try numberSorted(ids) }
    }

    /// Numbers the ids at the starts of runs, of which there are at most as many as ids; false where that would take too long.
    mutating func number(_ ids: UnsafePointer<Int64>, runs: UnsafePointer<Int64>, runCount: Int) -> Bool {
        // A group is never entered before its id has been read, so that both can use the same memory.
        var run = 0
        while run < runCount {
            idOfGroup[run] = ids[Int(truncatingIfNeeded: runs[run])]
            run &+= 1
        }
        return number(UnsafePointer(idOfGroup), runCount)
    }

    /// From numbers of runs to numbers of rows.
    func spread(runs: UnsafePointer<Int64>, runCount: Int) {
        // Backwards, since run r begins at row r or later.
        var run = runCount &- 1
        var row = count &- 1
        while run >= 0 {
            let number = numbers[run]
            let start = Int(truncatingIfNeeded: runs[run])
            while row >= start {
                numbers[row] = number
                row &-= 1
            }
            run &-= 1
        }
    }

    @_optimize(speed)
    @inline(never)
    private mutating func number(_ ids: UnsafePointer<Int64>, _ count: Int) -> Bool {
        groupCount = 0
        var smallest = Int64.max
        var largest = Int64.min
        var index = 0
        while index < count {
            let id = ids[index]
            smallest = id < smallest ? id : smallest
            largest = id > largest ? id : largest
            index &+= 1
        }
        if count == 0 { return true }
        let range = UInt64(bitPattern: largest &- smallest)
        if range < UInt64(truncatingIfNeeded: GroupNumbers.placesPerId &* count) {
            numberPlaces(ids, count, smallest, Int(truncatingIfNeeded: range) &+ 1)
            return true
        }
        return numberHashed(ids, count)
    }

    @inline(__always)
    private mutating func numberPlaces(_ ids: UnsafePointer<Int64>, _ count: Int, _ smallest: Int64, _ size: Int) {
        var place = 0
        while place < size {
            table[place] = -1
            place &+= 1
        }
        var groups: Int32 = 0
        var index = 0
        while index < count {
            let place = Int(truncatingIfNeeded: ids[index] &- smallest)
            var number = table[place]
            if number < 0 {
                number = groups
                table[place] = number
                groups &+= 1
            }
            numbers[index] = number
            index &+= 1
        }
        groupCount = Int(groups)
    }

    /// Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), the next free place where one is taken.
    @inline(__always)
    private static func place(of id: Int64, shift: UInt64) -> Int {
        Int(truncatingIfNeeded: (UInt64(bitPattern: id) &* 0x9E37_79B9_7F4A_7C15) &>> shift)
    }

    @inline(__always)
    private mutating func numberHashed(_ ids: UnsafePointer<Int64>, _ count: Int) -> Bool {
        var size = GroupNumbers.smallestTable
        var shift = clear(size)
        var groups = 0
        var before: Int32 = -1
        var idBefore: Int64 = 0
        var index = 0
        while index < count {
            let id = ids[index]
            if before < 0 || id != idBefore {
                var place = GroupNumbers.place(of: id, shift: shift)
                var found = table[place] &- 1
                var steps = 0
                while found >= 0 && idOfGroup[Int(found)] != id {
                    place = (place &+ 1) & (size &- 1)
                    found = table[place] &- 1
                    steps &+= 1
                    if steps > GroupNumbers.longestSearch { return false }
                }
                if found < 0 {
                    found = Int32(truncatingIfNeeded: groups)
                    table[place] = found &+ 1
                    idOfGroup[groups] = id
                    groups &+= 1
                    if 2 &* groups > size {
                        size &*= 2
                        shift = clear(size)
                        if !enter(groups, size, shift) { return false }
                    }
                }
                before = found
                idBefore = id
            }
            numbers[index] = before
            index &+= 1
        }
        groupCount = groups
        return true
    }

    /// Empties a table of so many places, a power of two; returns the shift that leaves as many bits of a hash.
    private func clear(_ size: Int) -> UInt64 {
        var place = 0
        while place < size {
            table[place] = 0
            place &+= 1
        }
        return UInt64(truncatingIfNeeded: size.leadingZeroBitCount &+ 1)
    }

    /// Enters the groups into a larger table.
    private func enter(_ groups: Int, _ size: Int, _ shift: UInt64) -> Bool {
        var group = 0
        while group < groups {
            var place = GroupNumbers.place(of: idOfGroup[group], shift: shift)
            var steps = 0
            while table[place] > 0 {
                place = (place &+ 1) & (size &- 1)
                steps &+= 1
                if steps > GroupNumbers.longestSearch { return false }
            }
            group &+= 1
            table[place] = Int32(truncatingIfNeeded: group)
        }
        return true
    }

    /// By a stable sort: runs of equal keys are the groups, and rows in order meet them in order of first appearance.
    private mutating func numberSorted(_ ids: UnsafePointer<Int64>) throws(Failure) {
        var workspace = Workspace(base: memory, size: GroupNumbers.memorySize(count))
        var sort = try RadixSort(count: count, workspace: &workspace)
        sort.sort(ids)
        let numberOfSorted = sort.spareKeys
        var sorted = -1
        var position = 0
        while position < count {
            if position == 0 || sort.keys[position] != sort.keys[position &- 1] {
                sorted &+= 1
                numberOfSorted[sorted] = .max
            }
            numbers[Int(truncatingIfNeeded: sort.rows[position])] = Int32(truncatingIfNeeded: sorted)
            position &+= 1
        }
        var groups = 0
        var row = 0
        while row < count {
            let sorted = Int(numbers[row])
            if numberOfSorted[sorted] == .max {
                numberOfSorted[sorted] = UInt64(truncatingIfNeeded: groups)
                groups &+= 1
            }
            numbers[row] = Int32(truncatingIfNeeded: numberOfSorted[sorted])
            row &+= 1
        }
        groupCount = groups
    }
}
