/// What a batch says of each of its keys, and of all together, in rewards as fractions of the interval.
struct BatchVisits {
    /// Per group: sum of W r and of W, W scaled so that a typical rollout counts one; 0 where nothing counts.
    let successes: UnsafeMutablePointer<Double>
    let counts: UnsafeMutablePointer<Double>
    /// Where the table has the key of each group, -1 where it lacks it.
    let places: UnsafeMutablePointer<Int32>
    let totalSuccesses: Double
    let totalCount: Double

    /// nil where no row counts. `hasWeights`: they were given, be they all equal. All that may fail comes first: room in the table for the keys that it lacks, memory.
    init?(
        _ summary: BatchSummary, hasWeights: Bool, in table: inout HistoryTable, _ batches: inout BatchLevel,
        workspace: inout Workspace
    ) throws(Failure) {
        let groupCount = summary.grouping.groupCount
        places = try workspace.take(Int32.self, count: groupCount)
        successes = try workspace.take(Double.self, count: groupCount)
        counts = try workspace.take(Double.self, count: groupCount)
        var unseen = 0
        var total = 0
        var group = 0
        while group < groupCount {
            // The memory of a large table is far away.
            if group &+ 24 < groupCount {
                table.prefetchPlace(of: UInt64(bitPattern: summary.key(of: group &+ 24)))
                table.prefetchEntry(of: UInt64(bitPattern: summary.key(of: group &+ 12)))
            }
            places[group] = table.find(UInt64(bitPattern: summary.key(of: group)))
            if places[group] < 0 { unseen &+= 1 }
            total &+= summary.groups[group].count
            group &+= 1
        }
        if total == 0 { return nil }
        try table.reserve(unseen)
        let interval = summary.options.interval
        let width = interval.high - interval.low
        // What a unit of the weights counts.
        var unit = 1.0
        if hasWeights {
            batches.learnWeight(summary.meanWeight * summary.weightUnit)
            unit = summary.weightUnit / batches.meanWeight
        }
        group = 0
        while group < groupCount {
            let rewards = summary.groups[group]
            successes[group] = 0
            counts[group] = 0
            if rewards.count > 0 {
                let count = rewards.effectiveCount * (rewards.unit * unit)
                let fraction = (rewards.mean - interval.low) / width
                counts[group] = count
                successes[group] = count * max(0, min(fraction, 1))
            }
            group &+= 1
        }
        totalSuccesses = reproducibleSum(successes, count: groupCount)
        totalCount = Double(total) * (summary.meanWeight * unit)
    }
}
