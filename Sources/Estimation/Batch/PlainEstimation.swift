/// The fast path of the most common call: advantages and nothing else, rows of a group side by side and all counted,
/// rewards that are multiples of a power of two (GridSum), a baseline that needs no more than mean and prior. One number per
/// group is kept instead of a summary. Whatever does not fit, refused input too, is left to the general path; the numbers are
/// the same.
struct PlainEstimation {
    private(set) var groupCount = 0
    private let batch: Batch
    private let options: EstimationOptions
    /// Group g is the rows offsets[g] ..< offsets[g + 1].
    private let offsets: UnsafePointer<Int64>
    private let baselines: UnsafeMutablePointer<Double>

    static func workspaceSize(rowCount: Int, groupCount: Int?) -> Int {
        let groups = groupCount ?? rowCount
        return Workspace.size(of: Int64.self, count: rowCount &+ 1) &+ Workspace.size(of: Double.self, count: groups)
    }

    /// nil, having written nothing of the caller's, where the general path is needed.
    init?(
        _ batch: Batch, options: EstimationOptions, output: EstimationOutput, workspace: inout Workspace
    ) throws(Failure) {
        let needsNoMore = options.rule == .v05 || options.rule == .grpo || options.rule == .prior
        guard needsNoMore && batch.mask == nil && batch.strengths == nil && !options.leaveOneOut
            && options.scale == .none && options.test == .bound && !output.wantsGroups && output.rowGroup == nil
        else { return nil }
        self.batch = batch
        self.options = options
        let isFine: Bool
        switch batch.groups {
        case .offsets(let offsets, let count):
            let grouping = try Grouping(offsets: offsets, groupCount: count, rowCount: batch.rowCount)
            self.offsets = grouping.offsets
            baselines = try workspace.take(Double.self, count: count)
            var groups = OffsetGroups(offsets, count)
            isFine = estimate(&groups)
        case .ids(let ids):
            let ends = try workspace.take(Int64.self, count: batch.rowCount &+ 1)
            offsets = UnsafePointer(ends)
            baselines = try workspace.take(Double.self, count: batch.rowCount)
            var groups = RunsOfIds(ids, batch.rowCount, ends)
            isFine = estimate(&groups) && !groups.fall
        }
        if !isFine { return nil }
    }

    @inline(__always)
    private mutating func estimate<Groups: NeighbouringGroups>(_ groups: inout Groups) -> Bool {
        switch batch.rewards {
        case .single(let rewards): return estimate(rewards, FloatGridSum(options.interval), &groups)
        case .double(let rewards): return estimate(rewards, DoubleGridSum(options.interval), &groups)
        }
    }

    /// The baseline of every group, in one pass over the rows; what is refused shows at the end. No branches on values: half
    /// of all groups would take the one way and half the other.
    @_optimize(speed)
    @inline(never)
    private mutating func estimate<Groups: NeighbouringGroups, Sum: GridSum>(
        _ rewards: UnsafePointer<Sum.Reward>, _ fresh: Sum, _ groups: inout Groups
    ) -> Bool {
        let priors = batch.priors
        let baselines = baselines
        let low = options.interval.low
        let high = options.interval.high
        let h2 = options.interval.halfRange * options.interval.halfRange
        let unit = fresh.unit
        let usesPrior = priors != nil && options.rule != .grpo
        let fuses = options.rule == .v05
        let isRaw = options.singleton == .raw
        var sum = fresh
        var lowestPrior = high
        var highestPrior = low
        var largestUnits: UInt = 0
        var sizeBefore = 0
        var size = 1.0
        var noise = h2
        // What the squared deviation must exceed.
        var threshold = h2
        var start = 0
        var group = 0
        while let end = groups.next(group, start) {
            let count = end &- start
            if count != sizeBefore {
                if count == 0 || count > Sum.largestCount { return false }
                sizeBefore = count
                size = Double(count)
                noise = h2 / size
                threshold = fuses ? noise : .infinity
            }
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
            largestUnits |= units.magnitude
            let mean = Double(units) * unit / size
            let alone = isRaw && count == 1 ? 0 : mean
            var baseline = alone
            if let priors {
                let given = priors[Groups.hasRowPriors ? start : group]
                if Groups.hasRowPriors && !isEverywhere(given, priors, start, end) { return false }
                lowestPrior = given < lowestPrior ? given : lowestPrior
                highestPrior = given > highestPrior ? given : highestPrior
                if usesPrior {
                    let atMost = given < high ? given : high
                    let prior = (atMost > low ? atMost : low) + 0
                    let deviation = mean - prior
                    let excess = deviation * deviation - threshold
                    let bias = excess > 0 ? excess : 0
                    let value = prior + bias / (bias + noise) * deviation
                    // Only rounding can carry it beyond the mean, whichever side that is on: the smaller of both, mirrored
                    // where the mean lies below.
                    let mirror = deviation.bitPattern & 1 &<< 63
                    let distance = Double(bitPattern: value.bitPattern ^ mirror)
                    let farthest = Double(bitPattern: mean.bitPattern ^ mirror)
                    let nearest = distance < farthest ? distance : farthest
                    baseline = given != given ? alone : Double(bitPattern: nearest.bitPattern ^ mirror)
                }
            }
            baselines[group] = baseline
            start = end
            group &+= 1
        }
        groupCount = group
        return options.interval.contains(lowestPrior) && options.interval.contains(highestPrior)
            && largestUnits <= 1 &<< 53 && sum.hasTaken(only: options.acceptedRewards)
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
        var group = 0
        while group < groupCount {
            let end = Int(truncatingIfNeeded: offsets[group &+ 1])
            let baseline = baselines[group]
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
    }
}

/// Groups whose rows lie side by side, found one after the other.
private protocol NeighbouringGroups {
    /// One prior per row, else one per group.
    static var hasRowPriors: Bool { get }
    /// Where the group that begins at `start` ends; nil behind the last row.
    mutating func next(_ group: Int, _ start: Int) -> Int?
}

private struct OffsetGroups: NeighbouringGroups {
    private let offsets: UnsafePointer<Int64>
    private let count: Int

    init(_ offsets: UnsafePointer<Int64>, _ count: Int) {
        self.offsets = offsets
        self.count = count
    }

    static var hasRowPriors: Bool { false }

    @inline(__always)
    mutating func next(_ group: Int, _ start: Int) -> Int? {
        group < count ? Int(truncatingIfNeeded: offsets[group &+ 1]) : nil
    }
}

/// Runs of equal ids. Batches mostly have as many rollouts of every prompt, so the run before tells where this one ends.
private struct RunsOfIds: NeighbouringGroups {
    private let ids: UnsafePointer<Int64>
    private let rowCount: Int
    private let offsets: UnsafeMutablePointer<Int64>
    private var sizeBefore = 1
    private var idBefore = Int64.min
    /// An id is less than one before it, so that a group may come in several runs.
    private(set) var fall = false

    init(_ ids: UnsafePointer<Int64>, _ rowCount: Int, _ offsets: UnsafeMutablePointer<Int64>) {
        self.ids = ids
        self.rowCount = rowCount
        self.offsets = offsets
        offsets[0] = 0
    }

    static var hasRowPriors: Bool { true }

    @inline(__always)
    mutating func next(_ group: Int, _ start: Int) -> Int? {
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
