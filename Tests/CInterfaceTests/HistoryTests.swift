import CV05
import SeededRandom
import Testing

struct HistoryTests {
    /// The formula of v05.h, written down once more.
    @Test func discountedSums() throws {
        var options = v05_history_options.withoutStart
        (options.discount, options.step_decay, options.reward_low, options.reward_high) = (0.7, 0.9, -1, 3)
        let history = try History(options)
        var random = SeededRandom(1)
        var sum = 0.0, strength = 0.0, last: Int64 = 0
        for step in [0, 1, 1, 5, 6, 20] as [Int64] {
            let rewards = (0..<Int.random(in: 1...9, using: &random)).map { _ in
                Double.random(in: -1...3, using: &random)
            }
            try history.record(Rollouts(rewards: rewards, ids: rewards.map { _ in -9 }), step: step)
            var decay = 0.7
            for _ in last..<step { decay *= 0.9 }
            sum = decay * sum + rewards.map { ($0 + 1) / 4 }.reduce(0, +)
            strength = decay * strength + Double(rewards.count)
            last = step
            let (values, strengths) = history.predict([-9, 4], step: step + 2)
            #expect(abs(values[0] - (-1 + 4 * sum / strength)) <= 1e-14)
            #expect(abs(strengths[0] - strength * 0.81) <= 1e-13)
            #expect(values[1].isNaN && strengths[1] == 0)
        }
    }

    @Test func rowsInAnyOrder() throws {
        var random = SeededRandom(2)
        let rollouts = Rollouts.random(50, .any, using: &random)
        let one = try History(), other = try History()
        for _ in 0..<3 {
            try one.record(rollouts)
            try other.record(rollouts.rearranged(Array(rollouts.rewards.indices).shuffled(using: &random)))
        }
        let (values, strengths) = one.predict(rollouts.ids)
        let found = other.predict(rollouts.ids)
        #expect(values.map(\.bitPattern) == found.values.map(\.bitPattern) && strengths == found.strengths)
    }

    @Test func masksAndPriors() throws {
        let history = try History()
        try history.record(
            Rollouts(rewards: [1, .nan, 0, .nan], ids: [1, 1, 1, 2], prior: [7, 8, 9, .nan], mask: [1, 0, 1, 0]))
        let (values, strengths) = history.predict([1, 2])
        #expect(values[0] == 0.5 && strengths == [2, 0] && values[1].isNaN)
        #expect(history.count == 1)
    }

    @Test func theOldestGoFirst() throws {
        var options = v05_history_options.withoutStart
        options.capacity = 3
        let history = try History(options)
        for key in [1, 2, 3, 1, 4] as [Int64] { try history.record(Rollouts(rewards: [1], ids: [key])) }
        #expect(history.count == 3)
        #expect(history.predict([1, 2, 3, 4]).values.map(\.isNaN) == [false, true, false, false])
    }

    /// Against a dictionary, over many keys that come and go.
    @Test func manyKeys() throws {
        var options = v05_history_options.withoutStart
        (options.capacity, options.discount) = (700, 0.5)
        let history = try History(options)
        var random = SeededRandom(3)
        var expected: [Int64: (sum: Double, strength: Double, visit: Int)] = [:]
        for visit in 0..<6000 {
            let key = Int64.random(in: 0..<2000, using: &random) &* 0x1000_0000_0000_0001
            let reward = Double(Int.random(in: 0...1, using: &random))
            try history.record(Rollouts(rewards: [reward], ids: [key]))
            let known = expected[key] ?? (0, 0, 0)
            expected[key] = (0.5 * known.sum + reward, 0.5 * known.strength + 1, visit)
            if expected.count > 700 { expected[expected.min { $0.value.visit < $1.value.visit }!.key] = nil }
        }
        #expect(history.count == 700)
        let keys = Array(expected.keys)
        let (values, strengths) = history.predict(keys)
        #expect(zip(keys, values).allSatisfy { abs($1 - expected[$0]!.sum / expected[$0]!.strength) <= 1e-15 })
        #expect(zip(keys, strengths).allSatisfy { $1 == expected[$0]!.strength })
    }

    @Test func startValues() throws {
        let history = try History()
        try history.record(Rollouts(rewards: [1], ids: [1]))
        #expect(
            Outcome {
                v05_history_start(history.handle, [1, 2, 3, 4], [0.25, 0.25, .nan, 0.5], [4, 4, 4, 0], 4, 0, $0)
            }.isOK)
        let (values, strengths) = history.predict([1, 2, 3, 4])
        #expect(values[0] == 1 && values[1] == 0.25 && values[2].isNaN && values[3].isNaN)
        #expect(strengths == [1, 4, 0, 0])
    }

    @Test func mergedHistories() throws {
        let one = try History(), other = try History()
        try one.record(Rollouts(rewards: [1, 1, 0], ids: [1, 1, 2]))
        try other.record(Rollouts(rewards: [0, 0, 1], ids: [1, 1, 3]))
        #expect(Outcome { v05_history_merge(one.handle, other.handle, $0) }.isOK)
        let (values, strengths) = one.predict([1, 2, 3])
        #expect(values == [0.5, 0, 1] && strengths == [4, 1, 1])
        #expect(one.count == 3 && other.count == 2)
    }

    @Test func savedAndLoaded() throws {
        var random = SeededRandom(4)
        let history = try History()
        let rollouts = Rollouts.random(60, .any, using: &random)
        try history.record(rollouts, step: 3)
        let loaded = try History(loading: history.saved)
        #expect(loaded.saved == history.saved && loaded.count == history.count)
        for copy in [history, loaded] { try copy.record(rollouts, step: 9) }
        #expect(loaded.saved == history.saved)
    }

    @Test func damagedCheckpoints() throws {
        let history = try History()
        try history.record(.example)
        let target = Memory()
        let loaded = target.output(OpaquePointer?.self, 1)
        expectCheckpointRefusals(
            history.saved, save: { v05_history_save(history.handle, $0, $1, $2, $3) },
            load: { v05_history_load(loaded, $0, $1, $2) },
            loadingInto: target)
    }

    @Test func theLevelIsTheStart() throws {
        let history = try History(.defaults)
        #expect(history.predict([1]).values[0].isNaN)
        try history.record(Rollouts(rewards: [1, 0, 0], ids: [1, 2, 3]))
        let (values, strengths) = history.predict([9, 1])
        #expect(values == [0.375, (1 + 0.375) / 2] && strengths == [1, 2])
    }

    @Test func weightedVisits() throws {
        let history = try History()
        try history.record(Rollouts(rewards: [1, 0, 0, 1], ids: [1, 1, 2, 3], weights: [3, 1, 4, 0]))
        let (values, strengths) = history.predict([1, 2, 3])
        #expect(values[0] == 0.75 && values[1] == 0 && values[2].isNaN)
        #expect(abs(strengths[0] - 1.5) <= 1e-15 && abs(strengths[1] - 1.5) <= 1e-15 && strengths[2] == 0)
    }

    @Test func keyHashes() {
        func hash(_ text: String) -> Int64 {
            var key: Int64 = 0
            #expect(Outcome { v05_key_hash(Array(text.utf8), text.utf8.count, &key, $0) }.isOK)
            return key
        }
        #expect(hash("prompt") == hash("prompt") && hash("prompt") != hash("prompu") && hash("") != hash("\0"))
        #expect(Set((0..<10_000).map { hash(String($0)) }).count == 10_000)
        var empty: Int64 = 0
        #expect(Outcome { v05_key_hash(nil, 0, &empty, $0) }.isOK)
        #expect(empty == hash(""))
    }

    @Test func manyKeyHashesAreThoseOfEach() {
        // Of every length, in an order in which each of the four that go side by side ends first at some time.
        let lengths = [0, 3, 17, 1, 0, 40, 2, 2, 5, 0, 0, 64, 7, 1, 33, 9, 0]
        for count in 0...lengths.count {
            var bytes: [UInt8] = [], offsets: [Int64] = [0], expected: [Int64] = []
            for (number, length) in lengths.prefix(count).enumerated() {
                let text = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ number &* 11) }
                bytes += text
                offsets.append(Int64(bytes.count))
                var key: Int64 = 0
                #expect(Outcome { v05_key_hash(text, text.count, &key, $0) }.isOK)
                expected.append(key)
            }
            var keys = [Int64](repeating: 5, count: count)
            #expect(Outcome { v05_key_hashes(bytes, offsets, Int64(count), &keys, $0) }.isOK)
            #expect(keys == expected)
        }
        #expect(Outcome { v05_key_hashes(nil, nil, 0, nil, $0) }.isOK)
        var keys: [Int64] = [5, 5]
        #expect(Outcome { v05_key_hashes(nil, [0, 0, 0], 2, &keys, $0) }.isOK)
        #expect(keys[0] == keys[1] && keys[0] != 5)
    }

    // MARK: refusals

    @Test func missingPointers() throws {
        let history = try History()
        let memory = Memory()
        let keys = memory.input([1, 2] as [Int64])
        let values = memory.output(Double.self, 2), strengths = memory.output(Double.self, 2)
        let given = memory.input([0.5, 0.5])
        let count = memory.output(Int64.self, 1)
        let created = memory.output(OpaquePointer?.self, 1)
        let call = EstimateCall()
        func refuse(
            _ part: String, sourceLocation: SourceLocation = #_sourceLocation,
            _ body: (UnsafeMutablePointer<v05_error>?) -> v05_status
        ) {
            Outcome.expectRefusal(
                V05_STATUS_NULL_POINTER, ["\(part) must not be NULL"], in: memory, sourceLocation: sourceLocation, body)
        }
        refuse("history") { v05_history_create(nil, nil, $0) }
        refuse("history") { v05_history_predict(nil, keys, 2, 0, values, strengths, $0) }
        refuse("keys") { v05_history_predict(history.handle, nil, 2, 0, values, strengths, $0) }
        refuse("history") { v05_history_record(nil, call.batch, 0, $0) }
        refuse("batch") { v05_history_record(history.handle, nil, 0, $0) }
        refuse("history") { v05_history_start(nil, keys, given, given, 2, 0, $0) }
        refuse("keys") { v05_history_start(history.handle, nil, given, given, 2, 0, $0) }
        refuse("values") { v05_history_start(history.handle, keys, nil, given, 2, 0, $0) }
        refuse("strengths") { v05_history_start(history.handle, keys, given, nil, 2, 0, $0) }
        refuse("history") { v05_history_merge(nil, history.handle, $0) }
        refuse("other") { v05_history_merge(history.handle, nil, $0) }
        refuse("history") { v05_history_count(nil, count, $0) }
        refuse("count") { v05_history_count(history.handle, nil, $0) }
        refuse("history") { v05_history_save(nil, nil, 0, nil, $0) }
        refuse("history") { v05_history_load(nil, [], 0, $0) }
        refuse("bytes") { v05_history_load(created, nil, 8, $0) }
        refuse("key") { v05_key_hash([1], 1, nil, $0) }
        refuse("bytes") { v05_key_hash(nil, 1, count, $0) }
        refuse("bytes") { v05_key_hashes(nil, [0, 1], 1, count, $0) }
        refuse("offsets") { v05_key_hashes([1], nil, 1, count, $0) }
        refuse("keys") { v05_key_hashes([1], [0, 1], 1, nil, $0) }
        v05_history_destroy(nil)
        #expect(history.count == 0)
        #expect(Outcome { v05_history_predict(history.handle, keys, 2, 0, nil, nil, $0) }.isOK)
        #expect(Outcome { v05_history_predict(history.handle, nil, 0, 0, nil, nil, $0) }.isOK)
        #expect(Outcome { v05_history_start(history.handle, nil, nil, nil, 0, 0, $0) }.isOK)
    }

    @Test func impossibleNumbers() throws {
        let history = try History()
        let memory = Memory()
        let keys = memory.input([1, 2] as [Int64])
        let values = memory.output(Double.self, 2)
        let key = memory.output(Int64.self, 1)
        let call = EstimateCall()
        for count in [-1, .min, 2_147_483_648, .max] as [Int64] {
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["count", "got \(count)"], in: memory) {
                v05_history_predict(history.handle, keys, count, 0, values, nil, $0)
            }
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["count", "got \(count)"], in: memory) {
                v05_history_start(history.handle, keys, values, values, count, 0, $0)
            }
            Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["step", "got \(count)"], in: memory) {
                v05_history_predict(history.handle, keys, 2, count, values, nil, $0)
            }
            Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["step", "got \(count)"], in: call.memory) {
                v05_history_record(history.handle, call.batch, count, $0)
            }
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["size", "got -1"], in: memory) {
            v05_key_hash([1], -1, key, $0)
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["count", "got -1"], in: memory) {
            v05_key_hashes([1], [0, 1], -1, key, $0)
        }
        for offsets in [[-1, 1], [1, 0]] as [[Int64]] {
            let bad = offsets[0] < 0 ? 0 : 1
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["offsets[\(bad)]", "got \(offsets[bad])"], in: memory) {
                v05_key_hashes([1], offsets, 1, key, $0)
            }
        }
        let created = memory.output(OpaquePointer?.self, 1)
        let changes: [(String, (inout v05_history_options) -> Void)] = [
            ("reward_range", { $0.reward_low = 1 }), ("reward_range", { $0.reward_high = .nan }),
            ("discount", { $0.discount = -0.5 }),
            ("discount", { $0.discount = .nan }), ("step_decay", { $0.step_decay = 1.5 }),
            ("capacity", { $0.capacity = -1 }),
        ]
        for (part, change) in changes {
            var options = v05_history_options.withoutStart
            change(&options)
            Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, [part, "got "], in: memory) {
                v05_history_create(&options, created, $0)
            }
        }
    }

    @Test func allOrNothing() throws {
        let history = try History()
        try history.record(.example)
        let before = history.saved
        for (row, value) in [(0, 1.5), (5, .nan), (7, -.infinity)] {
            var rollouts = Rollouts.example
            rollouts.rewards[row] = value
            let call = EstimateCall(rollouts)
            Outcome.expectRefusal(
                value.isFinite ? V05_STATUS_REWARD_OUT_OF_RANGE : V05_STATUS_INVALID_REWARD, ["rewards[\(row)]"],
                index: Int64(row), in: call.memory
            ) {
                v05_history_record(history.handle, call.batch, 1, $0)
            }
        }
        let memory = Memory()
        let keys = memory.input([10, 11, 12] as [Int64])
        Outcome.expectRefusal(V05_STATUS_INVALID_PRIOR, ["values[2]", "got 1.5"], index: 2, in: memory) {
            v05_history_start(history.handle, keys, [0.5, .nan, 1.5], [1, 1, 1], 3, 0, $0)
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_PRIOR, ["strengths[1]", "got -1"], index: 1, in: memory) {
            v05_history_start(history.handle, keys, [0.5, 0.5, 0.5], [1, -1, 1], 3, 0, $0)
        }
        var options = v05_history_options.withoutStart
        options.reward_high = 2
        let other = try History(options)
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["other", "reward_range"], in: memory) {
            v05_history_merge(history.handle, other.handle, $0)
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["other"], in: memory) {
            v05_history_merge(history.handle, history.handle, $0)
        }
        #expect(history.saved == before)
    }
}
