import SeededRandom
import Testing
@testable import Estimation

struct HistoryTableTests {
    /// An array in order of recording and a dictionary: as slow as it likes, but plain.
    private struct Reference {
        private(set) var order: [UInt64] = []
        private(set) var entries: [UInt64: HistoryTable.Entry] = [:]

        mutating func insert(_ entry: HistoryTable.Entry) {
            order.append(entry.key)
            entries[entry.key] = entry
        }

        mutating func change(_ entry: HistoryTable.Entry) { entries[entry.key] = entry }

        mutating func makeNewest(_ key: UInt64) {
            order.removeAll { $0 == key }
            order.append(key)
        }

        mutating func removeOldest() {
            guard let key = order.first else { return }
            order.removeFirst()
            entries[key] = nil
        }
    }

    /// The index of a table of up to 1024 entries has 2048 places.
    private static let places: UInt64 = 2048

    /// Where a key belongs in that index: the mix of the table written down once more (SplitMix64).
    private static func home(_ key: UInt64) -> UInt64 {
        var random = SeededRandom(key)
        return random.next() % places
    }

    /// Keys whose homes lie in a few runs of places, one of them across the end of the index.
    private static func collidingKeys(_ count: Int, homes: [ClosedRange<UInt64>]) -> [UInt64] {
        Array((UInt64(0)...).lazy.filter { key in homes.contains { $0.contains(home(key)) } }.prefix(count))
    }

    private static func entry(_ key: UInt64, _ random: inout SeededRandom) -> HistoryTable.Entry {
        HistoryTable.Entry(
            key: key, successes: .random(in: 0...1, using: &random), strength: .random(in: 1...9, using: &random),
            step: .random(in: 0...99, using: &random))
    }

    private static func isEqual(_ one: HistoryTable.Entry, _ other: HistoryTable.Entry) -> Bool {
        one.key == other.key && one.successes == other.successes && one.strength == other.strength
            && one.step == other.step
    }

    /// Whether the table holds what the reference holds, in its order, and none of the other keys.
    private static func holds(_ table: HistoryTable, _ reference: Reference, keys: [UInt64]) -> Bool {
        var order: [UInt64] = []
        var entry = table.oldest
        while entry >= 0 && order.count <= reference.order.count {
            order.append(table[entry].key)
            entry = table.newer(than: entry)
        }
        return table.count == reference.order.count && order == reference.order
            && keys.allSatisfy { key in
                let found = table.find(key)
                guard let expected = reference.entries[key] else { return found == -1 }
                return found >= 0 && found < table.count && isEqual(table[found], expected)
            }
    }

    @Test(
        arguments: [
            [0...0], [2047...2047], [2046...2047, 0...1], [2040...2047, 0...0, 5...5], [7...7, 9...9, 11...12],
            [0...2047],
        ] as [[ClosedRange<UInt64>]])
    func behavesAsTheReference(_ homes: [ClosedRange<UInt64>]) throws {
        var random = SeededRandom(1)
        let keys = HistoryTableTests.collidingKeys(40, homes: homes)
        // Seldom and often, so that the table is now nearly empty and now nearly full of the keys.
        for removals in [1, 3, 6] {
            var table = HistoryTable()
            defer { table.release() }
            var reference = Reference()
            for _ in 0..<2000 {
                let key = keys.randomElement(using: &random)!
                if Int.random(in: 0..<10, using: &random) < removals {
                    table.removeOldest()
                    reference.removeOldest()
                } else {
                    let entry = HistoryTableTests.entry(key, &random)
                    let known = table.find(key)
                    if known < 0 {
                        try table.reserve(1)
                        let inserted = table.insert(entry)
                        #expect(inserted == Int32(table.count - 1))
                        reference.insert(entry)
                    } else {
                        table[known] = entry
                        table.makeNewest(known)
                        reference.change(entry)
                        reference.makeNewest(key)
                    }
                }
                let isAlike = HistoryTableTests.holds(table, reference, keys: keys)
                #expect(isAlike)
                if !isAlike { return }
            }
        }
    }

    @Test func keysCollideAsIntended() {
        for home in [UInt64(0), 7, 2047] {
            let keys = HistoryTableTests.collidingKeys(40, homes: [home...home])
            #expect(Set(keys).count == 40)
            #expect(keys.allSatisfy { HistoryTableTests.home($0) == home })
        }
    }

    /// Growing keeps order, entries and every key findable.
    @Test func growth() throws {
        var random = SeededRandom(2)
        var table = HistoryTable()
        defer { table.release() }
        var reference = Reference()
        var keys: [UInt64] = [0, .max, 1 << 63]
        keys += (0..<5000).map { _ in random.next() }
        for (number, key) in keys.enumerated() {
            try table.reserve(1)
            let entry = HistoryTableTests.entry(key, &random)
            _ = table.insert(entry)
            reference.insert(entry)
            if number % 3 == 2 {
                table.removeOldest()
                reference.removeOldest()
            }
            if [1, 1023, 1024, 1025, 2047, 2048].contains(table.count) {
                #expect(HistoryTableTests.holds(table, reference, keys: keys))
            }
        }
        #expect(HistoryTableTests.holds(table, reference, keys: keys))
        while table.count > 0 {
            table.removeOldest()
            reference.removeOldest()
            if table.count % 500 == 0 { #expect(HistoryTableTests.holds(table, reference, keys: keys)) }
        }
    }

    @Test func emptyTable() throws {
        var table = HistoryTable()
        defer { table.release() }
        #expect(table.find(0) == -1 && table.oldest == -1)
        table.removeOldest()
        #expect(table.insert(.init(key: 1, successes: 0, strength: 1, step: 0)) == -1, "no room was reserved")
        try table.reserve(0)
        try table.reserve(1)
        #expect(table.find(0) == -1 && table.count == 0)
        _ = table.insert(.init(key: 1, successes: 0, strength: 1, step: 0))
        table.removeOldest()
        #expect(table.find(1) == -1 && table.count == 0 && table.oldest == -1)
        table.removeOldest()
        #expect(table.count == 0)
    }

    @Test func tooManyKeys() throws {
        var table = HistoryTable()
        defer { table.release() }
        let failure = try #require(throws: Failure.self) { try table.reserve(largestRowCount / 4 + 1) }
        #expect(failure.kind == .invalidSize)
        #expect(table.count == 0 && table.find(3) == -1)
    }
}
