/// Stable sort of 64-bit ids with the rows they came from, one pass over the rows for every 11 bits between
/// the smallest and the largest id.
public struct RadixSort {
    static let digitBits = 11
    static let digitCount = 1 &<< digitBits

    private let count: Int
    private let counters: UnsafeMutablePointer<Int32>
    /// After `sort`: the ids less the smallest one, ascending, and the row of each.
    public private(set) var keys: UnsafeMutablePointer<UInt64>
    public private(set) var rows: UnsafeMutablePointer<Int32>
    /// After `sort`: memory of the same size, free for the caller.
    private(set) var spareKeys: UnsafeMutablePointer<UInt64>
    private(set) var spareRows: UnsafeMutablePointer<Int32>

    public static func workspaceSize(count: Int) -> Int {
        2 &* Workspace.size(of: UInt64.self, count: count) &+ 2 &* Workspace.size(of: Int32.self, count: count)
            &+ Workspace.size(of: Int32.self, count: digitCount)
    }

    public init(count: Int, workspace: inout Workspace) throws(Failure) {
        self.count = count
        keys = try workspace.take(UInt64.self, count: count)
        spareKeys = try workspace.take(UInt64.self, count: count)
        rows = try workspace.take(Int32.self, count: count)
        spareRows = try workspace.take(Int32.self, count: count)
        counters = try workspace.take(Int32.self, count: RadixSort.digitCount)
    }

    @_optimize(speed)
    public mutating func sort(_ ids: UnsafePointer<Int64>) {
        var smallest = Int64.max
        var largest = Int64.min
        var row = 0
        while row < count {
            smallest = min(smallest, ids[row])
            largest = max(largest, ids[row])
            row &+= 1
        }
        row = 0
        while row < count {
            keys[row] = UInt64(bitPattern: ids[row] &- smallest)
            rows[row] = Int32(truncatingIfNeeded: row)
            row &+= 1
        }
        let bits = 64 &- UInt64(bitPattern: largest &- smallest).leadingZeroBitCount
        var shift = 0
        while shift < bits {
            pass(shift: UInt64(truncatingIfNeeded: shift))
            shift &+= RadixSort.digitBits
        }
    }

    @_optimize(speed)
    private mutating func pass(shift: UInt64) {
        let mask = UInt64(truncatingIfNeeded: RadixSort.digitCount &- 1)
        var digit = 0
        while digit < RadixSort.digitCount {
            counters[digit] = 0
            digit &+= 1
        }
        var position = 0
        while position < count {
            counters[Int(truncatingIfNeeded: (keys[position] &>> shift) & mask)] &+= 1
            position &+= 1
        }
        var start: Int32 = 0
        digit = 0
        while digit < RadixSort.digitCount {
            let size = counters[digit]
            counters[digit] = start
            start &+= size
            digit &+= 1
        }
        position = 0
        while position < count {
            let key = keys[position]
            let digit = Int(truncatingIfNeeded: (key &>> shift) & mask)
            let target = Int(truncatingIfNeeded: counters[digit])
            counters[digit] &+= 1
            spareKeys[target] = key
            spareRows[target] = rows[position]
            position &+= 1
        }
        swap(&keys, &spareKeys)
        swap(&rows, &spareRows)
    }
}
