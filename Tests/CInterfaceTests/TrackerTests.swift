import CV05
import SeededRandom
import Testing

/// The formulas are compared with numpy in Tests/python/core/test_tracker.py.
struct TrackerTests {
    @Test func theLevelIsTheStart() throws {
        let tracker = try Tracker()
        #expect(tracker.predict([1]).values[0].isNaN && tracker.predict([1]).strengths == [0])
        try tracker.record(Rollouts(rewards: [1, 0, 0], ids: [1, 2, 3]))
        let (values, strengths) = tracker.predict([9, 1])
        #expect(values[0] == 0.375 && abs(values[1] - (1 + 0.375) / 2) <= 1e-15)
        #expect(abs(strengths[0] - strength(of: [0.25, 0.5, 1, 2, 4, 8])) <= 1e-14)
        #expect(abs(strengths[1] - strength(of: [1, 2, 4, 8, 16, 32, 64, 128])) <= 1e-13)
    }

    /// Of the Beta distribution whose variance is the mean of those of strengths that are equally likely.
    private func strength(of strengths: [Double]) -> Double {
        var spread = 0.0
        for strength in strengths { spread += 1 / (strength + 1) }
        return Double(strengths.count) / spread - 1
    }

    @Test func rowsInAnyOrder() throws {
        for values in Rollouts.Values.allCases {
            var random = SeededRandom(2)
            let rollouts = Rollouts.random(50, values, using: &random)
            let one = try Tracker(), other = try Tracker()
            for _ in 0..<4 {
                try one.record(rollouts)
                try other.record(rollouts.rearranged(Array(rollouts.rewards.indices).shuffled(using: &random)))
            }
            let (predicted, strengths) = one.predict(rollouts.ids)
            let found = other.predict(rollouts.ids)
            #expect(predicted.map(\.bitPattern) == found.values.map(\.bitPattern) && strengths == found.strengths)
        }
    }

    @Test func weightsThatAreAllEqualAreNone() throws {
        var random = SeededRandom(3)
        let plain = try Tracker(), weighted = try Tracker()
        for _ in 0..<5 {
            var rollouts = Rollouts.random(20, .twoValued, using: &random)
            rollouts.prior = nil
            rollouts.strength = nil
            try plain.record(rollouts)
            rollouts.weights = rollouts.rewards.map { _ in 1 }
            try weighted.record(rollouts)
            let keys = rollouts.ids
            #expect(plain.predict(keys).values.map(\.bitPattern) == weighted.predict(keys).values.map(\.bitPattern))
        }
    }

    /// Each reward is the opposite of the one before: of two prompts the one with the higher means has the lower value.
    @Test func itLearnsWhatMeansAreWorth() throws {
        let tracker = try Tracker()
        let keys = (1...200).map { Int64($0) }
        for visit in 0..<61 {
            try tracker.record(Rollouts(rewards: keys.map { Double((visit + Int($0)) % 2) }, ids: keys))
        }
        // Key 2 ended with 0.
        let values = tracker.predict([1, 2]).values
        #expect(values[0] < 0.2 && values[1] > 0.8)
    }

    @Test func aSingleRolloutIsFusedWithNothing() throws {
        let tracker = try Tracker()
        try tracker.record(Rollouts(rewards: [1, 0, 0, 1], ids: [1, 2, 3, 4]))
        let rollouts = Rollouts(rewards: [0, 1, 1, 0], ids: [1, 2, 9, 4], mask: [1, 1, 1, 0])
        let baselines = tracker.fuse(rollouts)
        #expect(zip(baselines, tracker.predict([1, 2, 9]).values).allSatisfy { abs($0 - $1) <= 1e-15 })
        #expect(baselines[3].isNaN)
        // With its own reward it moves towards that.
        let own = tracker.fuse(rollouts, leaveOneOut: 0)
        #expect(own[0] < baselines[0] && own[1] > baselines[1] && own[2] > baselines[2])
    }

    @Test func priorsOfTheCallers() throws {
        let tracker = try Tracker()
        #expect(tracker.predict([5], priors: [0.25]).values.map { abs($0 - 0.25) <= 1e-15 } == [true])
        var random = SeededRandom(6)
        // Each prompt comes once, and its prior says the opposite of what it is.
        for step in 0..<60 {
            let keys = (0..<40).map { Int64(40 * step + $0) }
            let truth = keys.map { _ in Double.random(in: 0.1...0.9, using: &random) }
            let rewards = truth.map { Double.random(in: 0..<1, using: &random) < $0 ? 1.0 : 0.0 }
            try tracker.record(Rollouts(rewards: rewards, ids: keys, prior: truth.map { 1 - $0 }))
        }
        let values = tracker.predict([-1, -2], priors: [0.2, 0.8]).values
        #expect(values[0] > 0.6 && values[1] < 0.4)
    }

    @Test func calibratedBySingleRollouts() throws {
        let tracker = try Tracker()
        #expect(tracker.calibration.groups == 0 && tracker.calibration.slope == 1)
        for _ in 0..<3 { try tracker.record(Rollouts(rewards: [1, 0, 1, 0, 1, 1], ids: [1, 2, 3, 4, 5, 6])) }
        let found = tracker.calibration
        #expect(abs(found.groups - 6 * (1 + 0.98 + 0.98 * 0.98)) <= 1e-12 && found.total_groups == found.groups)
        #expect(found.slope == 1 && found.intercept == 0 && found.prior_variance > 0 && found.reward_variance > 0)
        #expect(found.grand_mean > 0.5 && found.grand_mean < 1 && found.between_variance > 0)
    }

    @Test func theOldestGoFirst() throws {
        var options = v05_tracker_options.defaults
        options.capacity = 3
        let tracker = try Tracker(options)
        for key in [1, 2, 3, 1, 4] as [Int64] { try tracker.record(Rollouts(rewards: [1], ids: [key])) }
        #expect(tracker.count == 3)
        let values = tracker.predict([1, 2, 3, 4, 99]).values
        #expect(values[1] == values[4] && Set(values).count > 1)
    }

    @Test func mergedTrackers() throws {
        var random = SeededRandom(7)
        let one = try Tracker(), other = try Tracker(), empty = try Tracker()
        for _ in 0..<10 {
            for tracker in [one, other] { try tracker.record(.random(20, .twoValued, using: &random)) }
        }
        // All that one knows, into one that knows nothing.
        #expect(Outcome { v05_tracker_merge(empty.handle, one.handle, $0) }.isOK)
        #expect(empty.count == one.count)
        #expect(empty.calibration.groups == one.calibration.groups)
        let groups = one.calibration.groups + other.calibration.groups
        #expect(Outcome { v05_tracker_merge(one.handle, other.handle, $0) }.isOK)
        #expect(one.count == empty.count + other.count && abs(one.calibration.groups - groups) <= 1e-9)
    }

    @Test func savedAndLoaded() throws {
        var random = SeededRandom(4)
        let tracker = try Tracker()
        let rollouts = Rollouts.random(60, .twoValued, using: &random)
        for _ in 0..<3 { try tracker.record(rollouts) }
        let loaded = try Tracker(loading: tracker.saved)
        #expect(loaded.saved == tracker.saved && loaded.count == tracker.count)
        for copy in [tracker, loaded] { try copy.record(rollouts) }
        #expect(loaded.saved == tracker.saved)
    }

    @Test func damagedCheckpoints() throws {
        let tracker = try Tracker()
        try tracker.record(.example)
        let target = Memory()
        let loaded = target.output(OpaquePointer?.self, 1)
        expectCheckpointRefusals(
            tracker.saved, save: { v05_tracker_save(tracker.handle, $0, $1, $2, $3) },
            load: { v05_tracker_load(loaded, $0, $1, $2) },
            loadingInto: target)
    }

    // MARK: refusals

    @Test func missingPointers() throws {
        let tracker = try Tracker()
        let memory = Memory()
        let keys = memory.input([1, 2] as [Int64])
        let values = memory.output(Double.self, 8), strengths = memory.output(Double.self, 2)
        let count = memory.output(Int64.self, 1)
        let calibration = memory.output(holding: v05_calibration.unset)
        let created = memory.output(OpaquePointer?.self, 1)
        let call = EstimateCall()
        func refuse(
            _ part: String, sourceLocation: SourceLocation = #_sourceLocation,
            _ body: (UnsafeMutablePointer<v05_error>?) -> v05_status
        ) {
            Outcome.expectRefusal(
                V05_STATUS_NULL_POINTER, ["\(part) must not be NULL"], in: memory, sourceLocation: sourceLocation, body)
        }
        refuse("tracker") { v05_tracker_create(nil, nil, $0) }
        refuse("tracker") { v05_tracker_predict(nil, keys, nil, 2, values, strengths, $0) }
        refuse("keys") { v05_tracker_predict(tracker.handle, nil, nil, 2, values, strengths, $0) }
        refuse("tracker") { v05_tracker_record(nil, call.batch, $0) }
        refuse("batch") { v05_tracker_record(tracker.handle, nil, $0) }
        refuse("tracker") { v05_tracker_fuse(nil, call.batch, 1, values, $0) }
        refuse("batch") { v05_tracker_fuse(tracker.handle, nil, 1, values, $0) }
        refuse("baselines") { v05_tracker_fuse(tracker.handle, call.batch, 1, nil, $0) }
        refuse("tracker") { v05_tracker_calibration(nil, calibration, $0) }
        refuse("calibration") { v05_tracker_calibration(tracker.handle, nil, $0) }
        refuse("tracker") { v05_tracker_merge(nil, tracker.handle, $0) }
        refuse("other") { v05_tracker_merge(tracker.handle, nil, $0) }
        refuse("tracker") { v05_tracker_count(nil, count, $0) }
        refuse("count") { v05_tracker_count(tracker.handle, nil, $0) }
        refuse("options") { v05_tracker_inspect(tracker.handle, nil, $0) }
        refuse("tracker") { v05_tracker_save(nil, nil, 0, nil, $0) }
        refuse("tracker") { v05_tracker_load(nil, [], 0, $0) }
        refuse("bytes") { v05_tracker_load(created, nil, 8, $0) }
        v05_tracker_destroy(nil)
        #expect(tracker.count == 0)
        #expect(Outcome { v05_tracker_predict(tracker.handle, keys, nil, 2, nil, nil, $0) }.isOK)
        #expect(Outcome { v05_tracker_predict(tracker.handle, nil, nil, 0, nil, nil, $0) }.isOK)
    }

    @Test func impossibleNumbers() throws {
        let tracker = try Tracker()
        let memory = Memory()
        let keys = memory.input([1, 2] as [Int64])
        let values = memory.output(Double.self, 2)
        let created = memory.output(OpaquePointer?.self, 1)
        for count in [-1, .min, 2_147_483_648, .max] as [Int64] {
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["count", "got \(count)"], in: memory) {
                v05_tracker_predict(tracker.handle, keys, nil, count, values, nil, $0)
            }
        }
        let changes: [(String, (inout v05_tracker_options) -> Void)] = [
            ("reward_range", { $0.reward_low = 1 }), ("reward_range", { $0.reward_high = .nan }),
            ("discount", { $0.discount = -0.5 }), ("discount", { $0.discount = .nan }),
            ("slow_discount", { $0.slow_discount = 1.5 }), ("forgetting", { $0.forgetting = -1 }),
            ("forgetting", { $0.forgetting = .nan }), ("capacity", { $0.capacity = -1 }),
        ]
        for (part, change) in changes {
            var options = v05_tracker_options.defaults
            change(&options)
            Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, [part, "got "], in: memory) {
                v05_tracker_create(&options, created, $0)
            }
        }
    }

    @Test func allOrNothing() throws {
        let tracker = try Tracker()
        try tracker.record(.example)
        let before = tracker.saved
        for (row, value) in [(0, 1.5), (5, .nan), (7, -.infinity)] {
            var rollouts = Rollouts.example
            rollouts.rewards[row] = value
            let call = EstimateCall(rollouts)
            Outcome.expectRefusal(
                value.isFinite ? V05_STATUS_REWARD_OUT_OF_RANGE : V05_STATUS_INVALID_REWARD, ["rewards[\(row)]"],
                index: Int64(row), in: call.memory
            ) {
                v05_tracker_record(tracker.handle, call.batch, $0)
            }
        }
        var rollouts = Rollouts.example
        rollouts.prior = rollouts.prior?.map { $0 == 0.5 ? 1.5 : $0 }
        let priorCall = EstimateCall(rollouts)
        Outcome.expectRefusal(V05_STATUS_INVALID_PRIOR, ["prior[0]", "got 1.5"], in: priorCall.memory) {
            v05_tracker_record(tracker.handle, priorCall.batch, $0)
        }
        let memory = Memory()
        let values = memory.output(Double.self, 3)
        Outcome.expectRefusal(V05_STATUS_INVALID_PRIOR, ["priors[2]", "got 1.5"], index: 2, in: memory) {
            v05_tracker_predict(tracker.handle, [10, 11, 12], [0.5, .nan, 1.5], 3, values, nil, $0)
        }
        var options = v05_tracker_options.defaults
        options.reward_high = 2
        let other = try Tracker(options)
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["other", "reward_range"], in: memory) {
            v05_tracker_merge(tracker.handle, other.handle, $0)
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["other"], in: memory) {
            v05_tracker_merge(tracker.handle, tracker.handle, $0)
        }
        #expect(tracker.saved == before)
    }

    @Test func whatCannotBeFused() throws {
        let tracker = try Tracker()
        let memory = Memory()
        let baselines = memory.output(Double.self, 8)
        let call = EstimateCall()
        Outcome.expectRefusal(V05_STATUS_REWARD_NOT_TWO_VALUED, ["rewards[2]", "got 0.5"], index: 2, in: memory) {
            v05_tracker_fuse(tracker.handle, call.batch, 1, baselines, $0)
        }
        let weighted = EstimateCall(Rollouts(rewards: [1, 0], ids: [1, 1], weights: [1, 2]))
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["weights"], in: memory) {
            v05_tracker_fuse(tracker.handle, weighted.batch, 1, baselines, $0)
        }
        let plain = EstimateCall(Rollouts(rewards: [1, 0], ids: [1, 1]))
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["leave_one_out", "got 2"], in: memory) {
            v05_tracker_fuse(tracker.handle, plain.batch, 2, baselines, $0)
        }
        let rewards = UnsafeMutablePointer(mutating: plain.batch!.pointee.rewards_f64)
        Outcome.expectRefusal(V05_STATUS_OVERLAPPING_ARRAYS, ["baselines"], in: plain.memory) {
            v05_tracker_fuse(tracker.handle, plain.batch, 1, rewards, $0)
        }
    }
}
