/// The fast path of the most common call: advantages and nothing else, all rows counted, rewards that are multiples of a power
/// of two (GridSum), a baseline that needs no more than mean and prior. One number per group is kept instead of a summary.
/// Whatever does not fit, refused input too, is left to the general path; the numbers are the same.
struct PlainEstimation {
    private(set) var groupCount = 0
    private let batch: Batch
    private let options: EstimationOptions
    private var baselines: Baselines

    /// Where a row finds its baseline.
    private enum Baselines {
        case none
        /// Group g is the rows offsets[g] ..< offsets[g + 1] and has the baseline values[g].
        case neighbours(offsets: UnsafePointer<Int64>, values: UnsafePointer<Double>)
        /// Row r has the baseline slots[numbers[r]].
        case mixed(numbers: UnsafePointer<Int32>, slots: UnsafePointer<Slot>)
    }

    /// A group whose rows come in any order.
    private struct Slot {
        /// Units of its rewards in the upper 40 bits, their number in the lower 24: one addition counts both.
        var units: Int64
        /// Its prior and, in the end, its baseline.
        var value: Double
    }

    static func workspaceSize(rowCount: Int, groupCount: Int?) -> Int {
        if let groupCount { return Workspace.size(of: Double.self, count: groupCount) }
        return Workspace.size(of: Int64.self, count: rowCount &+ 1) &+ Workspace.size(of: Double.self, count: rowCount)
            &+ Workspace.size(of: Slot.self, count: rowCount) &+ GroupNumbers.workspaceSize(count: rowCount)
    }

    /// nil, having written nothing of the caller's, where the general path is needed.
    init?(
        _ batch: Batch, options: EstimationOptions, output: EstimationOutput, workspace: inout Workspace
    ) throws(Failure) {
        let needsNoMore = options.rule == .v05 || options.rule == .grpo || options.rule == .prior
        guard
            needsNoMore && batch.mask == nil && batch.strengths == nil && batch.weights == nil && !options.leaveOneOut
                && options.scale == .none && options.test == .bound && !output.wantsGroups && output.rowGroup == nil
                && PlainBaseline.canWeigh(in: options.interval)
        else { return nil }
        self.batch = batch
        self.options = options
        baselines = .none
        switch batch.groups {
        case .offsets(let offsets, let count):
            let grouping = try Grouping(offsets: offsets, groupCount: count, rowCount: batch.rowCount)
            let values = try workspace.take(Double.self, count: count)
            var groups = NeighbouringGroups(offsets: grouping.offsets, count: count, rowCount: batch.rowCount)
            guard estimate(&groups, values) else { return nil }
            baselines = .neighbours(offsets: offsets, values: UnsafePointer(values))
        case .ids(let ids):
            guard try estimate(ids, &workspace) else { return nil }
        }
    }

    private mutating func estimate(_ ids: UnsafePointer<Int64>, _ workspace: inout Workspace) throws(Failure) -> Bool {
        let rowCount = batch.rowCount
        let offsets = try workspace.take(Int64.self, count: rowCount &+ 1)
        let values = try workspace.take(Double.self, count: rowCount)
        var groups = NeighbouringGroups(ids: ids, offsets: offsets, rowCount: rowCount)
        let isFine = estimate(&groups, values)
        let neighbours = Baselines.neighbours(offsets: UnsafePointer(offsets), values: UnsafePointer(values))
        if !groups.fall {
            baselines = neighbours
            return isFine
        }
        var numbers = try GroupNumbers(count: rowCount, workspace: &workspace)
        var areNumbered = false
        if !groups.areMany {
            guard isFine else { return false }
            areNumbered = numbers.number(ids, runs: offsets, runCount: groupCount)
            if areNumbered {
                if numbers.groupCount == groupCount {
                    baselines = neighbours
                    return true
                }
                numbers.spread(runs: offsets, runCount: groupCount)
            }
        }
        // Mixed rows. Trainers have floats; for doubles the same would cost 2 KB.
        guard case .single(let rewards) = batch.rewards else { return false }
        if !areNumbered { try numbers.number(ids) }
        groupCount = numbers.groupCount
        let slots = try workspace.take(Slot.self, count: groupCount)
        baselines = .mixed(numbers: UnsafePointer(numbers.numbers), slots: UnsafePointer(slots))
        return estimate(rewards, numbers.numbers, slots)
    }

    @inline(__always)
    private mutating func estimate(
        _ groups: inout NeighbouringGroups, _ values: UnsafeMutablePointer<Double>
    ) -> Bool {
        switch batch.rewards {
        case .single(let rewards): return estimate(rewards, FloatGridSum(options.interval), &groups, values)
        case .double(let rewards): return estimate(rewards, DoubleGridSum(options.interval), &groups, values)
        }
    }

    /// The baseline of every group, in one pass over the rows; what is refused shows at the end.
    @_optimize(speed)
    @inline(never)
    private mutating func estimate<Sum: GridSum>(
        _ rewards: UnsafePointer<Sum.Reward>, _ fresh: Sum, _ groups: inout NeighbouringGroups,
        _ values: UnsafeMutablePointer<Double>
    ) -> Bool {
        let priors = batch.priors
        var baseline = PlainBaseline(options, unit: fresh.unit, hasPriors: priors != nil)
        var sum = fresh
        var start = 0
        var group = 0
        while let end = groups.next(group, start) {
            let count = end &- start
            if count == 0 || count > Sum.largestCount { return false }
            var units = 0
            var row = start
            repeat {
                let first = row
                let last = min(end, row &+ 256)
                while row &+ 4 <= last {
                    sum.add(four: rewards + row)
                    row &+= 4
                }
                while row < last {
                    sum.add(rewards + row)
                    row &+= 1
                }
                units &+= sum.take(count: last &- first)
            } while row < end
            var prior = Double.nan
            if let priors {
                prior = priors[groups.haveRowPriors ? start : group]
                if groups.haveRowPriors && !isEverywhere(prior, priors, start, end) { return false }
            }
            values[group] = baseline.value(units, count, prior)
            start = end
            group &+= 1
        }
        groupCount = group
        return baseline.isFine && sum.hasTaken(only: options.acceptedRewards)
    }

    /// The same where the rows of a group lie anywhere: added up in the slots of the groups, in the order of the rows.
    @_optimize(speed)
    @inline(never)
    private func estimate(
        _ rewards: UnsafePointer<Float>, _ numbers: UnsafePointer<Int32>, _ slots: UnsafeMutablePointer<Slot>
    ) -> Bool {
        let rowCount = batch.rowCount
        if rowCount >= 1 &<< 24 { return false }
        var checked = FloatGridSum(options.interval)
        var row = 0
        while row &+ 4 <= rowCount {
            checked.add(four: rewards + row)
            row &+= 4
        }
        while row < rowCount {
            checked.add(rewards + row)
            row &+= 1
        }
        guard checked.hasTaken(only: options.acceptedRewards) else { return false }
        var group = 0
        while group < groupCount {
            slots[group] = Slot(units: 0, value: .nan)
            group &+= 1
        }
        var differing: UInt64 = 0
        row = 0
        if let priors = batch.priors {
            var seen = 0
            while row < rowCount {
                let group = Int(numbers[row])
                let prior = priors[row]
                if group == seen {
                    slots[group].value = prior
                    seen &+= 1
                }
                // Zeros and NaN that are equal with other bits are left to the general path.
                differing |= slots[group].value.bitPattern ^ prior.bitPattern
                slots[group].units &+= Int64(truncatingIfNeeded: checked.units(of: rewards[row])) &<< 24 | 1
                row &+= 1
            }
        } else {
            while row < rowCount {
                slots[Int(numbers[row])].units &+= Int64(truncatingIfNeeded: checked.units(of: rewards[row])) &<< 24 | 1
                row &+= 1
            }
        }
        if differing != 0 { return false }
        var baseline = PlainBaseline(options, unit: checked.unit, hasPriors: batch.priors != nil)
        var largest = 0
        group = 0
        while group < groupCount {
            let units = slots[group].units
            let count = Int(truncatingIfNeeded: units & (1 &<< 24 &- 1))
            largest = max(largest, count)
            slots[group].value = baseline.value(Int(truncatingIfNeeded: units &>> 24), count, slots[group].value)
            group &+= 1
        }
        // No sum can have left its 40 bits.
        return baseline.isFine && largest <= 1 &<< 39 / FloatGridSum.largestUnits
    }

    /// Whether all rows of a group agree on its prior.
    @inline(__always)
    private func isEverywhere(_ prior: Double, _ priors: UnsafePointer<Double>, _ start: Int, _ end: Int) -> Bool {
        let bits = UnsafeRawPointer(priors).assumingMemoryBound(to: Int64.self)
        if areAll(Int64(bitPattern: prior.bitPattern), bits, from: start, to: end) { return true }
        // Equal with other bits: zeros and NaN.
        var row = start
        while row < end && (priors[row] == prior || (priors[row].isNaN && prior.isNaN)) { row &+= 1 }
        return row == end
    }

    /// The border lets no pair of different types through.
    @_optimize(speed)
    func write(to advantages: AdvantageColumn?) {
        switch (batch.rewards, advantages) {
        case (.single(let rewards), .single(let results)): subtract(from: rewards, to: results)
        case (.double(let rewards), .double(let results)): subtract(from: rewards, to: results)
        default: break
        }
    }

    /// Rewards and baselines are at most 1e30, so the difference fits any type.
    @inline(__always)
    private func subtract<Reward: RewardScalar>(
        from rewards: UnsafePointer<Reward>, to results: UnsafeMutablePointer<Reward>
    ) {
        var row = 0
        switch baselines {
        case .none: break
        case .neighbours(let offsets, let values):
            var group = 0
            while group < groupCount {
                let end = Int(truncatingIfNeeded: offsets[group &+ 1])
                let baseline = values[group]
                let four = SIMD4<Double>(repeating: baseline)
                while row &+ 4 <= end {
                    Reward.write(Reward.four(rewards + row) - four, to: results + row)
                    row &+= 4
                }
                while row < end {
                    results[row] = Reward(rounding: rewards[row].double - baseline)
                    row &+= 1
                }
                group &+= 1
            }
        case .mixed(let numbers, let slots):
            while row < batch.rowCount {
                results[row] = Reward(rounding: rewards[row].double - slots[Int(numbers[row])].value)
                row &+= 1
            }
        }
    }
}

/// Baselines of the plain rules, group after group. No branches on values: half of all groups would take the one way and half
/// the other.
private struct PlainBaseline {
    private let interval: Interval
    private let unit: Double
    private let usesPrior: Bool
    private let fuses: Bool
    private let isRaw: Bool
    private let h2: Double
    private var lowestPrior: Double
    private var highestPrior: Double
    private var largestUnits: UInt = 0
    private var countBefore = 0
    private var size = 1.0
    private var noise = 1.0
    /// What the squared deviation must exceed.
    private var threshold = 1.0

    @inline(__always)
    init(_ options: EstimationOptions, unit: Double, hasPriors: Bool) {
        interval = options.interval
        self.unit = unit
        usesPrior = hasPriors && options.rule != .grpo
        fuses = options.rule == .v05
        isRaw = options.singleton == .raw
        h2 = options.interval.halfRange * options.interval.halfRange
        lowestPrior = options.interval.high
        highestPrior = options.interval.low
    }

    /// Whether h^2 / k is above 0 for every k: else a weight could be 0 / 0.
    static func canWeigh(in interval: Interval) -> Bool {
        interval.halfRange * interval.halfRange >= 0x1p-960
    }

    /// Of `count` rewards that add up to so many units, and a prior, NaN for none.
    @inline(__always)
    mutating func value(_ units: Int, _ count: Int, _ given: Double) -> Double {
        if count != countBefore {
            countBefore = count
            size = Double(count)
            noise = h2 / size
            threshold = fuses ? noise : .infinity
        }
        largestUnits |= units.magnitude
        let mean = Double(units) * unit / size
        let alone = isRaw && count == 1 ? 0 : mean
        lowestPrior = given < lowestPrior ? given : lowestPrior
        highestPrior = given > highestPrior ? given : highestPrior
        if !usesPrior { return alone }
        let atMost = given < interval.high ? given : interval.high
        let prior = (atMost > interval.low ? atMost : interval.low) + 0
        let deviation = mean - prior
        let excess = deviation * deviation - threshold
        let bias = excess > 0 ? excess : 0
        let value = prior + bias / (bias + noise) * deviation
        // Only rounding can carry it beyond the mean, whichever side that is on: the smaller of both, mirrored where the mean
        // lies below.
        let mirror = deviation.bitPattern & 1 &<< 63
        let distance = Double(bitPattern: value.bitPattern ^ mirror)
        let farthest = Double(bitPattern: mean.bitPattern ^ mirror)
        let nearest = distance < farthest ? distance : farthest
        return given != given ? alone : Double(bitPattern: nearest.bitPattern ^ mirror)
    }

    /// Whether all priors lay in the interval and no mean was rounded twice.
    @inline(__always)
    var isFine: Bool {
        interval.contains(lowestPrior) && interval.contains(highestPrior) && largestUnits <= 1 &<< 53
    }
}

/// Groups whose rows lie side by side, found one after the other: by offsets, or as runs of equal ids. Batches mostly have as
/// many rollouts of every prompt, so the run before tells where the next one ends.
private struct NeighbouringGroups {
    private let rowCount: Int
    private let ids: UnsafePointer<Int64>?
    private let groupCount: Int
    /// Group g is the rows offsets[g] ..< offsets[g + 1]; written where there are ids.
    let offsets: UnsafeMutablePointer<Int64>
    private var sizeBefore = 1
    private var idBefore = Int64.min
    /// An id is less than one before it, so that a group may come in several runs.
    private(set) var fall = false
    /// So many runs that it will; not all of them were counted.
    private(set) var areMany = false

    init(offsets: UnsafePointer<Int64>, count: Int, rowCount: Int) {
        ids = nil
        self.offsets = UnsafeMutablePointer(mutating: offsets)
        groupCount = count
        self.rowCount = rowCount
    }

    init(ids: UnsafePointer<Int64>, offsets: UnsafeMutablePointer<Int64>, rowCount: Int) {
        self.ids = ids
        self.offsets = offsets
        groupCount = 0
        self.rowCount = rowCount
        offsets[0] = 0
    }

    /// One prior per row, else one per group.
    @inline(__always)
    var haveRowPriors: Bool { ids != nil }

    /// Where the group that begins at `start` ends; nil behind the last one.
    @inline(__always)
    mutating func next(_ group: Int, _ start: Int) -> Int? {
        guard let ids else { return group < groupCount ? Int(truncatingIfNeeded: offsets[group &+ 1]) : nil }
        if start >= rowCount { return nil }
        let id = ids[start]
        var end = start &+ sizeBefore
        if end > rowCount || ids[end &- 1] != id || (end < rowCount && ids[end] == id)
            || !areAll(id, ids, from: start, to: end)
        {
            end = start &+ 1
            while end < rowCount && ids[end] == id { end &+= 1 }
            sizeBefore = end &- start
        }
        fall = fall || id < idBefore
        idBefore = id
        if fall && 2 &* group > start &+ IdRuns.margin {
            areMany = true
            return nil
        }
        offsets[group &+ 1] = Int64(truncatingIfNeeded: end)
        return end
    }
}

/// Whether all of these are one value.
@inline(__always)
private func areAll(_ value: Int64, _ values: UnsafePointer<Int64>, from start: Int, to end: Int) -> Bool {
    var differing = SIMD4<Int64>(repeating: 0)
    let four = SIMD4(repeating: value)
    var index = start
    while index &+ 4 <= end {
        differing |= UnsafeRawPointer(values + index).loadUnaligned(as: SIMD4<Int64>.self) ^ four
        index &+= 4
    }
    var rest: Int64 = 0
    while index < end {
        rest |= values[index] ^ value
        index &+= 1
    }
    return (differing[0] | differing[1]) | (differing[2] | differing[3]) | rest == 0
}
