import CLibrary

/// The memory of a history or tracker: one entry per key, found by hash, in the order in which keys were last recorded.
///
/// Memory comes from `malloc`, in columns: 36 bytes an entry, 52 with slow sums, and 4 bytes a place of the hash index, at
/// most half of whose places are taken: 1,000,000 keys need 46 MB, 63 with slow sums.
struct HistoryTable {
    private(set) var count = 0
    private var capacity = 0
    private var indexSize = 0
    private var index: UnsafeMutablePointer<Int32>?
    private var keyColumn: UnsafeMutablePointer<UInt64>?
    private var successColumn: UnsafeMutablePointer<Double>?
    private var strengthColumn: UnsafeMutablePointer<Double>?
    private var slowSuccessColumn: UnsafeMutablePointer<Double>?
    private var slowStrengthColumn: UnsafeMutablePointer<Double>?
    private var stepColumn: UnsafeMutablePointer<Int32>?
    private var olderColumn: UnsafeMutablePointer<Int32>?
    private var newerColumn: UnsafeMutablePointer<Int32>?
    private(set) var oldest: Int32 = -1
    private var newest: Int32 = -1
    /// A second pair of sums per key.
    let hasSlowSums: Bool

    init(hasSlowSums: Bool = false) { self.hasSlowSums = hasSlowSums }

    struct Entry {
        var key: UInt64
        /// a: discounted sum of rewards as fractions of the interval.
        var successes: Double
        /// n: discounted number of rewards.
        var strength: Double
        var step: Int32
        /// It began with a value of its own, which stands where the level of the batches would.
        var hasStart = false
        /// Both sums once more, discounted less.
        var slowSuccesses = 0.0
        var slowStrength = 0.0
    }

    func release() {
        free(index)
        free(keyColumn)
        free(successColumn)
        free(strengthColumn)
        free(slowSuccessColumn)
        free(slowStrengthColumn)
        free(stepColumn)
        free(olderColumn)
        free(newerColumn)
    }

    /// Mixes all bits of a key (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
    private static func mixed(_ key: UInt64) -> UInt64 {
        var bits = key &+ 0x9E37_79B9_7F4A_7C15
        bits = (bits ^ (bits &>> 30)) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ (bits &>> 27)) &* 0x94D0_49BB_1331_11EB
        return bits ^ (bits &>> 31)
    }

    /// The place of a key in the index, or the free place where it would go.
    private func place(of key: UInt64, in index: UnsafeMutablePointer<Int32>) -> Int {
        var place = Int(truncatingIfNeeded: HistoryTable.mixed(key)) & (indexSize &- 1)
        while index[place] >= 0, let keyColumn, keyColumn[Int(index[place])] != key {
            place = (place &+ 1) & (indexSize &- 1)
        }
        return place
    }

    /// Brings closer where the index says whether it has a key.
    @inline(__always)
    func prefetchPlace(of key: UInt64) {
        guard let index, indexSize > 0 else { return }
        v05_prefetch(index + (Int(truncatingIfNeeded: HistoryTable.mixed(key)) & (indexSize &- 1)))
    }

    /// Brings the key closer that has the place of a key, once that is close, and says whose it is; -1: it is free.
    @inline(__always)
    @discardableResult
    func prefetchKey(of key: UInt64) -> Int32 {
        guard let index, let keyColumn, indexSize > 0 else { return -1 }
        let entry = index[Int(truncatingIfNeeded: HistoryTable.mixed(key)) & (indexSize &- 1)]
        if entry >= 0 { v05_prefetch(keyColumn + Int(entry)) }
        return entry
    }

    /// Brings the entry closer that a key most likely has, once its place is close.
    @inline(__always)
    func prefetchEntry(of key: UInt64) { prefetchSums(prefetchKey(of: key)) }

    /// Brings the columns of an entry closer, but for its key and its neighbours in time.
    @inline(__always)
    func prefetchSums(_ entry: Int32) {
        guard entry >= 0, let successColumn, let strengthColumn, let stepColumn else { return }
        v05_prefetch(successColumn + Int(entry))
        v05_prefetch(strengthColumn + Int(entry))
        v05_prefetch(stepColumn + Int(entry))
    }

    /// Brings closer what `makeNewest` needs of an entry, first itself and then its neighbours.
    @inline(__always)
    func prefetchLinks(_ entry: Int32) {
        guard entry >= 0, let olderColumn, let newerColumn else { return }
        v05_prefetch(olderColumn + Int(entry))
        v05_prefetch(newerColumn + Int(entry))
    }

    @inline(__always)
    func prefetchNeighbours(_ entry: Int32) {
        guard entry >= 0, let olderColumn, let newerColumn else { return }
        v05_prefetch(newerColumn + max(0, Int(olderColumn[Int(entry)])))
        v05_prefetch(olderColumn + max(0, Int(newerColumn[Int(entry)])))
    }

    /// The entry of a key, -1 for none.
    @inline(never)
    func find(_ key: UInt64) -> Int32 {
        guard let index, indexSize > 0 else { return -1 }
        return index[place(of: key, in: index)]
    }

    subscript(_ entry: Int32) -> Entry {
        get {
            guard let keyColumn, let successColumn, let strengthColumn, let stepColumn else {
                return Entry(key: 0, successes: 0, strength: 0, step: 0)
            }
            let at = Int(entry)
            // No step is negative, so that its sign can say whether there is a start.
            let step = stepColumn[at]
            return Entry(
                key: keyColumn[at], successes: successColumn[at], strength: strengthColumn[at],
                step: step < 0 ? ~step : step, hasStart: step < 0, slowSuccesses: slowSuccessColumn?[at] ?? 0,
                slowStrength: slowStrengthColumn?[at] ?? 0)
        }
        nonmutating set {
            let at = Int(entry)
            keyColumn?[at] = newValue.key
            successColumn?[at] = newValue.successes
            strengthColumn?[at] = newValue.strength
            slowSuccessColumn?[at] = newValue.slowSuccesses
            slowStrengthColumn?[at] = newValue.slowStrength
            stepColumn?[at] = newValue.hasStart ? ~newValue.step : newValue.step
        }
    }

    /// The entry recorded next after this one, -1 after the newest.
    func newer(than entry: Int32) -> Int32 { newerColumn?[Int(entry)] ?? -1 }

    /// Makes room for `additional` more entries. On failure nothing has changed.
    mutating func reserve(_ additional: Int) throws(Failure) {
        let needed = count &+ additional
        if needed > largestRowCount / 4 {
            throw Failure(.invalidSize, "keys must leave the history at 536870911 keys or fewer", integer: needed)
        }
        if needed <= capacity { return }
        var newCapacity = max(capacity, 1024)
        while newCapacity < needed { newCapacity &*= 2 }
        let newIndexSize = 2 &* newCapacity

        guard let newIndex = malloc(newIndexSize &* 4)?.assumingMemoryBound(to: Int32.self) else {
            throw HistoryTable.outOfMemory(newCapacity)
        }
        // A column that has grown stays valid where a later one cannot grow.
        guard grow(&keyColumn, newCapacity), grow(&successColumn, newCapacity), grow(&strengthColumn, newCapacity),
            grow(&stepColumn, newCapacity), grow(&olderColumn, newCapacity), grow(&newerColumn, newCapacity),
            !hasSlowSums || (grow(&slowSuccessColumn, newCapacity) && grow(&slowStrengthColumn, newCapacity))
        else {
            free(newIndex)
            throw HistoryTable.outOfMemory(newCapacity)
        }
        capacity = newCapacity
        indexSize = newIndexSize
        memset(newIndex, 0xFF, newIndexSize &* 4)
        free(index)
        index = newIndex
        var entry = 0
        while entry < count {
            newIndex[place(of: self[Int32(truncatingIfNeeded: entry)].key, in: newIndex)] = Int32(
                truncatingIfNeeded: entry)
            entry &+= 1
        }
    }

    /// Makes room for the keys of another that this one does not have.
    @inline(never)
    mutating func reserve(for other: HistoryTable) throws(Failure) {
        var unseen = 0
        var entry = other.oldest
        while entry >= 0 {
            if find(other[entry].key) < 0 { unseen &+= 1 }
            entry = other.newer(than: entry)
        }
        try reserve(unseen)
    }

    private func grow<Element>(_ column: inout UnsafeMutablePointer<Element>?, _ capacity: Int) -> Bool {
        guard let grown = realloc(column, capacity &* MemoryLayout<Element>.stride) else { return false }
        column = grown.assumingMemoryBound(to: Element.self)
        return true
    }

    private static func outOfMemory(_ entries: Int) -> Failure {
        Failure(.outOfMemory, "history could not grow, entries", integer: entries)
    }

    /// Adds an entry as the newest one, for which room must be reserved. -1 where the key is there already.
    @inline(never)
    mutating func insert(_ entry: Entry) -> Int32 {
        let at = Int32(truncatingIfNeeded: count)
        guard let index, count < capacity else { return -1 }
        let place = place(of: entry.key, in: index)
        if index[place] >= 0 { return -1 }
        index[place] = at
        count &+= 1
        self[at] = entry
        append(at)
        return at
    }

    @inline(never)
    mutating func makeNewest(_ entry: Int32) {
        if entry == newest { return }
        unlink(entry)
        append(entry)
    }

    /// Takes out the entry that was recorded longest ago.
    mutating func removeOldest() {
        let entry = oldest
        guard entry >= 0, let index else { return }
        unlink(entry)
        remove(place(of: self[entry].key, in: index), from: index)
        // The last entry moves into the gap, so that entries stay side by side.
        count &-= 1
        let last = Int32(truncatingIfNeeded: count)
        if entry != last {
            index[place(of: self[last].key, in: index)] = entry
            self[entry] = self[last]
            let older = olderColumn?[Int(last)] ?? -1
            let newer = newerColumn?[Int(last)] ?? -1
            olderColumn?[Int(entry)] = older
            newerColumn?[Int(entry)] = newer
            if older >= 0 { newerColumn?[Int(older)] = entry } else { oldest = entry }
            if newer >= 0 { olderColumn?[Int(newer)] = entry } else { newest = entry }
        }
    }

    /// Takes out the oldest entries beyond a number; 0: none.
    @inline(never)
    mutating func trim(to capacity: Int) {
        while capacity > 0 && count > capacity { removeOldest() }
    }

    /// Frees a place of the index and closes the gap, so that no probe ends too early.
    private func remove(_ place: Int, from index: UnsafeMutablePointer<Int32>) {
        var gap = place
        var next = (gap &+ 1) & (indexSize &- 1)
        while index[next] >= 0 {
            let home = Int(truncatingIfNeeded: HistoryTable.mixed(self[index[next]].key)) & (indexSize &- 1)
            if (next &- home) & (indexSize &- 1) >= (next &- gap) & (indexSize &- 1) {
                index[gap] = index[next]
                gap = next
            }
            next = (next &+ 1) & (indexSize &- 1)
        }
        index[gap] = -1
    }

    private mutating func append(_ entry: Int32) {
        olderColumn?[Int(entry)] = newest
        newerColumn?[Int(entry)] = -1
        if newest >= 0 { newerColumn?[Int(newest)] = entry } else { oldest = entry }
        newest = entry
    }

    private mutating func unlink(_ entry: Int32) {
        let older = olderColumn?[Int(entry)] ?? -1
        let newer = newerColumn?[Int(entry)] ?? -1
        if older >= 0 { newerColumn?[Int(older)] = newer } else { oldest = newer }
        if newer >= 0 { olderColumn?[Int(newer)] = older } else { newest = older }
    }
}
