/// The first half of an estimation: every row is checked and every group summarised. Nothing of the caller's
/// is written before all of it has passed.
struct BatchSummary {
    let batch: Batch
    let grouping: Grouping
    let groups: UnsafeMutablePointer<GroupSummary>
    /// For the median rule only.
    let middles: UnsafeMutablePointer<MiddleRewards>?
    /// One counted group's rewards.
    let scratch: UnsafeMutablePointer<Double>
    /// With weights only: the sums of each group, and one counted group's weights.
    let weights: UnsafeMutablePointer<GroupWeights>?
    let scratchWeights: UnsafeMutablePointer<Double>
    /// What the groups' units are counted in.
    private(set) var weightUnit: Double
    let options: EstimationOptions
    private let needsSquares: Bool
    /// What a counted reward must lie in.
    private let accepted: ClosedRange<Double>
    /// The ends of the interval in the precision of the rewards; NaN where groups are not told by them alone.
    let ends: (low: Double, high: Double)

    static func workspaceSize(rowCount: Int, groupCount: Int?, rule: BaselineRule, hasWeights: Bool) -> Int {
        let grouping = groupCount == nil ? Grouping.workspaceSize(rowCount: rowCount) : 0
        let groups = groupCount ?? rowCount
        return grouping
            &+ Workspace.size(of: GroupSummary.self, count: groups)
            &+ (rule == .median ? Workspace.size(of: MiddleRewards.self, count: groups) : 0)
            &+ Workspace.size(of: Double.self, count: rowCount)
            &+ (hasWeights
                ? Workspace.size(of: GroupWeights.self, count: groups)
                    &+ Workspace.size(of: Double.self, count: rowCount) : 0)
    }

    /// - Parameter batch: its weights have been checked.
    init(
        _ batch: Batch, options: EstimationOptions, needsSquares: Bool, workspace: inout Workspace
    ) throws(Failure) {
        self.batch = batch
        self.options = options
        self.needsSquares = needsSquares
        accepted = options.acceptedRewards
        // -0.0 becomes 0.0.
        let low = batch.rewards.rounded(options.interval.low) + 0
        let high = batch.rewards.rounded(options.interval.high) + 0
        let tell = batch.weights == nil && options.rule != .median && accepted ~= low && accepted ~= high
        ends = tell ? (low, high) : (.nan, .nan)
        switch batch.groups {
        case .ids(let ids):
            grouping = try Grouping(ids: ids, rowCount: batch.rowCount, workspace: &workspace)
        case .offsets(let offsets, let count):
            grouping = try Grouping(offsets: offsets, groupCount: count, rowCount: batch.rowCount)
        }
        groups = try workspace.take(GroupSummary.self, count: grouping.groupCount)
        middles =
            options.rule == .median
            ? try workspace.take(MiddleRewards.self, count: grouping.groupCount) : nil
        scratch = try workspace.take(Double.self, count: grouping.largestGroup)
        weights = batch.weights == nil ? nil : try workspace.take(GroupWeights.self, count: grouping.groupCount)
        scratchWeights = batch.weights == nil ? scratch : try workspace.take(Double.self, count: grouping.largestGroup)
        weightUnit = batch.commonWeight
        // So many more groups in a row may hold other rewards than ends before nobody looks any more.
        var patience = ends.low.isNaN ? 0 : 16
        var group = 0
        while group < grouping.groupCount {
            let isByEnds = patience > 0 ? try summarizeByEnds(group) : false
            if !isByEnds { try summarize(group) }
            patience = isByEnds ? 16 : max(0, patience &- 1)
            group &+= 1
        }
        if batch.weights != nil { scaleUnits() }
    }

    /// Makes the largest unit about 1.
    private mutating func scaleUnits() {
        var largest = 0.0
        var group = 0
        while group < grouping.groupCount {
            largest = max(largest, groups[group].unit)
            group &+= 1
        }
        if largest == 0 { return }
        let scale = GroupWeights.scale(largest)
        weightUnit = 1 / scale
        group = 0
        while group < grouping.groupCount {
            groups[group].unit *= scale
            group &+= 1
        }
    }

    /// Mean weight of the rows that weigh anything, in the unit of the groups; 1 without weights.
    var meanWeight: Double {
        if batch.weights == nil { return 1 }
        var sum = ReproducibleSum(count: grouping.groupCount, largest: 4 * Double(grouping.largestGroup))
        var count = 0
        var group = 0
        while group < grouping.groupCount {
            sum.add(groups[group].unit * groups[group].effectiveCount)
            count &+= groups[group].count
            group &+= 1
        }
        return count > 0 ? sum.value / Double(count) : 1
    }

    /// For a fit, which needs all that there is to know of the groups.
    @inline(never)
    init(
        fitting batch: Batch, for rule: BaselineRule, _ interval: Interval, workspace: inout Workspace
    ) throws(Failure) {
        var options = EstimationOptions()
        options.rule = rule
        options.interval = interval
        if batch.weights != nil { try options.checkTakesWeights() }
        try self.init(try batch.checkingWeights(), options: options, needsSquares: true, workspace: &workspace)
    }

    /// The id of a group; with offsets its number.
    func key(of group: Int) -> Int64 {
        switch batch.groups {
        case .ids(let ids): return ids[grouping.row(at: grouping.start(group))]
        case .offsets: return Int64(truncatingIfNeeded: group)
        }
    }

    @_optimize(speed)
    private func summarize(_ group: Int) throws(Failure) {
        let prior = try prior(of: group)
        if let given = batch.weights, let weights { return try summarize(group, prior, given, &weights[group]) }
        let (count, range) = try collect(group)
        if count == 0 {
            groups[group] = .empty(prior: prior)
            return
        }
        groups[group] = GroupSummary(rewards: scratch, count: count, range: range, prior: prior)
        if options.needsTwoValues { groups[group].successes = try successes(in: group, count: count) }
        if let middles {
            sortAscending(scratch, count: count)
            middles[group] = MiddleRewards(sorted: scratch, count: count)
        }
        if needsSquares && !groups[group].constant {
            groups[group].sumOfSquares = squaredDeviations(scratch, count: count, mean: groups[group].mean)
        }
    }

    /// Summarises a group whose counted rewards all are ends of the interval: how many of each says everything. Else, and
    /// where nothing counts, false.
    @_optimize(speed)
    @inline(never)
    private func summarizeByEnds(_ group: Int) throws(Failure) -> Bool {
        let start = grouping.start(group)
        let size = grouping.size(group)
        var counts = (lows: 0, highs: 0, counted: size)
        if grouping.rows == nil && batch.mask == nil {
            switch batch.rewards {
            case .single(let rewards): counts = rewards.countingEnds(start, size, ends.low, ends.high)
            case .double(let rewards): counts = rewards.countingEnds(start, size, ends.low, ends.high)
            }
        } else {
            counts.counted = 0
            var position = start
            while position < start &+ size {
                let row = grouping.row(at: position)
                if batch.isCounted(row) {
                    let reward = batch.rewards[row]
                    counts.lows &+= reward == ends.low ? 1 : 0
                    counts.highs &+= reward == ends.high ? 1 : 0
                    counts.counted &+= 1
                }
                position &+= 1
            }
        }
        // Where both ends are the same number every reward counts twice.
        if counts.counted == 0 || counts.lows &+ counts.highs != counts.counted { return false }
        groups[group] = GroupSummary(
            lows: counts.lows, highs: counts.highs, ends: ends, prior: try prior(of: group), needsSquares: needsSquares)
        return true
    }

    /// Copies the counted rewards of a group to `scratch` and checks them.
    @_optimize(speed)
    private func collect(_ group: Int) throws(Failure) -> (count: Int, range: RewardRange) {
        var range = RewardRange()
        var count = 0
        var refused = 0
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            if batch.isCounted(row) {
                let reward = batch.rewards[row]
                scratch[count] = reward
                refused &+= reward >= accepted.lowerBound && reward <= accepted.upperBound ? 0 : 1
                range.smallest = reward < range.smallest ? reward : range.smallest
                range.largest = reward > range.largest ? reward : range.largest
                count &+= 1
            }
            position &+= 1
        }
        if refused > 0 { throw refusal(in: group) }
        return (count, range)
    }

    @_optimize(speed)
    private func summarize(
        _ group: Int, _ prior: Prior, _ given: UnsafePointer<Double>, _ sums: inout GroupWeights
    ) throws(Failure) {
        var range = RewardRange()
        var largest = 0.0
        var count = 0
        var refused = 0
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            if batch.isCounted(row) {
                let reward = batch.rewards[row]
                let weight = given[row]
                refused &+= reward >= accepted.lowerBound && reward <= accepted.upperBound ? 0 : 1
                scratch[count] = reward
                scratchWeights[count] = weight
                // A row that weighs nothing leaves its place to the next.
                if weight >= smallestWeight {
                    range.smallest = reward < range.smallest ? reward : range.smallest
                    range.largest = reward > range.largest ? reward : range.largest
                    largest = weight > largest ? weight : largest
                    count &+= 1
                }
            }
            position &+= 1
        }
        if refused > 0 { throw refusal(in: group) }
        sums = GroupWeights(scratchWeights, count: count, largest: largest)
        if count == 0 {
            groups[group] = .empty(prior: prior)
            return
        }
        groups[group] = GroupSummary(
            rewards: scratch, weights: scratchWeights, sums: sums, count: count, range: range, prior: prior)
        if needsSquares && !groups[group].constant {
            groups[group].addSquares(scratch, weights: scratchWeights, sums: sums)
        }
    }

    /// The first reward of the group that breaks a rule, and which rule.
    private func refusal(in group: Int) -> Failure {
        var position = grouping.start(group)
        let end = position &+ grouping.size(group)
        while position < end {
            let row = grouping.row(at: position)
            let reward = batch.rewards[row]
            if batch.isCounted(row) {
                if !(reward.magnitude <= .greatestFiniteMagnitude) {
                    return Failure(
                        .invalidReward, "rewards[#] must be finite in a counted row (mask takes a row out)",
                        at: row, real: reward)
                }
                if !(reward.magnitude <= largestReward) {
                    return Failure(
                        .invalidReward, "rewards[#] must not be larger than 1e30 in absolute value",
                        at: row, real: reward)
                }
                if !(reward >= accepted.lowerBound && reward <= accepted.upperBound) {
                    return Failure(
                        .rewardOutOfRange, "rewards[#] must lie in reward_range",
                        at: row, real: reward, in: options.interval)
                }
            }
            position &+= 1
        }
        return Failure(.invalidReward, "rewards changed during the call")
    }

    /// Number of rewards at the upper end.
    private func successes(in group: Int, count: Int) throws(Failure) -> Int {
        let low = batch.rewards.rounded(options.interval.low)
        let high = batch.rewards.rounded(options.interval.high)
        var successes = 0
        var index = 0
        while index < count {
            if scratch[index] == high {
                successes &+= 1
            } else if scratch[index] != low {
                throw Failure(
                    .rewardNotTwoValued,
                    options.rule == .mixture
                        ? "rewards[#] must be an end of reward_range for the rule mixture (calibrated takes any reward):"
                        : "rewards[#] must be an end of reward_range for the exact test:",
                    at: row(ofCounted: index, in: group), real: scratch[index], in: options.interval)
            }
            index &+= 1
        }
        return successes
    }

    private func row(ofCounted index: Int, in group: Int) -> Int {
        var left = index
        var position = grouping.start(group)
        while left > 0 || !batch.isCounted(grouping.row(at: position)) {
            left &-= batch.isCounted(grouping.row(at: position)) ? 1 : 0
            position &+= 1
        }
        return grouping.row(at: position)
    }

    /// The prior of a group: that of its counted rows, which must agree, or of its first row where no row counts.
    @inline(never)
    private func prior(of group: Int) throws(Failure) -> Prior {
        guard let priors = batch.priors else { return Prior(value: .nan) }
        var first = group
        if case .ids = batch.groups { first = try firstCounted(group, priors) }
        return try checkedPrior(at: first)
    }

    /// The first counted row of a group, with whose prior all others agree; the first of all where none counts.
    @inline(__always)
    private func firstCounted(_ group: Int, _ priors: UnsafePointer<Double>) throws(Failure) -> Int {
        let start = grouping.start(group)
        let end = start &+ grouping.size(group)
        if grouping.rows == nil && batch.mask == nil && batch.strengths == nil && start < end
            && priors.areSame(from: start, to: end)
        {
            return start
        }
        var position = start
        while position < end && !batch.isCounted(grouping.row(at: position)) { position &+= 1 }
        let first = grouping.row(at: position < end ? position : start)
        while position < end {
            let row = grouping.row(at: position)
            if batch.isCounted(row) {
                try agree(priors, row, first, "prior[#] must be the same for all rows of a group")
                if let strengths = batch.strengths {
                    try agree(strengths, row, first, "prior_strength[#] must be the same for all rows of a group")
                }
            }
            position &+= 1
        }
        return first
    }

    @inline(__always)
    private func agree(_ values: UnsafePointer<Double>, _ row: Int, _ first: Int, _ rule: Text) throws(Failure) {
        if values[row] == values[first] || (values[row].isNaN && values[first].isNaN) { return }
        throw Failure(
            .priorDisagrees, rule, at: row, reals: values[first], values[row])
    }

    @inline(__always)
    private func checkedPrior(at index: Int) throws(Failure) -> Prior {
        let value = batch.priors?[index] ?? .nan
        let strength = batch.strengths?[index] ?? 0
        if !value.isNaN && !options.interval.contains(value) {
            throw Failure(
                .invalidPrior, "prior[#] must be NaN (no prior) or lie in reward_range",
                at: index, real: value, in: options.interval)
        }
        if !(strength >= 0 && strength <= largestReward) && !value.isNaN {
            throw Failure(
                .invalidPrior, "prior_strength[#] must be finite and not negative", at: index, real: strength)
        }
        return value.isNaN ? Prior(value: .nan) : Prior(value: options.interval.clamp(value), strength: strength)
    }
}

/// Second pass of the two-pass variance. The rewards make room for their squared deviations.
@_optimize(speed)
func squaredDeviations(_ rewards: UnsafeMutablePointer<Double>, count: Int, mean: Double) -> Double {
    var position = 0
    while position < count {
        let deviation = rewards[position] - mean
        rewards[position] = deviation * deviation
        position &+= 1
    }
    return reproducibleSum(rewards, count: count)
}

extension UnsafePointer where Pointee == Double {
    /// Whether neighbours agree in every bit.
    @inline(__always)
    fileprivate func areSame(from start: Int, to end: Int) -> Bool {
        let first = SIMD4(repeating: self[start].bitPattern)
        var differences = SIMD4<UInt64>(repeating: 0)
        var index = start
        while index &+ 4 <= end {
            differences |= UnsafeRawPointer(self + index).loadUnaligned(as: SIMD4<UInt64>.self) ^ first
            index &+= 4
        }
        var rest = (differences[0] | differences[1]) | (differences[2] | differences[3])
        while index < end {
            rest |= self[index].bitPattern ^ first[0]
            index &+= 1
        }
        return rest == 0
    }
}

extension UnsafePointer where Pointee == Float {
    /// How many of neighbours equal each of two numbers.
    @inline(__always)
    fileprivate func countingEnds(_ start: Int, _ count: Int, _ low: Double, _ high: Double) -> (
        lows: Int, highs: Int, counted: Int
    ) {
        let lowest = SIMD4(repeating: Float(low))
        let highest = SIMD4(repeating: Float(high))
        // A mask is -1 where it holds.
        var lows = SIMD4<Int32>(repeating: 0)
        var highs = SIMD4<Int32>(repeating: 0)
        var index = start
        while index &+ 4 <= start &+ count {
            let four = UnsafeRawPointer(self + index).loadUnaligned(as: SIMD4<Float>.self)
            lows &-= unsafeBitCast(four .== lowest, to: SIMD4<Int32>.self)
            highs &-= unsafeBitCast(four .== highest, to: SIMD4<Int32>.self)
            index &+= 4
        }
        while index < start &+ count {
            lows[0] &+= self[index] == lowest[0] ? 1 : 0
            highs[0] &+= self[index] == highest[0] ? 1 : 0
            index &+= 1
        }
        return (
            Int((lows[0] &+ lows[1]) &+ (lows[2] &+ lows[3])), Int((highs[0] &+ highs[1]) &+ (highs[2] &+ highs[3])),
            count
        )
    }
}

extension UnsafePointer where Pointee == Double {
    /// The same of doubles.
    @inline(__always)
    fileprivate func countingEnds(_ start: Int, _ count: Int, _ low: Double, _ high: Double) -> (
        lows: Int, highs: Int, counted: Int
    ) {
        let lowest = SIMD2(repeating: low)
        let highest = SIMD2(repeating: high)
        var lows = SIMD2<Int64>(repeating: 0)
        var highs = SIMD2<Int64>(repeating: 0)
        var index = start
        while index &+ 2 <= start &+ count {
            let two = UnsafeRawPointer(self + index).loadUnaligned(as: SIMD2<Double>.self)
            lows &-= unsafeBitCast(two .== lowest, to: SIMD2<Int64>.self)
            highs &-= unsafeBitCast(two .== highest, to: SIMD2<Int64>.self)
            index &+= 2
        }
        if index < start &+ count {
            lows[0] &+= self[index] == low ? 1 : 0
            highs[0] &+= self[index] == high ? 1 : 0
        }
        return (Int(lows[0] &+ lows[1]), Int(highs[0] &+ highs[1]), count)
    }
}
