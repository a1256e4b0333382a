/// The history's successor (method section 15): what the same prompts did before, as two discounted means, and what their
/// visits have shown such means to be worth. Calibrated from single rollouts.
///
/// At each visit of a prompt with k rewards:  s <- d s + sum (r - lo) / (hi - lo),  n <- d n + k  for d = discount and d =
/// slowDiscount. `TrackerRegression` makes its value of both, `TrackerStrengths` says what that is worth.
public struct Tracker {
    public struct Options: Sendable {
        public var interval = Interval(low: 0, high: 1)
        /// Factors on what is known at each visit, in 0...1.
        public var discount = 0.8
        public var slowDiscount = 0.95
        /// Factor on what was learnt of all prompts at each batch, in 0...1.
        public var forgetting = 0.98
        /// Prompts kept, those recorded longest ago go first; 0: all.
        public var capacity = 0

        public init() {}

        public func check() throws(Failure) {
            guard discount >= 0 && discount <= 1 else {
                throw Failure(.invalidOption, "discount must lie in [0, 1]", real: discount)
            }
            guard slowDiscount >= 0 && slowDiscount <= 1 else {
                throw Failure(.invalidOption, "slow_discount must lie in [0, 1]", real: slowDiscount)
            }
            guard forgetting >= 0 && forgetting <= 1 else {
                throw Failure(.invalidOption, "forgetting must lie in [0, 1]", real: forgetting)
            }
            guard capacity >= 0 else {
                throw Failure(.invalidOption, "capacity must be at least 1, or 0 for no limit", integer: capacity)
            }
        }
    }

    public let options: Options
    var table = HistoryTable(hasSlowSums: true)
    var batches = BatchLevel()
    var regression = TrackerRegression()
    var strengths = TrackerStrengths()
    var errors = TrackerErrors()
    public var count: Int { table.count }

    public init(options: Options) { self.options = options }

    public func release() { table.release() }

    /// The prior of one prompt. `known`: it was recorded before or has a prior of its own.
    struct Foretold {
        var value: Double
        var features: SIMD2<Double>
        var isKnown: Bool
    }

    /// - Parameters: `prior` as a fraction of the interval, or NaN; `level` of the batches so far.
    @inline(__always)
    func foretell(_ entry: HistoryTable.Entry, prior: Double, level: Double) -> Foretold {
        if entry.strength <= 0 && entry.slowStrength <= 0 && prior.isNaN {
            let value = level.isNaN ? level : TrackerRegression.possible(level)
            return Foretold(value: value, features: SIMD2(repeating: 0), isKnown: false)
        }
        let features = TrackerRegression.features(entry, prior: prior, level: level)
        return Foretold(value: regression.value(features), features: features, isKnown: true)
    }

    @inline(__always)
    func entry(of key: UInt64) -> HistoryTable.Entry {
        let entry = table.find(key)
        return entry < 0 ? HistoryTable.Entry(key: key, successes: 0, strength: 0, step: 0) : table[entry]
    }

    /// Values and strengths of keys; NaN and 0 where nothing is known, neither of one nor of any batch.
    ///
    /// The strength is that of the Beta distribution with the variance that the strengths give on average.
    @_optimize(speed)
    public func predict(
        _ keys: UnsafePointer<Int64>, priors: UnsafePointer<Double>?, count: Int,
        values: UnsafeMutablePointer<Double>?, strengths given: UnsafeMutablePointer<Double>?
    ) throws(Failure) {
        let interval = options.interval
        var index = 0
        while index < count, let priors {
            if !priors[index].isNaN && !interval.contains(priors[index]) {
                throw Failure(
                    .invalidPrior, "priors[#] must be NaN or lie in reward_range", at: index, real: priors[index],
                    in: interval)
            }
            index &+= 1
        }
        let known = 1 / strengths.known.spread() - 1
        let new = 1 / strengths.new.spread() - 1
        index = 0
        while index < count {
            let prior = priors.map { $0[index].isNaN ? .nan : interval.probability(of: $0[index]) } ?? .nan
            let found = foretell(entry(of: UInt64(bitPattern: keys[index])), prior: prior, level: batches.level)
            if let values {
                values[index] =
                    found.value.isNaN
                    ? .nan : interval.clamp(interval.low + (interval.high - interval.low) * found.value)
            }
            if let given { given[index] = found.value.isNaN ? 0 : (found.isKnown ? known : new) }
            index &+= 1
        }
    }

    /// Records one visit of every key of the batch: ids are keys, priors those that were given to `predict`. All or nothing.
    public mutating func record(_ batch: Batch, workspace: inout Workspace) throws(Failure) {
        let hasWeights = batch.weights != nil
        // Without weights where all are equal.
        let batch = try batch.checkingWeights()
        let isTwoValued = batch.weights == nil && batch.hasTwoValues(of: options.interval)
        let summary = try summary(of: batch, needsSquares: !isTwoValued, workspace: &workspace)
        var largest = 1.0
        var group = 0
        while group < summary.grouping.groupCount {
            largest = max(largest, Double(summary.groups[group].count))
            group &+= 1
        }
        // The mean weight is at least a fifth of that of its batch.
        let bound = 8 * (batch.weights == nil ? largest : Double(batch.rowCount))
        let sums = try TrackerSums(
            groupCount: summary.grouping.groupCount, largest: bound, workspace: &workspace)
        var ofKnown = try strengths.known.likelihoods(workspace: &workspace)
        var ofNew = try strengths.new.likelihoods(workspace: &workspace)
        guard
            let visits = try BatchVisits(
                summary, hasWeights: hasWeights, in: &table, &batches, workspace: &workspace)
        else { return }
        let before = batches.level
        batches.learnLevel(successes: visits.totalSuccesses, count: visits.totalCount)
        learn(
            summary, visits, sums, &ofKnown, &ofNew, isTwoValued: isTwoValued,
            level: before.isNaN ? batches.level : before)
        table.trim(to: options.capacity)
    }

    /// - Parameter batch: its weights have been checked.
    func summary(
        of batch: Batch, needsSquares: Bool, workspace: inout Workspace
    ) throws(Failure) -> BatchSummary {
        var estimation = EstimationOptions()
        estimation.rule = .v05
        estimation.interval = options.interval
        return try BatchSummary(batch, options: estimation, needsSquares: needsSquares, workspace: &workspace)
    }

    @_optimize(speed)
    private mutating func learn(
        _ summary: BatchSummary, _ visits: BatchVisits, _ sums: TrackerSums, _ ofKnown: inout RewardLikelihoods,
        _ ofNew: inout RewardLikelihoods, isTwoValued: Bool, level: Double
    ) {
        let interval = options.interval
        let width = interval.high - interval.low
        var known = 0
        var new = 0
        var group = 0
        while group < summary.grouping.groupCount {
            let rewards = summary.groups[group]
            let (successes, count) = (visits.successes[group], visits.counts[group])
            if count > 0 {
                let key = UInt64(bitPattern: summary.key(of: group))
                let prior = rewards.prior.value.isNaN ? .nan : interval.probability(of: rewards.prior.value)
                let place = visits.places[group]
                var entry =
                    place < 0 ? HistoryTable.Entry(key: key, successes: 0, strength: 0, step: 0) : table[place]
                let found = foretell(entry, prior: prior, level: level)
                let value = found.value
                if found.isKnown {
                    TrackerRegression.add(
                        found.features, value: value, successes: successes, count: count, to: sums)
                }
                known &+= found.isKnown ? 1 : 0
                new &+= found.isKnown ? 0 : 1

                let mean = successes / count
                // Rewards at the ends alone have the squares that their mean says.
                let binomial = count * mean * (1 - mean)
                let within =
                    isTwoValued
                    ? binomial : rewards.sumOfSquares / (width * width) * (count / rewards.effectiveCount)
                sums.add(TrackerSums.gradient &+ 1, SIMD2(0, within + count * (mean - value) * (mean - value)))
                if rewards.count > 1 && summary.batch.weights == nil && binomial - within <= 2e-6 * count {
                    let wins = max(0, min(Int(exactly: (mean * Double(rewards.count)).rounded()) ?? 0, rewards.count))
                    if found.isKnown {
                        strengths.known.add(
                            value: value, successes: wins, count: rewards.count, by: &ofKnown, to: sums,
                            from: TrackerSums.known)
                    } else {
                        strengths.new.add(
                            value: value, successes: wins, count: rewards.count, by: &ofNew, to: sums,
                            from: TrackerSums.new)
                    }
                }

                entry.successes = options.discount * entry.successes + successes
                entry.strength = options.discount * entry.strength + count
                entry.slowSuccesses = options.slowDiscount * entry.slowSuccesses + successes
                entry.slowStrength = options.slowDiscount * entry.slowStrength + count
                put(entry, at: place)
            }
            group &+= 1
        }
        regression.learn(sums, forgetting: options.forgetting)
        strengths.learn(sums, forgetting: options.forgetting)
        errors.learn(
            squares: max(0, sums.value(TrackerSums.gradient &+ 1)[1]), rollouts: visits.totalCount, known: known,
            new: new, forgetting: options.forgetting)
    }

    private mutating func put(_ entry: HistoryTable.Entry, at place: Int32) {
        if place < 0 {
            _ = table.insert(entry)
        } else {
            table[place] = entry
            table.makeNewest(place)
        }
    }

    /// What its values are worth to the calibrated rule; it rests on all prompts that were recorded, also with one rollout.
    public var calibration: Calibration {
        errors.calibration(strengths, level: batches.level, interval: options.interval)
    }

    /// Adds what another tracker knows, as if its visits had been counted here: sums of both where both know a key. In a wider
    /// interval the logits of the other mean something else: what it learnt of them is then left out.
    public mutating func merge(_ other: Tracker) throws(Failure) {
        let units = try IntervalUnits(from: other.options.interval, to: options.interval)
        try table.reserve(for: other.table)
        batches.merge(other.batches, units: units)
        if units.isSame {
            regression.merge(other.regression)
            strengths.merge(other.strengths)
            errors.merge(other.errors)
        }
        var next = other.table.oldest
        while next >= 0 {
            let visit = other.table[next]
            let place = table.find(visit.key)
            var entry = entry(of: visit.key)
            entry.successes += units.sum(visit.successes, count: visit.strength)
            entry.strength += visit.strength
            entry.slowSuccesses += units.sum(visit.slowSuccesses, count: visit.slowStrength)
            entry.slowStrength += visit.slowStrength
            put(entry, at: place)
            next = other.table.newer(than: next)
        }
        table.trim(to: options.capacity)
    }
}
