import CLibrary
import Estimation

/// Says, wave by wave, which prompts of a step need more rollouts.
///
/// A prompt starts with its floor. When all of its rollouts are back it goes on while the expected gain of one more
/// exceeds the cost, up to its ceiling and the budget. Decisions depend on the set of rewards only, not on the order
/// or the portions in which they came.
public struct SequentialAllocator {
    public struct Options: Sendable {
        public var rule = AllocationRule.osla
        public var lookAhead = LookAhead.sameBias
        public var interval = Interval(low: 0, high: 1)
        /// Floor: rollouts that every prompt gets first.
        public var initial = 4
        /// Ceiling.
        public var maximum = 16
        /// The most that a prompt that goes on asks for at once.
        public var wave = 1
        /// Gain that a further rollout must exceed, squared reward units; NaN: h^2 / maximum^2, or 0 for neyman with a budget.
        public var cost = Double.nan
        /// Rollouts of all prompts together; negative: no limit.
        public var budget = -1
        public init() {}
    }

    /// One prompt. Its rewards are kept in the log; these sums do not depend on their order.
    private struct Prompt {
        var prior: Double
        var floor: Int32
        var ceiling: Int32
        var count: Int32 = 0
        var inFlight: Int32 = 0
        var sumHigh = 0.0
        var sumLow = 0.0
        var smallest = Double.infinity
        var largest = -Double.infinity

        var mean: Double { smallest == largest ? smallest : (sumHigh + sumLow) / Double(count) }
        var started: Int { Int(count) &+ Int(inFlight) }
    }

    public let options: Options
    /// That of the mixture where there is one.
    public let calibration: Calibration?
    /// What the mixture baseline will use, a copy; rewards are two-valued then.
    public let mixture: UnsafeMutablePointer<Mixture>?
    public let promptCount: Int
    public private(set) var observationCount = 0
    /// No prompt starts anything more.
    public private(set) var isStopped = false
    private let prompts: UnsafeMutablePointer<Prompt>
    private var logCapacity = 0
    private var logPrompts: UnsafeMutablePointer<Int32>?
    private var logRewards: UnsafeMutablePointer<Double>?

    // MARK: creation

    /// - Parameters: `priors` may hold NaN; `floors` and `ceilings` replace initial and maximum prompt by prompt.
    public init(
        options: Options, calibration: Calibration?, mixture given: UnsafePointer<Mixture>? = nil, count: Int, priors: UnsafePointer<Double>?,
        floors: UnsafePointer<Int64>?, ceilings: UnsafePointer<Int64>?
    ) throws(Failure) {
        try SequentialAllocator.check(options)
        var needed = 0
        var prompt = 0
        while prompt < count {
            let floor = Int(truncatingIfNeeded: floors?[prompt] ?? Int64(truncatingIfNeeded: options.initial))
            let ceiling = Int(truncatingIfNeeded: ceilings?[prompt] ?? Int64(truncatingIfNeeded: options.maximum))
            if floor < 1 {
                throw Failure(.invalidOption, "initial[#] must be at least 1", at: prompt, integer: floor)
            }
            if ceiling < floor || ceiling > largestRowCount {
                throw Failure(
                    .invalidOption, "maximum[#] must be at least initial", at: prompt, integers: ceiling, floor)
            }
            let prior = priors?[prompt] ?? .nan
            if !prior.isNaN && !options.interval.widened.contains(prior) {
                throw Failure(
                    .invalidPrior, "prior[#] must be NaN (no prior) or lie in reward_range",
                    at: prompt, real: prior, in: options.interval)
            }
            needed &+= floor
            prompt &+= 1
        }
        if options.budget >= 0 && options.budget < needed {
            throw Failure(
                .infeasible, "budget must cover initial rollouts for every prompt", integers: options.budget, needed)
        }
        guard let memory = malloc(max(count, 1) &* MemoryLayout<Prompt>.stride) else {
            throw Failure(.outOfMemory, "allocator could not be allocated, prompts", integer: count)
        }
        prompts = memory.assumingMemoryBound(to: Prompt.self)
        if let given {
            guard let copy = malloc(MemoryLayout<Mixture>.size) else {
                free(memory)
                throw Failure(.outOfMemory, "allocator could not be allocated, prompts", integer: count)
            }
            memmove(copy, given, MemoryLayout<Mixture>.size)
            mixture = copy.assumingMemoryBound(to: Mixture.self)
        } else {
            mixture = nil
        }
        prompt = 0
        while prompt < count {
            prompts[prompt] = Prompt(
                prior: priors.map { options.interval.clamp($0[prompt]) } ?? .nan,
                floor: Int32(truncatingIfNeeded: floors?[prompt] ?? Int64(truncatingIfNeeded: options.initial)),
                ceiling: Int32(truncatingIfNeeded: ceilings?[prompt] ?? Int64(truncatingIfNeeded: options.maximum)))
            prompt &+= 1
        }
        self.options = options
        self.calibration = given?.pointee.calibration ?? calibration
        promptCount = count
    }

    private static func check(_ options: Options) throws(Failure) {
        guard options.initial >= 1 && options.initial <= largestRowCount else {
            throw Failure(.invalidOption, "initial must be at least 1", integer: options.initial)
        }
        guard options.maximum >= options.initial && options.maximum <= largestRowCount else {
            throw Failure(
                .invalidOption, "maximum must be at least initial", integers: options.maximum, options.initial)
        }
        guard options.wave >= 1 && options.wave <= largestRowCount else {
            throw Failure(.invalidOption, "wave must be at least 1", integer: options.wave)
        }
        guard options.cost.isNaN || (options.cost >= 0 && options.cost <= .greatestFiniteMagnitude) else {
            throw Failure(.invalidOption, "cost must be finite and not negative", real: options.cost)
        }
    }

    public func release() {
        free(prompts)
        free(mixture)
        free(logPrompts)
        free(logRewards)
    }

    // MARK: what is going on

    public func count(_ prompt: Int) -> Int { Int(prompts[prompt].count) }
    public func inFlight(_ prompt: Int) -> Int { Int(prompts[prompt].inFlight) }

    public var cost: Double {
        if !options.cost.isNaN { return options.cost }
        if options.rule == .neyman && options.budget >= 0 { return 0 }
        let h = options.interval.halfRange
        return h * h / (Double(options.maximum) * Double(options.maximum))
    }

    private var remainingBudget: Int {
        if options.budget < 0 { return Int.max }
        var started = 0
        var prompt = 0
        while prompt < promptCount {
            started &+= prompts[prompt].started
            prompt &+= 1
        }
        return max(0, options.budget &- started)
    }

    // MARK: requests

    /// How many rollouts of each prompt to start now; they count as in flight. Returns their sum.
    public func request(_ counts: UnsafeMutablePointer<Int64>, workspace: inout Workspace) throws(Failure) -> Int {
        let wanted = try workspace.take(Int64.self, count: promptCount)
        try plan(wanted, workspace: &workspace)
        var sum = 0
        var prompt = 0
        while prompt < promptCount {
            counts[prompt] = wanted[prompt]
            prompts[prompt].inFlight &+= Int32(truncatingIfNeeded: wanted[prompt])
            sum &+= Int(truncatingIfNeeded: wanted[prompt])
            prompt &+= 1
        }
        return sum
    }

    /// Whether nothing is in flight and nothing would be requested.
    public func isDone(workspace: inout Workspace) throws(Failure) -> Bool {
        let wanted = try workspace.take(Int64.self, count: promptCount)
        try plan(wanted, workspace: &workspace)
        var prompt = 0
        while prompt < promptCount {
            if wanted[prompt] > 0 || prompts[prompt].inFlight > 0 { return false }
            prompt &+= 1
        }
        return true
    }

    private func plan(_ wanted: UnsafeMutablePointer<Int64>, workspace: inout Workspace) throws(Failure) {
        let gains = try workspace.take(Int64.self, count: promptCount)
        let extra = try workspace.take(Int64.self, count: promptCount)
        var sort = try RadixSort(count: promptCount, workspace: &workspace)
        var budget = remainingBudget
        var prompt = 0
        while prompt < promptCount {
            let lacking = isStopped ? 0 : max(0, Int(prompts[prompt].floor) &- prompts[prompt].started)
            wanted[prompt] = Int64(truncatingIfNeeded: lacking)
            if budget != Int.max { budget &-= lacking }
            prompt &+= 1
        }
        if isStopped || budget <= 0 { return }
        if options.rule == .neyman && options.budget >= 0 {
            try planBudget(budget, extra, workspace: &workspace)
        } else {
            prompt = 0
            while prompt < promptCount {
                extra[prompt] = Int64(truncatingIfNeeded: options.wave)
                prompt &+= 1
            }
        }
        let expected = expectedGain
        let spendsAll = options.rule == .neyman && options.budget >= 0 && cost == 0
        prompt = 0
        while prompt < promptCount {
            let isOpen = isReady(prompt) && extra[prompt] > 0
            let gain = isOpen ? expected.next(progress(prompt)) : 0
            // Ascending order of these is descending order of the gains; 0 asks for nothing.
            let goesOn = gain > cost || (isOpen && spendsAll)
            gains[prompt] = goesOn ? 0 &- Int64(bitPattern: max(gain, .leastNonzeroMagnitude).bitPattern) : 0
            prompt &+= 1
        }
        let binds = budget < Int.max
        if binds { sort.sort(gains) }
        var position = 0
        while position < promptCount && budget > 0 {
            let prompt = binds ? Int(truncatingIfNeeded: sort.rows[position]) : position
            position &+= 1
            if gains[prompt] == 0 { continue }
            let room = Int(prompts[prompt].ceiling) &- prompts[prompt].started
            let granted = min(min(options.wave, Int(truncatingIfNeeded: extra[prompt])), min(room, budget))
            if granted <= 0 { continue }
            wanted[prompt] = Int64(truncatingIfNeeded: granted)
            if budget != Int.max { budget &-= granted }
        }
    }

    /// All rollouts are back, the floor is met and there is room: the prompt can be decided on.
    private func isReady(_ prompt: Int) -> Bool {
        prompts[prompt].inFlight == 0 && prompts[prompt].count >= prompts[prompt].floor
            && prompts[prompt].count < prompts[prompt].ceiling
    }

    @inline(never)
    private func progress(_ prompt: Int) -> Progress {
        Progress(count: Int(prompts[prompt].count), mean: prompts[prompt].mean, prior: prompts[prompt].prior)
    }

    /// A calibration that rests on too little is left aside here as it is in an estimate.
    private var expectedGain: ExpectedGain {
        ExpectedGain(
            rule: options.rule, lookAhead: options.lookAhead, interval: options.interval,
            calibration: calibration.flatMap { $0.supports(.calibrated) ? $0 : nil }, mixture: mixture)
    }

    /// With a budget, neyman spreads what is left over all prompts by what is known now, so that a prompt goes on only
    /// where its share says so; prompts whose rollouts are not back keep their share.
    private func planBudget(
        _ budget: Int, _ shares: UnsafeMutablePointer<Int64>, workspace: inout Workspace
    ) throws(Failure) {
        let variances = try workspace.take(Double.self, count: promptCount)
        let starts = try workspace.take(Int64.self, count: promptCount)
        let expected = expectedGain
        var prompt = 0
        while prompt < promptCount {
            let state = prompts[prompt]
            variances[prompt] = state.count > 0 ? expected.rewardVariance(progress(prompt)) : largestVariance
            starts[prompt] = Int64(max(state.started, Int(state.floor)))
            shares[prompt] = 0
            prompt &+= 1
        }
        let least = cost
        var left = try fillConcave(
            shares, promptCount: promptCount, total: budget, workspace: &workspace,
            rolloutsAbove: { prompt, threshold in
                let start = Int(truncatingIfNeeded: starts[prompt])
                return noiseDropsAbove(
                    max(threshold, least), variance: variances[prompt], from: start,
                    most: Int(prompts[prompt].ceiling) &- start)
            },
            gain: { prompt, extra in
                let rollouts = Int(truncatingIfNeeded: starts[prompt]) &+ extra
                let gain = noiseDrop(variance: variances[prompt], after: rollouts)
                return rollouts < Int(prompts[prompt].ceiling) && gain > least ? gain : 0
            })
        // What seems to gain nothing anywhere is spent all the same where there is no cost: one each, by index.
        var spread = 1
        while least == 0 && left > 0 && spread > 0 {
            spread = 0
            prompt = 0
            while prompt < promptCount && left > 0 {
                if starts[prompt] &+ shares[prompt] < Int64(prompts[prompt].ceiling) {
                    shares[prompt] &+= 1
                    spread &+= 1
                    left &-= 1
                }
                prompt &+= 1
            }
        }
    }

    private var largestVariance: Double { options.interval.halfRange * options.interval.halfRange }

    // MARK: results

    /// Takes results in any order and portions. All or nothing.
    public mutating func observe(
        _ indices: UnsafePointer<Int64>, _ rewards: UnsafePointer<Double>, count: Int
    ) throws(Failure) {
        var row = 0
        while row < count {
            if !(rewards[row].magnitude <= .greatestFiniteMagnitude) {
                throw Failure(
                    .invalidReward, "rewards[#] must be finite (cancel takes back a failed rollout)",
                    at: row, real: rewards[row])
            }
            if !options.interval.widened.contains(rewards[row]) {
                throw Failure(
                    .rewardOutOfRange, "rewards[#] must lie in reward_range",
                    at: row, real: rewards[row], in: options.interval)
            }
            let isEnd = rewards[row] == options.interval.low || rewards[row] == options.interval.high
            if mixture != nil && !isEnd {
                throw Failure(
                    .rewardNotTwoValued, "rewards[#] must be an end of reward_range with a mixture (a calibration takes any):",
                    at: row, real: rewards[row], in: options.interval)
            }
            row &+= 1
        }
        try reserveLog(count)
        try takeFromFlight(indices, count: count)
        row = 0
        while row < count {
            let prompt = Int(truncatingIfNeeded: indices[row])
            add(rewards[row], to: prompt)
            logPrompts?[observationCount] = Int32(truncatingIfNeeded: prompt)
            logRewards?[observationCount] = rewards[row]
            observationCount &+= 1
            row &+= 1
        }
    }

    /// Takes back rollouts that failed: they count for nothing, and the floor asks for them again.
    public func cancel(_ indices: UnsafePointer<Int64>, count: Int) throws(Failure) {
        try takeFromFlight(indices, count: count)
    }

    public mutating func stop() { isStopped = true }

    private func add(_ reward: Double, to prompt: Int) {
        let bound = max(options.interval.low.magnitude, options.interval.high.magnitude) * 1.01
        var piece = ReproducibleSum(count: Int(prompts[prompt].ceiling), largest: bound)
        piece.add(reward)
        prompts[prompt].sumHigh += piece.high
        prompts[prompt].sumLow += piece.low
        prompts[prompt].smallest = min(prompts[prompt].smallest, reward)
        prompts[prompt].largest = max(prompts[prompt].largest, reward)
        prompts[prompt].count &+= 1
    }

    private func takeFromFlight(_ indices: UnsafePointer<Int64>, count: Int) throws(Failure) {
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
    }

    private mutating func reserveLog(_ additional: Int) throws(Failure) {
        let needed = observationCount &+ additional
        if needed <= logCapacity { return }
        let capacity = max(needed, max(2 &* logCapacity, 64))
        guard let grownPrompts = realloc(logPrompts, capacity &* MemoryLayout<Int32>.stride) else {
            throw Failure(.outOfMemory, "allocator could not grow, observations", integer: capacity)
        }
        logPrompts = grownPrompts.assumingMemoryBound(to: Int32.self)
        guard let grownRewards = realloc(logRewards, capacity &* MemoryLayout<Double>.stride) else {
            throw Failure(.outOfMemory, "allocator could not grow, observations", integer: capacity)
        }
        logRewards = grownRewards.assumingMemoryBound(to: Double.self)
        logCapacity = capacity
    }

    /// Observation `row` in the order of arrival.
    public func observation(_ row: Int) -> (prompt: Int64, reward: Double) {
        (Int64(logPrompts?[row] ?? 0), logRewards?[row] ?? 0)
    }

    public func prior(_ prompt: Int) -> Double { prompts[prompt].prior }

    /// Replays what was observed by a saved allocator and puts in flight what was in flight there.
    mutating func restore(
        inFlight: UnsafePointer<Int64>, _ indices: UnsafePointer<Int64>, _ rewards: UnsafePointer<Double>, count: Int
    ) throws(Failure) {
        var row = 0
        while row < count {
            let index = Int(truncatingIfNeeded: indices[row])
            if index >= 0 && index < promptCount { prompts[index].inFlight &+= 1 }
            row &+= 1
        }
        try observe(indices, rewards, count: count)
        var prompt = 0
        while prompt < promptCount {
            prompts[prompt].inFlight = Int32(truncatingIfNeeded: inFlight[prompt])
            if prompts[prompt].inFlight < 0 || prompts[prompt].started > Int(prompts[prompt].ceiling) {
                throw Failure(
                    .checkpointCorrupted, "checkpoint must not hold more rollouts of a prompt than maximum",
                    integers: prompts[prompt].started, Int(prompts[prompt].ceiling))
            }
            prompt &+= 1
        }
    }

    // MARK: checkpoint

    public var savedSize: Int {
        160 &+ 20 &* promptCount &+ 12 &* observationCount &+ (mixture == nil ? 0 : MixtureNumbers.savedSize)
    }

    public func write(to writer: inout CheckpointWriter) {
        writer.write(UInt32(bitPattern: options.rule.rawValue))
        writer.write(UInt32(bitPattern: options.lookAhead.rawValue))
        writer.write(options.interval.low)
        writer.write(options.interval.high)
        writer.write(UInt64(truncatingIfNeeded: options.initial))
        writer.write(UInt64(truncatingIfNeeded: options.maximum))
        writer.write(UInt64(truncatingIfNeeded: options.wave))
        writer.write(options.cost)
        writer.write(UInt64(bitPattern: Int64(truncatingIfNeeded: options.budget)))
        writer.write(UInt64(calibration == nil ? 0 : (mixture == nil ? 1 : 2)))
        let fit = calibration ?? .empty
        writer.write(fit.intercept)
        writer.write(fit.slope)
        writer.write(fit.priorVariance)
        writer.write(fit.rewardVariance)
        writer.write(fit.grandMean)
        writer.write(fit.betweenVariance)
        writer.write(fit.groups)
        writer.write(fit.totalGroups)
        writer.write(UInt64(isStopped ? 1 : 0))
        writer.write(UInt64(truncatingIfNeeded: promptCount))
        writer.write(UInt64(truncatingIfNeeded: observationCount))
        var prompt = 0
        while prompt < promptCount {
            writer.write(prompts[prompt].prior)
            writer.write(UInt32(bitPattern: prompts[prompt].floor))
            writer.write(UInt32(bitPattern: prompts[prompt].ceiling))
            writer.write(UInt32(bitPattern: prompts[prompt].inFlight))
            prompt &+= 1
        }
        var row = 0
        while row < observationCount {
            let (prompt, reward) = observation(row)
            writer.write(UInt32(truncatingIfNeeded: prompt))
            writer.write(reward)
            row &+= 1
        }
        if let mixture { writer.write(mixture.pointee.weights) }
    }
}
