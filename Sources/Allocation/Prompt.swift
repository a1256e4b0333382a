import Estimation

/// One prompt of an allocator. Its rewards are in the log; these sums do not depend on their order.
struct Prompt {
    var prior: Double
    /// Rollouts that it gets first.
    var initial: Int32
    var maximum: Int32
    var count: Int32 = 0
    var inFlight: Int32 = 0
    private var sumHigh = 0.0
    private var sumLow = 0.0
    private var smallest = Double.infinity
    private var largest = -Double.infinity
    /// With score weights: mean and effective count of its rewards; nil where the weights are all alike.
    private(set) var weighted: WeightedMean?
    /// Where its newest observation is in a log with weights; -1: none.
    var newest: Int32 = -1
    /// Something happened since the plan looked at it.
    var isChanged = false

    init(prior: Double, initial: Int, maximum: Int) {
        self.prior = prior
        self.initial = Int32(truncatingIfNeeded: initial)
        self.maximum = Int32(truncatingIfNeeded: maximum)
    }

    var mean: Double { smallest == largest ? smallest : (sumHigh + sumLow) / Double(count) }
    var started: Int { Int(count) &+ Int(inFlight) }
    /// Initial rollouts that are still to be started.
    var lacking: Int { max(0, Int(initial) &- started) }
    /// Rollouts that it has or gets in any case.
    var committed: Int { max(started, Int(initial)) }
    var room: Int { Int(maximum) &- started }
    /// All rollouts are back, the initial ones are met and there is room: it can be decided on.
    var isReady: Bool { inFlight == 0 && count >= initial && count < maximum }
    var progress: Progress {
        Progress(
            count: Int(count), effectiveCount: weighted?.effectiveCount ?? Double(count), mean: weighted?.mean ?? mean,
            prior: prior)
    }

    mutating func weigh(_ found: WeightedMean?) { weighted = found }

    mutating func add(_ reward: Double, in interval: Interval) {
        let bound = max(interval.low.magnitude, interval.high.magnitude) * 1.01
        var piece = ReproducibleSum(count: Int(maximum), largest: bound)
        piece.add(reward)
        sumHigh += piece.high
        sumLow += piece.low
        smallest = min(smallest, reward)
        largest = max(largest, reward)
        count &+= 1
    }
}
