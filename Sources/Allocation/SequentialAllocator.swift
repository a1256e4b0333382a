import CLibrary
import Estimation

/// Says, wave by wave, which prompts of a step need more rollouts.
///
/// A prompt starts with its floor. When all of its rollouts are back it goes on while the expected gain of one more
/// exceeds the cost, up to its ceiling and the budget. Decisions depend on the set of rewards only, not on the order
/// or the portions in which they came.
public struct SequentialAllocator {
    public typealias Options = AllocatorOptions

    public let options: Options
    /// That of the mixture where there is one.
    public let calibration: Calibration?
    /// What the mixture baseline will use, a copy; rewards are two-valued then.
    public let mixture: UnsafeMutablePointer<Mixture>?
    public let promptCount: Int
    /// No prompt starts anything more.
    public private(set) var isStopped = false
    let prompts: UnsafeMutablePointer<Prompt>
    private(set) var log = ObservationLog()
    private var plan: WavePlan
    private var inFlightCount = 0
    /// Owns all of the above but the log.
    private var memory: Workspace

    // MARK: creation

    /// - Parameters: `priors` may hold NaN; `initials` and `maxima` replace initial and maximum prompt by prompt.
    public init(
        options: Options, calibration: Calibration?, mixture given: UnsafePointer<Mixture>? = nil, count: Int,
        priors: UnsafePointer<Double>?, initials: UnsafePointer<Int64>?, maxima: UnsafePointer<Int64>?
    ) throws(Failure) {
        try options.check()
        var needed = 0
        var prompt = 0
        while prompt < count {
            let initial = Int(truncatingIfNeeded: initials?[prompt] ?? Int64(truncatingIfNeeded: options.initial))
            let maximum = Int(truncatingIfNeeded: maxima?[prompt] ?? Int64(truncatingIfNeeded: options.maximum))
            if initial < 1 {
                throw Failure(.invalidOption, "initial[#] must be at least 1", at: prompt, integer: initial)
            }
            if maximum < initial || maximum > largestRowCount {
                throw Failure(
                    .invalidOption, "maximum[#] must be at least initial", at: prompt, integers: maximum, initial)
            }
            let prior = priors?[prompt] ?? .nan
            if !prior.isNaN && !options.interval.widened.contains(prior) {
                throw Failure(
                    .invalidPrior, "prior[#] must be NaN (no prior) or lie in reward_range",
                    at: prompt, real: prior, in: options.interval)
            }
            needed &+= initial
            prompt &+= 1
        }
        if options.budget >= 0 && options.budget < needed {
            throw Failure(
                .infeasible, "budget must cover initial rollouts for every prompt", integers: options.budget, needed)
        }
        self.options = options
        self.calibration = given?.pointee.calibration ?? calibration
        promptCount = count
        var memory = Workspace()
        do {
            prompts = try memory.take(Prompt.self, count: count)
            mixture = try given.map { (given) throws(Failure) in
                let copy = try memory.take(Mixture.self, count: 1)
                copy.initialize(to: given.pointee)
                return copy
            }
            prompt = 0
            while prompt < count {
                let prior = priors.map { options.interval.clamp($0[prompt]) } ?? .nan
                let initial = Int(truncatingIfNeeded: initials?[prompt] ?? Int64(truncatingIfNeeded: options.initial))
                var maximum = Int(truncatingIfNeeded: maxima?[prompt] ?? Int64(truncatingIfNeeded: options.maximum))
                if prior.isNaN && options.maximumWithoutPrior >= 0 {
                    maximum = max(initial, min(maximum, options.maximumWithoutPrior))
                }
                prompts[prompt] = Prompt(prior: prior, initial: initial, maximum: maximum)
                prompt &+= 1
            }
            // A calibration that rests on too little is left aside here as it is in an estimate.
            let supported = self.calibration.flatMap { $0.supports(.calibrated) ? $0 : nil }
            plan = try WavePlan(
                prompts, count: count, options: options,
                expected: ExpectedGain(
                    rule: options.rule, lookAhead: options.lookAhead, interval: options.interval,
                    calibration: supported, mixture: mixture.map { UnsafePointer($0) }),
                workspace: &memory)
        } catch {
            memory.release()
            throw error
        }
        self.memory = memory
    }

    public func release() {
        var memory = self.memory
        memory.release()
        log.release()
    }

    // MARK: what is going on

    public func count(_ prompt: Int) -> Int { Int(prompts[prompt].count) }
    public func inFlight(_ prompt: Int) -> Int { Int(prompts[prompt].inFlight) }
    public func prior(_ prompt: Int) -> Double { prompts[prompt].prior }
    public var observationCount: Int { log.count }
    public var isWeighted: Bool { log.isWeighted }
    /// Score weight of observation `row`; 1 without.
    public func weight(_ row: Int) -> Double { log.weight(row) }
    /// Observation `row` in the order of arrival.
    public func observation(_ row: Int) -> (prompt: Int, reward: Double) { log[row] }

    /// Whether nothing is in flight and nothing would be requested.
    public var isDone: Bool { inFlightCount == 0 && (isStopped || !plan.hasMore) }

    // MARK: requests

    /// How many rollouts of each prompt to start now; they count as in flight. Returns their sum.
    public mutating func request(_ counts: UnsafeMutablePointer<Int64>) -> Int {
        memset(counts, 0, promptCount &* MemoryLayout<Int64>.stride)
        if isStopped { return 0 }
        let started = plan.start(counts)
        inFlightCount &+= started
        return started
    }

    public mutating func stop() { isStopped = true }

    // MARK: results

    /// Takes results in any order and portions. All or nothing.
    public mutating func observe(
        _ indices: UnsafePointer<Int64>, _ rewards: UnsafePointer<Double>, weights: UnsafePointer<Double>? = nil,
        count: Int
    ) throws(Failure) {
        try record(indices, rewards, weights, count: count)
        plan.settle()
    }

    private mutating func record(
        _ indices: UnsafePointer<Int64>, _ rewards: UnsafePointer<Double>, _ weights: UnsafePointer<Double>?,
        count: Int
    ) throws(Failure) {
        if weights != nil && mixture != nil {
            throw Failure(.invalidOption, "weights must not be given with a mixture (a calibration takes them)")
        }
        var row = 0
        while row < count {
            try check(rewards[row], at: row)
            if let weight = weights?[row], !(weight >= 0 && weight <= .greatestFiniteMagnitude) {
                throw Failure(
                    .invalidWeight, "weights[#] must be finite and not negative", at: row, real: weight)
            }
            row &+= 1
        }
        try log.reserve(count)
        if weights != nil {
            try log.weigh { [prompts] prompt, row in
                let before = prompts[prompt].newest
                prompts[prompt].newest = row
                return before
            }
        }
        try takeFromFlight(indices, count: count)
        row = 0
        while row < count {
            let prompt = Int(truncatingIfNeeded: indices[row])
            prompts[prompt].add(rewards[row], in: options.interval)
            log.append(prompt, rewards[row])
            if log.canWeigh {
                log.setWeight(weights?[row], previous: prompts[prompt].newest)
                prompts[prompt].newest = Int32(truncatingIfNeeded: log.count &- 1)
            }
            plan.note(prompt)
            row &+= 1
        }
        if log.isWeighted {
            plan.forEachChanged { [prompts, log] prompt in
                if prompts[prompt].newest >= 0 {
                    prompts[prompt].weigh(log.weightedMean(newest: prompts[prompt].newest))
                }
            }
        }
    }

    /// Takes back rollouts that failed: they count for nothing, and are asked for again up to the initial ones.
    public mutating func cancel(_ indices: UnsafePointer<Int64>, count: Int) throws(Failure) {
        try takeFromFlight(indices, count: count)
        var row = 0
        while row < count {
            plan.noteCancelled(Int(truncatingIfNeeded: indices[row]))
            row &+= 1
        }
        plan.settle()
    }

    private func check(_ reward: Double, at row: Int) throws(Failure) {
        if !(reward.magnitude <= .greatestFiniteMagnitude) {
            throw Failure(
                .invalidReward, "rewards[#] must be finite (cancel takes back a failed rollout)", at: row, real: reward)
        }
        if !options.interval.widened.contains(reward) {
            throw Failure(
                .rewardOutOfRange, "rewards[#] must lie in reward_range", at: row, real: reward, in: options.interval)
        }
        if mixture != nil && reward != options.interval.low && reward != options.interval.high {
            throw Failure(
                .rewardNotTwoValued,
                "rewards[#] must be an end of reward_range with a mixture (a calibration takes any):",
                at: row, real: reward, in: options.interval)
        }
    }

    private mutating func takeFromFlight(_ indices: UnsafePointer<Int64>, count: Int) throws(Failure) {
        var row = 0
        while row < count {
            let index = indices[row]
            let isKnown = index >= 0 && index < Int64(truncatingIfNeeded: promptCount)
            if !isKnown || prompts[Int(truncatingIfNeeded: index)].inFlight == 0 {
                var taken = 0
                while taken < row {
                    prompts[Int(truncatingIfNeeded: indices[taken])].inFlight &+= 1
                    taken &+= 1
                }
                throw isKnown
                    ? Failure(
                        .notInFlight, "prompt_index[#] must not return more rollouts than are in flight of prompt",
                        at: row, integer: Int(truncatingIfNeeded: index))
                    : Failure(
                        .unknownPrompt, "prompt_index[#] must lie in 0 to prompts - 1",
                        at: row, integers: Int(truncatingIfNeeded: index), promptCount)
            }
            prompts[Int(truncatingIfNeeded: index)].inFlight &-= 1
            row &+= 1
        }
        inFlightCount &-= count
    }

    /// Puts an allocator into a saved state: what was observed, in its order, and what is in flight of each prompt.
    mutating func restore(
        inFlight: UnsafePointer<Int64>, _ indices: UnsafePointer<Int64>, _ rewards: UnsafePointer<Double>,
        weights: UnsafePointer<Double>?, count: Int, isStopped: Bool
    ) throws(Failure) {
        var row = 0
        while row < count {
            let index = Int(truncatingIfNeeded: indices[row])
            if index >= 0 && index < promptCount { prompts[index].inFlight &+= 1 }
            row &+= 1
        }
        try record(indices, rewards, weights, count: count)
        var committed = 0
        inFlightCount = 0
        var prompt = 0
        while prompt < promptCount {
            prompts[prompt].inFlight = Int32(truncatingIfNeeded: inFlight[prompt])
            let started = prompts[prompt].started
            if prompts[prompt].inFlight < 0 || started > Int(prompts[prompt].maximum) {
                throw Failure(
                    .checkpointCorrupted, "checkpoint must not hold more rollouts of a prompt than maximum",
                    integers: started, Int(prompts[prompt].maximum))
            }
            inFlightCount &+= Int(prompts[prompt].inFlight)
            committed &+= prompts[prompt].committed
            prompt &+= 1
        }
        if options.budget >= 0 && committed > options.budget {
            throw Failure(
                .checkpointCorrupted, "checkpoint must not hold more rollouts than its budget",
                integers: committed, options.budget)
        }
        self.isStopped = isStopped
        plan.restart()
    }
}
