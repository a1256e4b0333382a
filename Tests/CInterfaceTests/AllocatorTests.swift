import CV05
import SeededRandom
import Testing

struct AllocatorTests {
    /// Runs an allocator to its end; prompt i succeeds with probability i / (prompts - 1). `random` decides the order
    /// and the portions in which results come back, never the results themselves.
    private func run(
        _ allocator: Allocator, using random: inout SeededRandom, interrupt: (Allocator) throws -> Allocator = { $0 }
    ) rethrows -> Allocator {
        var allocator = allocator
        var outstanding: [(prompt: Int64, reward: Double)] = []
        var drawn = [Int](repeating: 0, count: allocator.promptCount)
        for _ in 0..<10_000 {
            for (prompt, rollouts) in allocator.request().enumerated() {
                for _ in 0..<rollouts {
                    var own = SeededRandom(UInt64(1000 * prompt + drawn[prompt]))
                    drawn[prompt] += 1
                    outstanding.append(
                        (
                            Int64(prompt),
                            Int.random(in: 0..<max(1, allocator.promptCount - 1), using: &own) < prompt ? 1 : 0
                        ))
                }
            }
            if outstanding.isEmpty { break }
            let portion = Int.random(in: 1...outstanding.count, using: &random)
            outstanding.shuffle(using: &random)
            allocator.observe(Array(outstanding.suffix(portion)))
            outstanding.removeLast(portion)
            allocator = try interrupt(allocator)
        }
        #expect(allocator.status.done)
        return allocator
    }

    private static func options(_ change: (inout v05_allocator_options) -> Void = { _ in }) -> v05_allocator_options {
        var options = v05_allocator_options.defaults
        change(&options)
        return options
    }

    private nonisolated(unsafe) static let variants: [v05_allocator_options] = [
        options(), options { $0.look_ahead = Int32(V05_LOOK_AHEAD_SAME_MEAN.rawValue) },
        options { $0.look_ahead = Int32(V05_LOOK_AHEAD_DERIVATIVE.rawValue) }, options { $0.wave = 5 },
        options { ($0.rule, $0.maximum) = (Int32(V05_ALLOCATION_NEYMAN.rawValue), 40) },
        options { ($0.initial, $0.budget) = (2, 60) },
        options { ($0.initial, $0.cost, $0.maximum) = (1, 0, 9) },
        options { ($0.rule, $0.budget) = (Int32(V05_ALLOCATION_NEYMAN.rawValue), 100) },
    ]
    private static let priors = (0..<12).map { $0 % 4 == 3 ? .nan : Double($0) / 11 }

    @Test(arguments: variants.indices)
    func staysWithinItsLimits(_ variant: Int) throws {
        let options = AllocatorTests.variants[variant]
        for calibration in [nil, v05_calibration.example] {
            var random = SeededRandom(1)
            let allocator = try run(
                Allocator(12, options, prior: AllocatorTests.priors, calibration: calibration), using: &random)
            let (counts, inFlight, _, calibrated) = allocator.status
            #expect(counts.allSatisfy { $0 >= options.initial && $0 <= options.maximum })
            #expect(inFlight.allSatisfy { $0 == 0 } && calibrated == (calibration != nil))
            #expect(options.budget < 0 || counts.reduce(0, +) <= options.budget)
            let (prompts, rewards) = allocator.observations
            #expect((0..<12).allSatisfy { prompt in prompts.count { $0 == Int64(prompt) } == Int(counts[prompt]) })
            #expect(rewards.allSatisfy { $0 == 0 || $0 == 1 })
        }
    }

    /// Without a budget decisions depend on a prompt's own rewards, not on when they came.
    @Test(arguments: variants.indices.filter { variants[$0].budget < 0 && variants[$0].wave == 1 })
    func orderOfArrivalDoesNotMatter(_ variant: Int) throws {
        var counts: Set<[Int64]> = []
        for seed in 0..<5 as Range<UInt64> {
            var random = SeededRandom(seed)
            counts.insert(
                try run(Allocator(12, AllocatorTests.variants[variant], prior: AllocatorTests.priors), using: &random)
                    .status.counts)
        }
        #expect(counts.count == 1)
    }

    @Test(arguments: variants.indices)
    func resumedEqualsUninterrupted(_ variant: Int) throws {
        let options = AllocatorTests.variants[variant]
        var random = SeededRandom(3)
        let whole = try run(Allocator(12, options, prior: AllocatorTests.priors, calibration: .example), using: &random)
        random = SeededRandom(3)
        let resumed = try run(
            Allocator(12, options, prior: AllocatorTests.priors, calibration: .example), using: &random
        ) {
            try Allocator(loading: $0.saved, 12)
        }
        #expect(resumed.saved == whole.saved)
        #expect(
            resumed.status.counts == whole.status.counts && resumed.observations.rewards == whole.observations.rewards)
    }

    /// The estimate of what was observed is that of the same rows.
    @Test func estimatesWhatWasObserved() throws {
        for calibration in [nil, v05_calibration.example] {
            var random = SeededRandom(4)
            let allocator = try run(
                Allocator(12, prior: AllocatorTests.priors, calibration: calibration), using: &random)
            let (prompts, rewards) = allocator.observations
            let rows = Rollouts(rewards: rewards, ids: prompts, prior: prompts.map { AllocatorTests.priors[Int($0)] })
            let call = EstimateCall(rows, .double, .rule(calibration == nil ? V05_RULE_V05 : V05_RULE_CALIBRATED))
            call.calibration = calibration.map { call.memory.input($0) }
            #expect(Outcome(call.estimate).isOK)
            let own = EstimateCall(rows)
            #expect(Outcome { v05_allocator_estimate(allocator.handle, nil, own.estimate, $0) }.isOK)
            #expect(own.groupCount == 12)
            // Groups are listed by index here, by first appearance there.
            #expect(own.bits == call.bits)
        }
    }

    @Test func cancelledRolloutsAreAskedForAgain() throws {
        let allocator = try Allocator(2)
        #expect(allocator.request() == [4, 4] && allocator.request() == [0, 0])
        #expect(Outcome { v05_allocator_cancel(allocator.handle, [1, 0, 1], 3, $0) }.isOK)
        #expect(allocator.status.inFlight == [3, 2])
        #expect(allocator.request() == [1, 2])
    }

    @Test func stoppedAllocatorsTakeWhatIsInFlight() throws {
        let allocator = try Allocator(2)
        _ = allocator.request()
        allocator.observe([(0, 1), (0, 0)])
        #expect(Outcome { v05_allocator_stop(allocator.handle, $0) }.isOK)
        #expect(!allocator.status.done && allocator.request() == [0, 0])
        allocator.observe([(0, 1), (0, 0), (1, 1), (1, 1), (1, 0), (1, 0)])
        #expect(allocator.status.done && allocator.request() == [0, 0] && allocator.status.counts == [4, 4])
    }

    @Test func noPrompts() throws {
        let allocator = try Allocator(0)
        #expect(allocator.request().isEmpty && allocator.status.done && allocator.observations.rewards.isEmpty)
        #expect(try Allocator(loading: allocator.saved, 0).saved == allocator.saved)
    }

    // MARK: refusals

    @Test func missingPointers() throws {
        let allocator = try Allocator(2)
        _ = allocator.request()
        let memory = Memory()
        let counts = memory.output(Int64.self, 2)
        let created = memory.output(OpaquePointer?.self, 1)
        let call = EstimateCall()
        func refuse(
            _ part: String, sourceLocation: SourceLocation = #_sourceLocation,
            _ body: (UnsafeMutablePointer<v05_error>?) -> v05_status
        ) {
            Outcome.expectRefusal(
                V05_STATUS_NULL_POINTER, ["\(part) must not be NULL"], in: memory, sourceLocation: sourceLocation, body)
        }
        refuse("allocator") { v05_allocator_create(nil, 2, nil, nil, nil, nil, nil, nil, $0) }
        refuse("allocator") { v05_allocator_request(nil, counts, 2, nil, $0) }
        Outcome.expectRefusal(V05_STATUS_NULL_POINTER, ["NULL"], in: memory) {
            v05_allocator_request(allocator.handle, nil, 2, nil, $0)
        }
        refuse("allocator") { v05_allocator_observe(nil, [0], [1], 1, $0) }
        refuse("prompt_index") { v05_allocator_observe(allocator.handle, nil, [1], 1, $0) }
        refuse("rewards") { v05_allocator_observe(allocator.handle, [0], nil, 1, $0) }
        refuse("allocator") { v05_allocator_cancel(nil, [0], 1, $0) }
        refuse("prompt_index") { v05_allocator_cancel(allocator.handle, nil, 1, $0) }
        refuse("allocator") { v05_allocator_stop(nil, $0) }
        refuse("allocator") { v05_allocator_status(nil, nil, counts, counts, 2, nil, nil, $0) }
        refuse("allocator") { v05_allocator_observations(nil, counts, nil, 2, counts, $0) }
        refuse("count") { v05_allocator_observations(allocator.handle, counts, nil, 2, nil, $0) }
        refuse("allocator") { v05_allocator_estimate(nil, call.options, call.estimate, $0) }
        refuse("estimate") { v05_allocator_estimate(allocator.handle, call.options, nil, $0) }
        refuse("allocator") { v05_allocator_save(nil, nil, 0, nil, $0) }
        refuse("allocator") { v05_allocator_load(nil, [], 0, $0) }
        refuse("bytes") { v05_allocator_load(created, nil, 8, $0) }
        v05_allocator_destroy(nil)
        #expect(Outcome { v05_allocator_status(allocator.handle, nil, nil, nil, 0, nil, nil, $0) }.isOK)
        #expect(Outcome { v05_allocator_observe(allocator.handle, nil, nil, 0, $0) }.isOK)
        #expect(allocator.status.inFlight == [4, 4])
    }

    @Test func capacities() throws {
        let allocator = try Allocator(3)
        let memory = Memory()
        let counts = memory.output(Int64.self, 3)
        let rewards = memory.output(Double.self, 3)
        for capacity in [-1, 0, 2] as [Int64] {
            Outcome.expectRefusal(V05_STATUS_CAPACITY_TOO_SMALL, ["capacity", "got \(capacity) and 3"], in: memory) {
                v05_allocator_request(allocator.handle, counts, capacity, nil, $0)
            }
            Outcome.expectRefusal(V05_STATUS_CAPACITY_TOO_SMALL, ["capacity", "got \(capacity) and 3"], in: memory) {
                v05_allocator_status(allocator.handle, nil, counts, nil, capacity, nil, nil, $0)
            }
            Outcome.expectRefusal(V05_STATUS_CAPACITY_TOO_SMALL, ["capacity", "got \(capacity) and 3"], in: memory) {
                v05_allocator_status(allocator.handle, nil, nil, counts, capacity, nil, nil, $0)
            }
        }
        #expect(allocator.request() == [4, 4, 4])
        allocator.observe([(0, 1), (1, 1), (2, 0)])
        let count = memory.output(Int64.self, 1)
        for capacity in [-1, 0, 2] as [Int64] {
            Outcome.expectRefusal(V05_STATUS_CAPACITY_TOO_SMALL, ["capacity", "got \(capacity) and 3"], in: memory) {
                v05_allocator_observations(allocator.handle, counts, nil, capacity, count, $0)
            }
            Outcome.expectRefusal(V05_STATUS_CAPACITY_TOO_SMALL, ["capacity", "got \(capacity) and 3"], in: memory) {
                v05_allocator_observations(allocator.handle, nil, rewards, capacity, count, $0)
            }
        }
    }

    @Test func impossibleOptions() {
        let memory = Memory()
        let created = memory.output(OpaquePointer?.self, 1)
        func refuse(
            _ status: v05_status, _ part: String, _ value: String, sourceLocation: SourceLocation = #_sourceLocation,
            _ change: (inout v05_allocator_options) -> Void
        ) {
            var options = AllocatorTests.options(change)
            Outcome.expectRefusal(status, [part, "got \(value)"], in: memory, sourceLocation: sourceLocation) {
                v05_allocator_create(&options, 3, nil, nil, nil, nil, nil, created, $0)
            }
        }
        refuse(V05_STATUS_INVALID_OPTION, "rule", "2") { $0.rule = 2 }
        refuse(V05_STATUS_INVALID_OPTION, "look_ahead", "-1") { $0.look_ahead = -1 }
        refuse(V05_STATUS_INVALID_OPTION, "reward_range", "1 and 1") { $0.reward_low = 1 }
        refuse(V05_STATUS_INVALID_OPTION, "initial", "0") { $0.initial = 0 }
        refuse(V05_STATUS_INVALID_OPTION, "initial", "9223372036854775807") { $0.initial = .max }
        refuse(V05_STATUS_INVALID_OPTION, "maximum", "3 and 4") { $0.maximum = 3 }
        refuse(V05_STATUS_INVALID_OPTION, "maximum", "9223372036854775807") { $0.maximum = .max }
        refuse(V05_STATUS_INVALID_OPTION, "wave", "0") { $0.wave = 0 }
        refuse(V05_STATUS_INVALID_OPTION, "cost", "-1") { $0.cost = -1 }
        refuse(V05_STATUS_INVALID_OPTION, "cost", "inf") { $0.cost = .infinity }
        refuse(V05_STATUS_INFEASIBLE, "budget", "11 and 12") { $0.budget = 11 }
        for count in [-1, .min, 2_147_483_648, .max] as [Int64] {
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["prompt_count", "got \(count)"], in: memory) {
                v05_allocator_create(nil, count, nil, nil, nil, nil, nil, created, $0)
            }
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_PRIOR, ["prior[1]", "got 1.5"], index: 1, in: memory) {
            v05_allocator_create(nil, 2, [.nan, 1.5], nil, nil, nil, nil, created, $0)
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["initial[1]", "got 0"], index: 1, in: memory) {
            v05_allocator_create(nil, 2, nil, [1, 0], nil, nil, nil, created, $0)
        }
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["maximum[0]", "got 3 and 4"], index: 0, in: memory) {
            v05_allocator_create(nil, 2, nil, nil, [3, 9], nil, nil, created, $0)
        }
        var calibration = v05_calibration.example
        calibration.prior_variance = -1
        Outcome.expectRefusal(V05_STATUS_INVALID_CALIBRATION, ["calibration"], in: memory) {
            v05_allocator_create(nil, 2, nil, nil, nil, &calibration, nil, created, $0)
        }
    }

    @Test func allOrNothing() throws {
        let allocator = try Allocator(3)
        _ = allocator.request()
        allocator.observe([(0, 1)])
        let before = allocator.saved
        let memory = Memory()
        func refuse(
            _ status: v05_status, _ parts: [String], index: Int64, _ prompts: [Int64], _ rewards: [Double],
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            Outcome.expectRefusal(status, parts, index: index, in: memory, sourceLocation: sourceLocation) {
                v05_allocator_observe(allocator.handle, prompts, rewards, Int64(prompts.count), $0)
            }
        }
        refuse(V05_STATUS_UNKNOWN_PROMPT, ["prompt_index[1]", "got 3 and 3"], index: 1, [0, 3, 1], [1, 1, 1])
        refuse(V05_STATUS_UNKNOWN_PROMPT, ["prompt_index[2]", "got -1 and 3"], index: 2, [0, 1, -1], [1, 1, 1])
        refuse(V05_STATUS_NOT_IN_FLIGHT, ["prompt_index[3]", "got 0"], index: 3, [0, 0, 0, 0], [1, 1, 1, 1])
        refuse(V05_STATUS_INVALID_REWARD, ["rewards[1]", "got nan"], index: 1, [0, 1], [1, .nan])
        refuse(V05_STATUS_REWARD_OUT_OF_RANGE, ["rewards[0]", "got 2"], index: 0, [0, 1], [2, 1])
        Outcome.expectRefusal(V05_STATUS_NOT_IN_FLIGHT, ["prompt_index[4]", "got 1"], index: 4, in: memory) {
            v05_allocator_cancel(allocator.handle, [1, 1, 1, 1, 1], 5, $0)
        }
        for count in [-1, .min, 2_147_483_648, .max] as [Int64] {
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["count", "got \(count)"], in: memory) {
                v05_allocator_observe(allocator.handle, [0], [1], count, $0)
            }
            Outcome.expectRefusal(V05_STATUS_INVALID_SIZE, ["count", "got \(count)"], in: memory) {
                v05_allocator_cancel(allocator.handle, [0], count, $0)
            }
        }
        #expect(allocator.saved == before)
    }

    @Test func estimatesInDoublePrecisionOnly() throws {
        let allocator = try Allocator(2)
        _ = allocator.request()
        allocator.observe([(0, 1), (1, 0)])
        let call = EstimateCall(Rollouts(rewards: [1, 0], ids: [0, 1]), .single)
        Outcome.expectRefusal(V05_STATUS_INVALID_OPTION, ["advantages"], in: call.memory) {
            v05_allocator_estimate(allocator.handle, nil, call.estimate, $0)
        }
    }

    @Test func damagedCheckpoints() throws {
        let allocator = try Allocator(3, prior: [0.5, .nan, 1])
        _ = allocator.request()
        allocator.observe([(0, 1), (1, 0), (2, 1)])
        let target = Memory()
        let loaded = target.output(OpaquePointer?.self, 1)
        expectCheckpointRefusals(
            allocator.saved, save: { v05_allocator_save(allocator.handle, $0, $1, $2, $3) },
            load: { v05_allocator_load(loaded, $0, $1, $2) },
            loadingInto: target)
    }
}
